//! [`Loopback`]: the machine's own loopback interface, between whose nodes the way can be cut.
//!
//! Bytes go through real sockets. A node's connections are told by its ports: a port that one of the nodes listens on belongs to it, and
//! each connection that a node opens is noted by the port at its near end before the other end can see it. What comes from elsewhere,
//! such as a program that calls a node over HTTPS, passes untouched.
//!
//! The port of the joining challenge is the same for every cluster, and there is one loopback interface: here it stands for a free
//! port of this cluster's own, so that clusters of many tests do not wait for each other.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::future::{BoxFuture, pending};
use p2p_client::wire::net::{BoxStream, Listener, Network, TcpNetwork};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use crate::{
    identity::{CHALLENGE_PORT, ChallengeResponder},
    transport::fate::{End, Fate, Side},
};

use super::lab::{Lab, Place};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY_PORT: SocketAddr = SocketAddr::new(HERE, 0);

/// The loopback interface as one cluster has it. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Loopback(Arc<Shared>);

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    /// Moves with every fault, so that whoever waits for a way looks again.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct World {
    /// Which node listens on a port.
    owners: HashMap<u16, Place>,
    /// The port that stands for the one of the joining challenge, while somebody joins.
    challenge: Option<u16>,
    parted: HashSet<(Place, Place)>,
    /// Ends when the node is killed.
    lives: HashMap<Place, CancellationToken>,
    /// Connections between nodes, by the port at the end that opened them.
    connections: HashMap<u16, Connection>,
}

struct Connection {
    ends: (Place, Place),
    fate: Weak<Fate>,
}

impl Loopback {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    fn life(&mut self, place: Place) -> CancellationToken {
        self.lives.entry(place).or_default().clone()
    }

    /// Where a node that means `to` gets to.
    fn actual(&self, to: SocketAddr) -> SocketAddr {
        let challenge = self.challenge.filter(|_| to.port() == CHALLENGE_PORT);
        challenge.map_or(to, |port| SocketAddr::new(to.ip(), port))
    }

    /// The connections that still exist; the others are forgotten on the way.
    fn live_connections(&mut self) -> Vec<((Place, Place), Arc<Fate>)> {
        let mut live = Vec::new();
        self.connections.retain(|_, connection| match connection.fate.upgrade() {
            Some(fate) => {
                live.push((connection.ends, fate));
                true
            }
            None => false,
        });
        live
    }

    /// The fate of a connection that came in from this port, if a node opened it.
    fn fate_of(&self, port: u16) -> Option<Arc<Fate>> {
        self.connections.get(&port).and_then(|connection| connection.fate.upgrade())
    }
}

impl Lab for Loopback {
    fn network(&self, place: Place) -> Arc<dyn Network> {
        let life = self.world().life(place);
        Arc::new(Host { loopback: self.clone(), place, life })
    }

    fn ip(&self, _: Place) -> IpAddr {
        HERE
    }

    fn listen(&self, _: Place) -> Option<SocketAddr> {
        Some(ANY_PORT)
    }

    fn responder(&self, place: Place) -> ChallengeResponder {
        ChallengeResponder::new(self.network(place))
    }

    fn set_parted(&self, a: Place, b: Place, parted: bool) {
        let mut world = self.world();
        for pair in [(a, b), (b, a)] {
            if parted {
                world.parted.insert(pair);
            } else {
                world.parted.remove(&pair);
            }
        }
        for (ends, fate) in world.live_connections() {
            if ends == (a, b) || ends == (b, a) {
                fate.set_parted(parted);
            }
        }
        drop(world);
        self.0.changed.send_replace(());
    }

    fn kill(&self, place: Place) {
        let mut world = self.world();
        if let Some(life) = world.lives.remove(&place) {
            life.cancel();
        }
        for (ends, fate) in world.live_connections() {
            if ends.0 == place {
                fate.reset_by(Side::Client);
            } else if ends.1 == place {
                fate.reset_by(Side::Server);
            }
        }
        world.owners.retain(|_, owner| *owner != place);
        drop(world);
        self.0.changed.send_replace(());
    }
}

