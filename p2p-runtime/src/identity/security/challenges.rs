//! Case 31: a node that makes the coordinator call where it should not: inside, elsewhere, or on another port.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::future::BoxFuture;
use p2p_client::{
    protocol::Role,
    wire::net::{BoxStream, Listener, Network, TcpNetwork},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use super::super::{
    CHALLENGE_PORT, CertRequest, ChallengeError, ChallengeFetcher, Host, HttpFetcher, Refused,
    address::refused,
    challenge::{
        Question, prove,
        tests::{World, one_answer},
    },
    coordinators::*,
    join::CertReply,
};
use crate::transport::{MemoryHost, MemoryNetwork};

const METADATA: &str = "169.254.169.254";
/// Where the coordinator is, and the node.
const HERE: &str = "10.0.0.1";
const NODE: &str = "10.0.0.9";
/// A port on which something else listens than the answer to a challenge.
const ODD_PORT: u16 = 22;

/// Addresses that lead into the coordinator's machine or to its provider, in all forms in which one can write them.
const INSIDE: [&str; 15] = [
    "127.0.0.1",
    "::1",
    "0.0.0.0",
    "::",
    METADATA,
    "169.254.1.1",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "224.0.0.1",
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn called(world: &World) -> Vec<SocketAddr> {
    world.called.lock().unwrap().clone()
}

/// A network on which all that leads inside answers everybody with a secret, at the port of challenges and at another; so does the node at
/// the other port. It counts who asks.
struct Inside {
    network: MemoryNetwork,
    asked: Arc<AtomicUsize>,
    servers: JoinSet<()>,
}

const SECRET: &str = "the secret";
const QUESTION: Question<'static> = Question { challenge: "c", answer: "c.k", port: CHALLENGE_PORT, loopback: false };
const PATH: &str = "/internal/cert-challenge/c";

impl Inside {
    async fn new() -> Self {
        let mut inside = Self { network: MemoryNetwork::new(), asked: Arc::default(), servers: JoinSet::new() };
        // On a network in memory, loopback and unspecified addresses lead to the host itself, as they do elsewhere.
        let hosts = INSIDE.into_iter().map(ip).filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).chain([ip(HERE)]);
        for host in hosts {
            for port in [CHALLENGE_PORT, ODD_PORT] {
                inside.serve(host, port, SECRET, true).await;
            }
        }
        inside.serve(ip(NODE), ODD_PORT, SECRET, true).await;
        inside.serve(ip(NODE), CHALLENGE_PORT, QUESTION.answer, false).await;
        inside
    }

    async fn serve(&mut self, ip: IpAddr, port: u16, text: &'static str, is_inside: bool) {
        let mut listener = self.network.host(ip).listen(SocketAddr::new(ip, port)).await.unwrap();
        let asked = self.asked.clone();
        self.servers.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.fetch_add(usize::from(is_inside), Ordering::SeqCst);
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
    }

    /// How often something inside was asked.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn coordinator(&self) -> MemoryHost {
        self.network.host(ip(HERE))
    }

    fn fetcher(&self) -> HttpFetcher {
        HttpFetcher::new(Arc::new(self.coordinator()))
    }
}

#[tokio::test]
async fn case_31_addresses_that_lead_inside_are_never_called_though_they_would_answer() {
    let desk = desk();
    let token = desk.token().await;
    let addresses: Vec<&str> = INSIDE.into_iter().chain(["10.0.0.9"]).collect();
    let issued = desk.attempt(&desk.joiner(&token, "w", Role::Worker, &addresses)).await.unwrap();
    assert_eq!(called(&desk.world), [SocketAddr::new(ip("10.0.0.9"), 8802)]);
    assert_eq!(issued.left_out.len(), INSIDE.len());
    assert!(issued.left_out.iter().all(|left| left.reason.starts_with("not called")), "{:?}", issued.left_out);
}

