//! The joining node's answer to challenges: a small HTTP server that is there only while somebody joins.
//!
//! All nodes of one process share a [`ChallengeResponder`]: it opens each address and port once, answers for everyone
//! that joins through it, and closes the port when the last [`Answering`] is dropped. A port that another process holds
//! is waited for, as that process may be joining too.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use p2p_client::wire::net::{BoxStream, Listener, Network};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{address::Host, challenge::CHALLENGE_PATH};

/// How long a busy port is waited for, unless said otherwise.
pub const PORT_PATIENCE: Duration = Duration::from_secs(20);
/// How often a busy port is tried.
const RETRY: Duration = Duration::from_millis(100);
/// How long a caller's whole connection may last.
const CONNECTION_TIME: Duration = Duration::from_secs(5);
/// How many callers are served at once on a port.
const MAX_CALLERS: usize = 64;

/// The responder's port cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponderError {
    /// Another process keeps it.
    #[error(
        "port {port}, on which the coordinator's challenge must be answered, is in use by another program ({waited_s} s waited); \
         stop that program while this node joins"
    )]
    Busy {
        /// The port.
        port: u16,
        /// How long it was waited for.
        waited_s: u64,
    },
    /// The operating system refuses.
    #[error("cannot answer the coordinator's challenge on {addr}: {source}")]
    Listen {
        /// The address and port.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// Answers challenges for all nodes of a process that join. Clones share the ports.
#[derive(Clone)]
pub struct ChallengeResponder {
    network: Arc<dyn Network>,
    patience: Duration,
    ports: Arc<Ports>,
}

impl fmt::Debug for ChallengeResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeResponder").field("open", &self.open_ports()).finish_non_exhaustive()
    }
}

type Answers = Arc<Mutex<BTreeMap<String, String>>>;

#[derive(Default)]
struct Ports {
    open: Mutex<BTreeMap<SocketAddr, Port>>,
    /// Held while a port is being opened, so that two nodes do not race for it.
    opening: tokio::sync::Mutex<()>,
}

struct Port {
    answers: Answers,
    _server: AbortOnDropHandle<()>,
}