/// The loopback interface as one node has it.
#[derive(Clone)]
struct Host {
    loopback: Loopback,
    place: Place,
    life: CancellationToken,
}

impl Host {
    fn alive(&self) -> io::Result<()> {
        if self.life.is_cancelled() {
            return Err(io::Error::new(io::ErrorKind::NetworkDown, "this node was killed"));
        }
        Ok(())
    }

    /// Notes a connection to another node that is about to be opened from `near`; nothing, as long as there is no way.
    fn begin(&self, near: u16, to: SocketAddr) -> io::Result<Option<Way>> {
        self.alive()?;
        let mut world = self.loopback.world();
        let to = world.actual(to);
        let Some(owner) = world.owners.get(&to.port()).copied() else { return Ok(Some(Way { to, fate: None })) };
        if world.parted.contains(&(self.place, owner)) {
            return Ok(None);
        }
        let fate = Arc::new(Fate::default());
        world.connections.insert(near, Connection { ends: (self.place, owner), fate: Arc::downgrade(&fate) });
        Ok(Some(Way { to, fate: Some(fate) }))
    }
}

/// Where a connection goes, and what becomes of it if that is another node.
struct Way {
    to: SocketAddr,
    fate: Option<Arc<Fate>>,
}

impl Network for Host {
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let Ok(to) = authority.parse::<SocketAddr>() else { return TcpNetwork.connect(authority).await };
            let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { return TcpNetwork.connect(authority).await };
            socket.bind(ANY_PORT)?;
            let near = socket.local_addr()?.port();
            let mut changed = self.loopback.0.changed.subscribe();
            let way = loop {
                match self.begin(near, to)? {
                    Some(way) => break way,
                    // The sender lives in what `self` shares, so this waits for a change and never fails.
                    None => drop(changed.changed().await),
                }
            };
            let stream = socket.connect(way.to).await?;
            stream.set_nodelay(true)?;
            Ok(match way.fate {
                Some(fate) => Box::new(End::of_socket(stream, fate, Side::Client)) as BoxStream,
                None => Box::new(stream),
            })
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            self.alive()?;
            let is_challenge = addr.port() == CHALLENGE_PORT;
            if is_challenge && self.loopback.world().challenge.is_some() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            let listener = TcpListener::bind(if is_challenge { ANY_PORT } else { addr }).await?;
            let actual = listener.local_addr()?;
            let mut world = self.loopback.world();
            world.owners.insert(actual.port(), self.place);
            if is_challenge {
                world.challenge = Some(actual.port());
            }
            drop(world);
            let shown = if is_challenge { addr } else { actual };
            Ok(Box::new(Listening { host: self.clone(), listener: Some(listener), actual, shown }) as Box<dyn Listener>)
        })
    }

    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        TcpNetwork.resolve(name)
    }
}

struct Listening {
    host: Host,
    /// Gone when the node is killed, so that the port is refused.
    listener: Option<TcpListener>,
    actual: SocketAddr,
    shown: SocketAddr,
}

