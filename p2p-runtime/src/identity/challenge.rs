//! The coordinator's callback: calls every address that a node claims, and believes those that answer for its key.
//!
//! Data flows so: claimed [`Host`] → its IP addresses → refusals → one GET to each → the answers that fit. A name counts
//! only if every address behind it answers. The connection goes to the very address that was checked, so that a name
//! that changes its mind in between gains nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::{BoxFuture, join_all};
use hyper::{Method, StatusCode};
use p2p_client::wire::net::Network;

use super::{
    address::{Host, refused},
    checks::{Check, bound},
    http::HttpConnection,
    join::LeftOut,
};

/// The port on which a joining node answers challenges, unless the coordinator is set to another.
pub const CHALLENGE_PORT: u16 = 8802;
/// How long one address has to answer.
pub const CHALLENGE_TIMEOUT: Duration = Duration::from_secs(2);
/// The path before the challenge.
pub(super) const CHALLENGE_PATH: &str = "/internal/cert-challenge/";
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 1024;
/// How many addresses may stand behind one name.
const MAX_BEHIND_NAME: usize = 8;

/// Why an address was not proved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// It is never called.
    #[error("not called: {0}")]
    Refused(&'static str),
    /// The name leads nowhere, or to too many addresses.
    #[error("the name does not resolve: {0}")]
    Unresolved(String),
    /// Nobody answered there.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("no answer within {} s", CHALLENGE_TIMEOUT.as_secs())]
    Timeout,
    /// It answered with another status, a redirect for example.
    #[error("HTTP status {0} instead of 200 (redirects are not followed)")]
    Status(u16),
    /// What it answered is not for this challenge and this key.
    #[error("another node or program answered")]
    WrongAnswer,
}

/// How challenges reach the world; tests and simulations have their own.
pub trait ChallengeFetcher: Send + Sync + 'static {
    /// The addresses behind a name.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;

    /// Asks this address for `path` and gives the text of a 200 answer.
    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>>;
}

/// Fetches over HTTP/1.1, through a network and its names.
#[derive(Clone)]
pub struct HttpFetcher {
    network: Arc<dyn Network>,
    timeout: Duration,
}

impl HttpFetcher {
    /// Fetches over this network.
    pub fn new(network: Arc<dyn Network>) -> Self {
        Self { network, timeout: CHALLENGE_TIMEOUT }
    }

    async fn fetch_once(&self, to: SocketAddr, path: &str) -> Result<String, ChallengeError> {
        let unreachable = |e: &dyn std::fmt::Display| ChallengeError::Unreachable(e.to_string());
        let authority = to.to_string();
        let stream = self.network.connect(&authority).await.map_err(|e| unreachable(&e))?;
        let mut http = HttpConnection::open(stream, &authority).await.map_err(|e| unreachable(&e))?;
        let response = http.request(Method::GET, path, Vec::new(), MAX_ANSWER).await.map_err(|e| unreachable(&e))?;
        if response.status != StatusCode::OK {
            return Err(ChallengeError::Status(response.status.as_u16()));
        }
        String::from_utf8(response.body.to_vec()).map_err(|_| ChallengeError::WrongAnswer)
    }
}

impl ChallengeFetcher for HttpFetcher {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::time::timeout(self.timeout, self.network.resolve(name)).await;
            found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }

    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        Box::pin(async move {
            tokio::time::timeout(self.timeout, self.fetch_once(to, path)).await.unwrap_or(Err(ChallengeError::Timeout))
        })
    }
}

/// What is asked of an address, and what it must answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) challenge: &'a str,
    pub(super) answer: &'a str,
    pub(super) port: u16,
    /// Whether loopback addresses may be called.
    pub(super) loopback: bool,
}

/// Asks all addresses at once; gives those that were proved, and the others with the reason.
pub(super) async fn prove(fetcher: &dyn ChallengeFetcher, claimed: &[Host], question: Question<'_>) -> (Vec<Host>, Vec<LeftOut>) {
    let asked = claimed.iter().map(async |host| (host, ask(fetcher, host, question).await));
    let (mut proved, mut left_out) = (Vec::new(), Vec::new());
    for (host, outcome) in join_all(asked).await {
        match outcome {
            Ok(()) => proved.push(host.clone()),
            Err(e) => left_out.push(LeftOut { address: host.clone(), reason: e.to_string() }),
        }
    }
    (proved, left_out)
}