/// Nothing that can panic happens under these locks; whatever is in them is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While this lives, a challenge is answered. Dropping it stops the answer, and closes ports that nobody needs.
pub struct Answering {
    ports: Arc<Ports>,
    challenge: String,
    at: BTreeSet<SocketAddr>,
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Answering {
    /// The addresses and ports that answer.
    pub fn at(&self) -> impl Iterator<Item = SocketAddr> {
        self.at.iter().copied()
    }

    /// Stops the answer, and closes ports that nobody needs.
    fn stop(&mut self) {
        let mut open = lock(&self.ports.open);
        for addr in std::mem::take(&mut self.at) {
            let unused = open.get(&addr).is_some_and(|port| {
                let mut answers = lock(&port.answers);
                answers.remove(&self.challenge);
                answers.is_empty()
            });
            if unused {
                open.remove(&addr);
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells whoever joins that a port has to be waited for; once.
struct Busy<'a> {
    tell: &'a (dyn Fn(SocketAddr) + Send + Sync),
    is_told: bool,
}

impl ChallengeResponder {
    /// A responder on this network. No port is open before the first challenge.
    pub fn new(network: Arc<dyn Network>) -> Self {
        Self { network, patience: PORT_PATIENCE, ports: Arc::default() }
    }

    /// Waits this long for a busy port instead of [`PORT_PATIENCE`].
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The ports that are open now.
    pub fn open_ports(&self) -> Vec<SocketAddr> {
        lock(&self.ports.open).keys().copied().collect()
    }

    /// Answers `challenge` with `answer` on this port of all these hosts, until the result is dropped. `busy` is told
    /// once if a port has to be waited for.
    ///
    /// Where one of them is not this machine's own (behind a NAT, or a name), it is answered on all addresses.
    ///
    /// # Errors
    /// A port stays busy, or the operating system refuses it.
    pub async fn answer(
        &self,
        hosts: &[Host],
        port: u16,
        challenge: &str,
        answer: &str,
        busy: &(dyn Fn(SocketAddr) + Send + Sync),
    ) -> Result<Answering, ResponderError> {
        let mut answering = Answering { ports: self.ports.clone(), challenge: challenge.to_owned(), at: BTreeSet::new() };
        let mut busy = Busy { tell: busy, is_told: false };
        let ips: Option<BTreeSet<IpAddr>> =
            hosts.iter().map(|host| if let Host::Ip(ip) = host { Some(*ip) } else { None }).collect();
        match ips {
            // Where a name leads from outside is not known here.
            None => self.open_all(true, true, port, &mut answering, answer, &mut busy).await?,
            Some(ips) => {
                if !self.open_each(&ips, port, &mut answering, answer, &mut busy).await? {
                    // All addresses cannot be opened beside one of them.
                    answering.stop();
                    let (v4, v6) = (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6));
                    self.open_all(v4, v6, port, &mut answering, answer, &mut busy).await?;
                }
            }
        }
        Ok(answering)
    }

    /// Opens the port on each of these addresses. False, with some of them open, where one is not this machine's own.
    async fn open_each(
        &self,
        ips: &BTreeSet<IpAddr>,
        port: u16,
        answering: &mut Answering,
        answer: &str,
        busy: &mut Busy<'_>,
    ) -> Result<bool, ResponderError> {
        for ip in ips {
            match self.open(SocketAddr::new(*ip, port), answering, answer, busy).await {
                Err(ResponderError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrNotAvailable => {
                    return Ok(false);
                }
                other => other?,
            }
        }
        Ok(true)
    }

    /// Opens the port on all addresses of these families.
    async fn open_all(
        &self,
        v4: bool,
        v6: bool,
        port: u16,
        answering: &mut Answering,
        answer: &str,
        busy: &mut Busy<'_>,
    ) -> Result<(), ResponderError> {
        let mut is_open = false;
        if v6 {
            match self.open((Ipv6Addr::UNSPECIFIED, port).into(), answering, answer, busy).await {
                // Where this one takes IPv4 too, the other cannot be opened and need not be.
                Ok(()) => is_open = !v4 || self.takes_both(port).await,
                // A machine without IPv6 answers over IPv4 alone.
                Err(_) if v4 => {}
                Err(error) => return Err(error),
            }
        }
        if v4 && !is_open {
            self.open((Ipv4Addr::UNSPECIFIED, port).into(), answering, answer, busy).await?;
        }
        Ok(())
    }

    /// Whether the open port on all IPv6 addresses takes IPv4 as well, as Linux does.
    async fn takes_both(&self, port: u16) -> bool {
        matches!(self.network.listen((Ipv4Addr::UNSPECIFIED, port).into()).await, Err(e) if e.kind() == io::ErrorKind::AddrInUse)
    }

    /// Adds the answer to an open port, or opens it.
    async fn open(
        &self,
        addr: SocketAddr,
        answering: &mut Answering,
        answer: &str,
        busy: &mut Busy<'_>,
    ) -> Result<(), ResponderError> {
        let started = Instant::now();
        loop {
            let opening = self.ports.opening.lock().await;
            if self.share(addr, answering, answer) {
                return Ok(());
            }
            match self.network.listen(addr).await {
                Ok(listener) => {
                    let answers: Answers = Arc::default();
                    lock(&answers).insert(answering.challenge.clone(), answer.to_owned());
                    let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, answers.clone())));
                    lock(&self.ports.open).insert(addr, Port { answers, _server: server });
                    answering.at.insert(addr);
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
                    drop(opening);
                    if started.elapsed() >= self.patience {
                        return Err(ResponderError::Busy { port: addr.port(), waited_s: self.patience.as_secs() });
                    }
                    if !std::mem::replace(&mut busy.is_told, true) {
                        (busy.tell)(addr);
                    }
                    tokio::time::sleep(RETRY).await;
                }
                Err(source) => return Err(ResponderError::Listen { addr, source }),
            }
        }
    }

    /// Uses a port that this process has open already: on this address, or on all addresses of its family.
    fn share(&self, addr: SocketAddr, answering: &mut Answering, answer: &str) -> bool {
        let all = match addr.ip() {
            IpAddr::V4(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port()),
            IpAddr::V6(_) => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), addr.port()),
        };
        let open = lock(&self.ports.open);
        let Some((at, port)) = [addr, all].into_iter().find_map(|at| Some((at, open.get(&at)?))) else { return false };
        lock(&port.answers).insert(answering.challenge.clone(), answer.to_owned());
        answering.at.insert(at);
        true
    }
}