impl Listener for Listening {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            // A dead node hears nothing, not even an error.
            let Some(listener) = &self.listener else { return pending().await };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.host.life.cancelled() => {
                    self.listener = None;
                    return pending().await;
                }
            };
            let (stream, from) = accepted?;
            stream.set_nodelay(true)?;
            let fate = self.host.loopback.world().fate_of(from.port());
            let stream: BoxStream = match fate {
                Some(fate) => Box::new(End::of_socket(stream, fate, Side::Server)),
                None => Box::new(stream),
            };
            Ok((stream, from))
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.shown
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut world = self.host.loopback.world();
        if world.challenge == Some(self.actual.port()) {
            world.challenge = None;
        }
        // A node that was killed owns nothing any more, and its port may be another's.
        if !self.host.life.is_cancelled() {
            world.owners.remove(&self.actual.port());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Pair {
        loopback: Loopback,
        listener: Box<dyn Listener>,
        near: BoxStream,
        far: BoxStream,
    }

    async fn pair() -> Pair {
        let loopback = Loopback::default();
        let mut listener = loopback.network(2).listen(ANY_PORT).await.unwrap();
        let to = listener.local_addr().to_string();
        let near = loopback.network(1).connect(&to).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        Pair { loopback, listener, near, far }
    }

    #[tokio::test]
    async fn what_is_written_while_two_nodes_are_parted_arrives_when_the_way_is_open_again() {
        let Pair { loopback, mut near, mut far, .. } = pair().await;
        loopback.set_parted(1, 2, true);
        let (mut got, mut back) = ([0; 4], [0; 4]);
        {
            let mut crossing = std::pin::pin!(async {
                tokio::join!(near.write_all(b"ping"), far.write_all(b"pong")).0.unwrap();
                far.read_exact(&mut got).await.unwrap();
                near.read_exact(&mut back).await.unwrap();
            });
            assert!(futures::poll!(&mut crossing).is_pending());
            loopback.set_parted(2, 1, false);
            crossing.await;
        }
        assert_eq!((&got, &back), (b"ping", b"pong"));
    }

    #[tokio::test]
    async fn connecting_waits_for_the_way_and_others_are_not_parted() {
        let Pair { loopback, mut listener, .. } = pair().await;
        loopback.set_parted(1, 2, true);
        let to = listener.local_addr().to_string();
        let (parted, other) = (loopback.network(1), loopback.network(3));
        let mut connecting = parted.connect(&to);
        assert!(futures::poll!(&mut connecting).is_pending());
        let (from_other, _) = tokio::join!(other.connect(&to), listener.accept());
        drop(from_other.unwrap());
        // A program that is no node of the cluster is none of its business.
        let (from_outside, _) = tokio::join!(TcpNetwork.connect(&to), listener.accept());
        drop(from_outside.unwrap());
        loopback.set_parted(1, 2, false);
        let (connected, _) = tokio::join!(connecting, listener.accept());
        drop(connected.unwrap());
    }

    #[tokio::test]
    async fn a_killed_nodes_connections_break_and_its_port_is_refused_until_it_is_back() {
        let Pair { loopback, mut listener, mut near, mut far } = pair().await;
        let (dead, to) = (loopback.network(2), listener.local_addr());
        loopback.kill(2);
        for stream in [&mut near, &mut far] {
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        }
        let mut accepting = listener.accept();
        assert!(futures::poll!(&mut accepting).is_pending());
        let refused = loopback.network(1).connect(&to.to_string()).await.err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        for error in [dead.listen(ANY_PORT).await.err().unwrap(), dead.connect(&to.to_string()).await.err().unwrap()] {
            assert_eq!(error.kind(), io::ErrorKind::NetworkDown);
        }
        let mut back = loopback.network(2).listen(to).await.unwrap();
        let (again, to) = (loopback.network(1), to.to_string());
        let (connected, _) = tokio::join!(again.connect(&to), back.accept());
        drop(connected.unwrap());
    }

    #[tokio::test]
    async fn clusters_do_not_meet_at_the_port_of_the_challenge() {
        let at = SocketAddr::new(HERE, CHALLENGE_PORT);
        let (one, other) = (Loopback::default(), Loopback::default());
        let mut first = one.network(1).listen(at).await.unwrap();
        let _second = other.network(1).listen(at).await.unwrap();
        assert_eq!(first.local_addr(), at);
        assert_eq!(one.network(2).listen(at).await.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        let coordinator = one.network(0);
        let to = at.to_string();
        let (connected, accepted) = tokio::join!(coordinator.connect(&to), first.accept());
        drop((connected.unwrap(), accepted.unwrap()));
        drop(first);
        one.network(2).listen(at).await.unwrap();
    }
}
