//! The pool: attempts, waits and who makes room ([`opening`]); how sessions leave it ([`leaving`]).

mod leaving;
mod opening;

use std::io;

use futures::future::{BoxFuture, join_all};
use http::{Response, StatusCode};
use tokio::{io::duplex, sync::Semaphore};

use super::{
    super::{
        dial::Dialled,
        session::{
            Outcome,
            message::Answer,
            tests::support::{Pair, RawPeer, Serves, Service, accept, call, in_time, let_others_run, result, soon},
        },
    },
    *,
};
use crate::protocol::{ClusterId, Role};

/// How peers meet those who connect.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Takes,
    Answers(StatusCode),
    NobodyListens,
    SaysNothing,
    NeverReads,
}

/// Peers in this process: each dial opens a connection of its own.
struct Peers {
    manner: Mutex<Manner>,
    /// The addresses that were dialled.
    dials: Mutex<Vec<String>>,
    gate: Semaphore,
    /// The peers' ends.
    theirs: Mutex<HashMap<NodeId, Session>>,
    /// What the peers serve.
    there: Arc<Service>,
    /// What this node serves.
    here: Arc<Service>,
}

impl Peers {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            manner: Mutex::new(Manner::Takes),
            dials: Mutex::default(),
            gate: Semaphore::new(1_000),
            theirs: Mutex::default(),
            there: Service::new(),
            here: Service::new(),
        })
    }

    fn pool(self: &Arc<Self>, config: SessionsConfig) -> Sessions {
        Sessions::new(Arc::new(DialPeers(self.clone())), Arc::new(Here(self.here.clone())), config)
    }

    fn are(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn dials(&self) -> usize {
        self.dials.lock().unwrap().len()
    }

    /// The peer's end of the latest session with it.
    fn end_of(&self, name: &str) -> Session {
        self.theirs.lock().unwrap()[&node(name)].clone()
    }
}

struct Here(Arc<Service>);

impl Host for Here {
    fn serve_for(&self, _: &PeerIdentity) -> Arc<dyn Serve> {
        Arc::new(Serves(self.0.clone()))
    }
}

struct DialPeers(Arc<Peers>);

impl Dial for DialPeers {
    fn dial<'a>(&'a self, peer: &'a PeerRef) -> BoxFuture<'a, Result<Dialled, DialError>> {
        Box::pin(async move {
            let peers = self.0.clone();
            peers.dials.lock().unwrap().push(peer.authority.to_string());
            peers.gate.acquire().await.unwrap().forget();
            let manner = *peers.manner.lock().unwrap();
            let (ours, theirs) = duplex(64 * 1024);
            let node_id = peer.node_id.clone();
            match manner {
                Manner::NobodyListens => {
                    return Err(DialError::network(&peer.authority, io::Error::from(io::ErrorKind::ConnectionRefused)));
                }
                Manner::Takes => drop(tokio::spawn(async move {
                    let session = accept(theirs, SessionLimits::default(), peers.there.clone()).await;
                    peers.theirs.lock().unwrap().insert(node_id, session);
                })),
                Manner::Answers(status) => drop(tokio::spawn(async move {
                    let mut connection = h2::server::handshake(theirs).await.unwrap();
                    let (_request, mut respond) = connection.accept().await.unwrap().unwrap();
                    let response = Response::builder().status(status).header("p2p-reason", "a test").body(()).unwrap();
                    respond.send_response(response, true).unwrap();
                    while connection.accept().await.is_some_and(|accepted| accepted.is_ok()) {}
                })),
                Manner::SaysNothing => drop(tokio::spawn(async move {
                    let _kept = theirs;
                    std::future::pending::<()>().await;
                })),
                Manner::NeverReads => drop(tokio::spawn(async move {
                    let _kept = RawPeer::accept(theirs, 1_024).await;
                    std::future::pending::<()>().await;
                })),
            }
            let identity = PeerIdentity {
                node_id: peer.node_id.clone(),
                role: Role::Worker,
                cluster: "00000000000000000000000000000000".parse::<ClusterId>().unwrap(),
            };
            Ok(Dialled { stream: Box::new(ours), peer: Some(identity), expires: None })
        })
    }
}

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

fn peer(name: &str) -> PeerRef {
    PeerRef { node_id: node(name), authority: format!("{name}:8001").into() }
}

/// The session of a way.
#[track_caller]
fn session(way: Result<(Way, bool), NoWay>) -> Session {
    match way {
        Ok((Way::Session(session), _)) => session,
        other => panic!("there should be a session: {other:?}"),
    }
}

async fn open(pool: &Sessions, name: &str) -> Session {
    session(soon(pool.way(&peer(name))).await)
}

async fn echoes(session: &Session) -> bool {
    matches!(soon(session.call(&call("echo", "1"), in_time())).await, Outcome::Answered(Answer::Result(_)))
}

/// A call in a task of its own.
fn waiting(session: &Session) -> tokio::task::JoinHandle<Outcome> {
    let session = session.clone();
    tokio::spawn(async move { session.call(&call("wait", "1"), in_time()).await })
}