#[tokio::test]
async fn case_31_names_that_lead_inside_are_never_called_not_even_in_part() {
    let mut world = World::default();
    for (number, inside) in INSIDE.into_iter().enumerate() {
        world.names.insert(format!("n{number}.example"), vec![ip("10.0.0.9"), ip(inside)]);
    }
    let desk = desk_in(world, "10.0.0.1", |world, _| world);
    let token = desk.token().await;
    let names: Vec<String> = desk.world.names.keys().cloned().collect();
    let said = desk.attempt(&desk.joiner(&token, "w", Role::Worker, &names.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert!(matches!(said.unwrap_err(), Refused::NoAddressProved { tried, .. } if tried.len() == INSIDE.len()));
    assert_eq!(called(&desk.world), []);
    assert_eq!(desk.uses_left(&token), 1);
}

#[tokio::test]
async fn case_31_what_leads_inside_is_not_asked_over_the_network_either_where_all_of_it_gives_its_secret_away() {
    let inside = Inside::new().await;
    let claimed: Vec<Host> = INSIDE.into_iter().chain([NODE]).map(|ip| ip.parse().unwrap()).collect();
    let (proved, left_out) = prove(&inside.fetcher(), &claimed, QUESTION).await;
    assert_eq!((proved, left_out.len(), inside.asked()), (vec![NODE.parse().unwrap()], INSIDE.len(), 0));
}

#[tokio::test]
async fn case_31_control_who_asks_no_library_or_the_standard_one_is_made_to_fetch_the_secrets() {
    let inside = Inside::new().await;
    let fetcher = inside.fetcher();
    let fetch = async |ip: IpAddr| fetcher.fetch(SocketAddr::new(ip, CHALLENGE_PORT), PATH).await;
    for ip in INSIDE.map(ip) {
        assert_eq!(fetch(ip).await.as_deref(), Ok(SECRET), "{ip}");
    }
    assert_eq!(inside.asked(), INSIDE.len());
    // What the standard library says of an address misses most of them, the metadata services in other spellings among them.
    let is_harmless = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    };
    let mut given_away = Vec::new();
    for ip in INSIDE.map(ip).into_iter().filter(is_harmless) {
        assert_eq!(fetch(ip).await.as_deref(), Ok(SECRET), "{ip}");
        given_away.push(ip.to_string());
    }
    for missed in ["::ffff:169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254", "100.100.100.200"] {
        assert!(given_away.iter().any(|given| given == missed), "{missed}: {given_away:?}");
    }
}

fn redirect(to: SocketAddr) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/secret\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn case_31_a_redirect_is_an_answer_like_another_wrong_one_and_is_not_followed() {
    let inside = one_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret".to_vec()).await;
    let first = one_answer(redirect(inside)).await;
    let said = HttpFetcher::new(Arc::new(TcpNetwork)).fetch(first, "/x").await.unwrap_err();
    assert_eq!(said, ChallengeError::Status(302));
    assert!(said.to_string().contains("redirects are not followed"));
}

/// Asks over a connection of its own, and gives the answer as it came.
async fn ask_plainly(network: &dyn Network, url: &str) -> String {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = network.connect(authority).await.unwrap();
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn case_31_control_who_follows_the_redirect_gets_the_secret() {
    let inside = one_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret".to_vec()).await;
    let first = one_answer(redirect(inside)).await;
    let answer = ask_plainly(&TcpNetwork, &format!("http://{first}/x")).await;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(ask_plainly(&TcpNetwork, location).await.ends_with("secret"));
}

/// A name that leads to the node when it is first asked for, and inside ever after (DNS rebinding).
struct Rebinding(Arc<World>, AtomicUsize);

impl ChallengeFetcher for Rebinding {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.1.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(vec![ip(if asked == 0 { "10.0.0.9" } else { METADATA })]) })
    }

    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        self.0.fetch(to, path)
    }
}

#[tokio::test]
async fn case_31_a_name_that_changes_its_mind_is_asked_for_once_and_called_where_it_was_checked() {
    let desk = desk_in(World::default(), "10.0.0.1", |world, _| Arc::new(Rebinding(world, AtomicUsize::new(0))));
    let token = desk.token().await;
    let key = super::super::NodeKey::generate().unwrap();
    desk.world.keys.lock().unwrap().insert(ip("10.0.0.9"), key.public().thumbprint().to_string());
    desk.attempt(&desk.joiner_with(&token, "w", Role::Worker, &["node.example"], key)).await.unwrap();
    assert_eq!(called(&desk.world), [SocketAddr::new(ip("10.0.0.9"), 8802)]);
}