async fn ask(fetcher: &dyn ChallengeFetcher, host: &Host, question: Question<'_>) -> Result<(), ChallengeError> {
    let ips = match host {
        Host::Ip(ip) => vec![*ip],
        Host::Name(name) => {
            let mut ips = fetcher.resolve(name).await.map_err(|e| ChallengeError::Unresolved(e.to_string()))?;
            ips.sort_unstable();
            ips.dedup();
            ips
        }
    };
    if ips.is_empty() || ips.len() > MAX_BEHIND_NAME {
        return Err(ChallengeError::Unresolved(format!("there are {} addresses behind it", ips.len())));
    }
    // All are looked at before the first is called: a name must not lead half its calls inside.
    let inside = ips.iter().find_map(|ip| refused(*ip, question.loopback));
    if let Some(why) = bound(Check::InsideAddress, inside, None) {
        return Err(ChallengeError::Refused(why));
    }
    let path = format!("{CHALLENGE_PATH}{}", question.challenge);
    let path = path.as_str();
    let answers = join_all(ips.iter().map(async |ip| fetcher.fetch(SocketAddr::new(*ip, question.port), path).await)).await;
    for answer in answers {
        if answer?.trim_end() != question.answer {
            return Err(ChallengeError::WrongAnswer);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use p2p_client::wire::net::TcpNetwork;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A world in which names resolve and addresses answer as the test says; it notes who was called.
    #[derive(Default)]
    pub(crate) struct World {
        pub(in super::super) names: BTreeMap<String, Vec<IpAddr>>,
        pub(in super::super) answers: Mutex<BTreeMap<IpAddr, String>>,
        /// Addresses that answer every challenge for a key with this thumbprint.
        pub(in super::super) keys: Mutex<BTreeMap<IpAddr, String>>,
        pub(in super::super) called: Mutex<Vec<SocketAddr>>,
    }

    impl ChallengeFetcher for World {
        fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async move { self.names.get(name).cloned().ok_or(io::Error::from(io::ErrorKind::NotFound)) })
        }

        fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
            Box::pin(async move {
                self.called.lock().unwrap().push(to);
                let challenge = path.strip_prefix(CHALLENGE_PATH).unwrap();
                if let Some(key) = self.keys.lock().unwrap().get(&to.ip()) {
                    return Ok(format!("{challenge}.{key}"));
                }
                self.answers.lock().unwrap().get(&to.ip()).cloned().ok_or(ChallengeError::Timeout)
            })
        }
    }

    const QUESTION: Question<'static> = Question { challenge: "c", answer: "c.k", port: 8802, loopback: false };

    fn world(names: &[(&str, &[&str])], right: &[&str]) -> World {
        World {
            names: names.iter().map(|(n, ips)| ((*n).to_owned(), ips.iter().map(|ip| ip.parse().unwrap()).collect())).collect(),
            answers: Mutex::new(right.iter().map(|ip| (ip.parse().unwrap(), "c.k".to_owned())).collect()),
            ..World::default()
        }
    }

    #[tokio::test]
    async fn every_address_behind_a_name_must_answer_and_none_may_lead_inside() {
        let world = world(
            &[
                ("both", &["10.0.0.1", "10.0.0.2"]),
                ("half", &["10.0.0.1", "10.0.0.3"]),
                ("inside", &["10.0.0.1", "169.254.169.254"]),
            ],
            &["10.0.0.1", "10.0.0.2"],
        );
        let claimed: Vec<Host> = ["both", "half", "inside", "nowhere"].iter().map(|n| n.parse().unwrap()).collect();
        let (proved, left_out) = prove(&world, &claimed, QUESTION).await;
        assert_eq!(proved, [claimed[0].clone()]);
        let said: Vec<String> = left_out.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("half: no answer within 2 s"), "{said:?}");
        assert!(said[1].contains("inside: not called: link-local"), "{said:?}");
        assert!(said[2].contains("nowhere: the name does not resolve"), "{said:?}");
        let called = world.called.lock().unwrap();
        assert!(called.iter().all(|addr| addr.ip() != "169.254.169.254".parse::<IpAddr>().unwrap() && addr.port() == 8802));
    }

    /// A server that gives one raw answer.
    async fn one_answer(answer: Vec<u8>) -> SocketAddr {
        let mut listener = TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let addr = listener.local_addr();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        });
        addr
    }

    #[tokio::test]
    async fn large_answers_and_other_programs_prove_nothing() {
        let fetcher = HttpFetcher::new(Arc::new(TcpNetwork));
        let mut large = b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n".to_vec();
        large.extend([b'x'; 2000]);
        let large = one_answer(large).await;
        assert!(matches!(fetcher.fetch(large, "/x").await, Err(ChallengeError::Unreachable(why)) if why.contains("1024")));
        let other = one_answer(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
        assert!(matches!(fetcher.fetch(other, "/x").await, Err(ChallengeError::Unreachable(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_and_a_silent_resolver_are_given_up_after_two_seconds() {
        struct Silent;
        impl Network for Silent {
            fn connect<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<p2p_client::wire::net::BoxStream>> {
                Box::pin(std::future::pending())
            }
            fn listen(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn p2p_client::wire::net::Listener>>> {
                Box::pin(std::future::pending())
            }
            fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
                Box::pin(std::future::pending())
            }
        }
        let start = tokio::time::Instant::now();
        let got = HttpFetcher::new(Arc::new(Silent)).fetch("10.0.0.1:1".parse().unwrap(), "/x").await;
        assert_eq!((got, start.elapsed()), (Err(ChallengeError::Timeout), CHALLENGE_TIMEOUT));
        let start = tokio::time::Instant::now();
        let found = HttpFetcher::new(Arc::new(Silent)).resolve("silent.example").await;
        assert_eq!((found.unwrap_err().kind(), start.elapsed()), (io::ErrorKind::TimedOut, CHALLENGE_TIMEOUT));
    }
}