async fn serve(mut listener: Box<dyn Listener>, answers: Answers) {
    let mut callers = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = callers.join_next(), if !callers.is_empty() => {}
            accepted = listener.accept(), if callers.len() < MAX_CALLERS => match accepted {
                Ok((stream, _)) => drop(callers.spawn(tokio::time::timeout(CONNECTION_TIME, serve_one(stream, answers.clone())))),
                // Out of file descriptors, for example: that passes.
                Err(_) => tokio::time::sleep(RETRY).await,
            },
        }
    }
}

async fn serve_one(stream: BoxStream, answers: Answers) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&request, &answers);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(CONNECTION_TIME)
        .max_buf_size(8 * 1024)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(e) = served {
        tracing::debug!(error = %e, "a caller of the challenge responder went away");
    }
}

fn respond(request: &Request<Incoming>, answers: &Answers) -> Response<Full<Bytes>> {
    let challenge = request.uri().path().strip_prefix(CHALLENGE_PATH).filter(|_| request.method() == Method::GET);
    let answer = challenge.and_then(|challenge| lock(answers).get(challenge).cloned());
    let (status, body) = answer.map_or((StatusCode::NOT_FOUND, String::new()), |answer| (StatusCode::OK, answer));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use futures::future::BoxFuture;
    use p2p_client::wire::net::TcpNetwork;

    use super::*;
    use crate::identity::challenge::{ChallengeError, ChallengeFetcher, HttpFetcher, Question, prove};

    /// A port that was free a moment ago.
    async fn free_port() -> u16 {
        TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap().local_addr().port()
    }

    fn loopback() -> Vec<Host> {
        vec!["127.0.0.1".parse().unwrap()]
    }

    #[tokio::test]
    async fn nodes_of_one_process_share_a_port_until_the_last_is_done() {
        let (port, responder) = (free_port().await, ChallengeResponder::new(Arc::new(TcpNetwork)));
        let fetcher = HttpFetcher::new(Arc::new(TcpNetwork));
        let at: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        let first = responder.answer(&loopback(), port, "one", "one.k", &|_| {}).await.unwrap();
        let second = responder.clone().answer(&loopback(), port, "two", "two.k", &|_| {}).await.unwrap();
        assert_eq!(fetcher.fetch(at, "/internal/cert-challenge/one").await.unwrap(), "one.k");
        drop(first);
        assert_eq!(fetcher.fetch(at, "/internal/cert-challenge/one").await, Err(ChallengeError::Status(404)));
        assert_eq!(fetcher.fetch(at, "/internal/cert-challenge/two").await.unwrap(), "two.k");
        assert_eq!(fetcher.fetch(at, "/health").await, Err(ChallengeError::Status(404)));
        drop(second);
        assert!(responder.open_ports().is_empty());
    }

    #[tokio::test]
    async fn a_busy_port_is_waited_for_until_it_is_free() {
        let holder = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = holder.local_addr().port();
        let holder = Mutex::new(Some(holder));
        let responder = ChallengeResponder::new(Arc::new(TcpNetwork));
        let busy = |_| drop(lock(&holder).take());
        responder.answer(&loopback(), port, "c", "c.k", &busy).await.unwrap();
        assert!(lock(&holder).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_stays_busy_is_named_in_the_error() {
        let holder = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let responder = ChallengeResponder::new(Arc::new(TcpNetwork));
        let port = holder.local_addr().port();
        let said = responder.answer(&loopback(), port, "c", "c.k", &|_| {}).await.unwrap_err();
        assert!(said.to_string().contains(&format!("port {port}")) && said.to_string().contains("20 s waited"), "{said}");
        assert!(responder.open_ports().is_empty());
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_answered_on_all_addresses() {
        let (port, responder) = (free_port().await, ChallengeResponder::new(Arc::new(TcpNetwork)));
        let natted = vec!["203.0.113.7".parse().unwrap()];
        let answering = responder.answer(&natted, port, "c", "c.k", &|_| {}).await.unwrap();
        assert_eq!(answering.at().collect::<Vec<_>>(), [(Ipv4Addr::UNSPECIFIED, port).into()]);
        let own = responder.answer(&loopback(), port, "d", "d.k", &|_| {}).await.unwrap();
        assert_eq!(own.at().collect::<Vec<_>>(), [(Ipv4Addr::UNSPECIFIED, port).into()]);
    }

    /// TCP, in a world where every name leads to both loopback addresses.
    struct DualStack;

    impl Network for DualStack {
        fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
            TcpNetwork.connect(authority)
        }

        fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
            TcpNetwork.listen(addr)
        }

        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]) })
        }
    }

    /// What a coordinator on loopback finds proved of these while they are answered for so.
    async fn proved(claimed: &[&str], answered: &[&str]) -> (Vec<Host>, Vec<String>) {
        let hosts = |all: &[&str]| all.iter().map(|host| host.parse().unwrap()).collect::<Vec<Host>>();
        let (port, responder) = (free_port().await, ChallengeResponder::new(Arc::new(DualStack)));
        let _answering = responder.answer(&hosts(answered), port, "c", "c.k", &|_| {}).await.unwrap();
        let question = Question { challenge: "c", answer: "c.k", port, loopback: true };
        let (proved, left_out) = prove(&HttpFetcher::new(Arc::new(DualStack)), &hosts(claimed), question).await;
        (proved, left_out.into_iter().map(|left| left.address.to_string()).collect())
    }

    #[tokio::test]
    async fn a_node_with_both_families_proves_an_address_of_each_and_one_that_is_not_answered_is_left_out() {
        let both = ["127.0.0.1", "::1"];
        assert_eq!(proved(&both, &both).await, (both.map(|ip| ip.parse().unwrap()).to_vec(), vec![]));
        assert_eq!(proved(&both, &both[..1]).await, (vec!["127.0.0.1".parse().unwrap()], vec!["::1".to_owned()]));
        assert_eq!(proved(&both, &both[1..]).await, (vec!["::1".parse().unwrap()], vec!["127.0.0.1".to_owned()]));
    }

    #[tokio::test]
    async fn addresses_are_answered_also_where_another_is_a_name_or_behind_a_nat() {
        for other in ["dual.example", "203.0.113.7", "2001:db8::7"] {
            for own in ["127.0.0.1", "::1"] {
                // The address behind the NAT is not asked here: nothing leaves the machine.
                assert_eq!(proved(&[own], &[own, other]).await, (vec![own.parse().unwrap()], vec![]), "{own} beside {other}");
            }
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_both_families_is_answered_on_both_and_is_not_proved_by_half() {
        let name = ["dual.example"];
        assert_eq!(proved(&name, &name).await, (vec!["dual.example".parse().unwrap()], vec![]));
        for half in ["127.0.0.1", "::1"] {
            assert_eq!(proved(&name, &[half]).await, (vec![], vec!["dual.example".to_owned()]), "only {half} answers");
        }
    }
}