/// The coordinator's network, whose resolver is the attacker's: the name leads to the node when it is first looked up, and inside ever after.
struct Rebound {
    host: MemoryHost,
    looked_up: AtomicUsize,
}

impl Rebound {
    fn of(inside: &Inside) -> Arc<Self> {
        Arc::new(Self { host: inside.coordinator(), looked_up: AtomicUsize::new(0) })
    }
}

impl Network for Rebound {
    /// As an operating system does it: a name is looked up for every connection.
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            if authority.parse::<SocketAddr>().is_ok() {
                return self.host.connect(authority).await;
            }
            let (name, port) = authority.rsplit_once(':').unwrap();
            let found = self.resolve(name).await?;
            self.host.connect(&SocketAddr::new(found[0], port.parse().unwrap()).to_string()).await
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.host.listen(addr)
    }

    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let before = self.looked_up.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(vec![ip(if before == 0 { NODE } else { METADATA })]) })
    }
}

#[tokio::test]
async fn case_31_over_the_network_too_the_connection_goes_to_the_address_that_was_checked() {
    let inside = Inside::new().await;
    let network = Rebound::of(&inside);
    let claimed = ["node.example".parse().unwrap()];
    let (proved, _) = prove(&HttpFetcher::new(network.clone()), &claimed, QUESTION).await;
    assert_eq!((&proved[..], inside.asked(), network.looked_up.load(Ordering::SeqCst)), (&claimed[..], 0, 1));
}

#[tokio::test]
async fn case_31_control_who_checks_the_name_and_then_connects_to_the_name_is_led_inside() {
    let inside = Inside::new().await;
    let network = Rebound::of(&inside);
    let checked = network.resolve("node.example").await.unwrap();
    assert!(checked.iter().all(|ip| refused(*ip, false).is_none()));
    let answer = ask_plainly(&*network, &format!("http://node.example:{CHALLENGE_PORT}{PATH}")).await;
    assert!(answer.ends_with(SECRET) && inside.asked() == 1, "{answer}");
}

#[tokio::test]
async fn case_31_the_port_is_the_coordinators_choice_and_an_odd_address_is_none() {
    let desk = desk();
    let token = desk.token().await;
    let mut said = serde_json::to_value(desk.worker(&token, "w", "10.0.0.9").hello()).unwrap();
    said["step"] = "hello".into();
    for odd in
        ["10.0.0.9:22", "[::1]:22", "http://10.0.0.9", "10.0.0.9/x", "a@10.0.0.9", "2130706433", "0x7f.1", "127.1", "0177.0.0.1"]
    {
        said["addresses"] = vec![odd].into();
        let refused = CertRequest::from_json(said.to_string().as_bytes()).unwrap_err();
        assert!(matches!(&refused, Refused::Malformed { what } if what.contains("is no address")), "{odd}: {refused}");
    }
    // A port beside the address changes nothing.
    said["addresses"] = vec!["10.0.0.9"].into();
    said["port"] = 22.into();
    let hello = CertRequest::from_json(said.to_string().as_bytes()).unwrap();
    let reply = desk.issuer.handle(hello, channel(), "10.0.0.9:40000".parse().unwrap()).await.unwrap();
    assert!(matches!(reply, CertReply::Hello(reply) if reply.port == 8802));
}

#[tokio::test]
async fn case_31_control_who_takes_the_port_from_the_claim_is_made_to_ask_the_service_behind_it() {
    let inside = Inside::new().await;
    let claim = format!("{NODE}:{ODD_PORT}");
    // Read as an address with a port, all is well with it: the node may be called there.
    let to: SocketAddr = claim.parse().unwrap();
    assert_eq!(refused(to.ip(), false), None);
    assert_eq!(inside.fetcher().fetch(to, PATH).await.as_deref(), Ok(SECRET));
    assert_eq!(inside.asked(), 1);
    // And as it is read here: that is no claim, and the same node without a port is called where the coordinator says.
    assert!(claim.parse::<Host>().is_err());
    let (proved, _) = prove(&inside.fetcher(), &[NODE.parse().unwrap()], QUESTION).await;
    assert_eq!((proved.len(), inside.asked()), (1, 1));
}
