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
    wire::net::{BoxStream, Listener, Network},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

use super::super::{
    CHALLENGE_PORT, CertRequest, ChallengeError, ChallengeFetcher, Host, HttpFetcher, Refused,
    address::refused,
    challenge::{Question, prove, tests::World},
    checks::Check,
    coordinators::*,
    join::{CertReply, Issued},
};
use crate::{
    checks::without_during,
    transport::{MemoryHost, MemoryNetwork},
};

const METADATA: &str = "169.254.169.254";
/// Where the coordinator is, and the node.
const HERE: &str = "10.0.0.1";
const NODE: &str = "10.0.0.9";
/// A node that answers with a redirect.
const REDIRECTING: &str = "10.0.0.8";
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
/// the other port. It counts who asks. Another node sends whoever asks it to the metadata service.
struct Inside {
    network: MemoryNetwork,
    asked: Arc<AtomicUsize>,
    servers: JoinSet<()>,
}

const SECRET: &str = "the secret";
const QUESTION: Question<'static> = Question { challenge: "c", answer: "c.k", port: CHALLENGE_PORT, loopback: false };
const PATH: &str = "/internal/cert-challenge/c";

fn text(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

fn redirect(to: SocketAddr) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: http://{to}/secret\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

impl Inside {
    async fn new() -> Self {
        let mut inside = Self { network: MemoryNetwork::new(), asked: Arc::default(), servers: JoinSet::new() };
        // On a network in memory, loopback and unspecified addresses lead to the host itself, as they do elsewhere.
        let hosts = INSIDE.into_iter().map(ip).filter(|ip| !ip.is_loopback() && !ip.is_unspecified()).chain([ip(HERE)]);
        for host in hosts {
            for port in [CHALLENGE_PORT, ODD_PORT] {
                inside.serve(host, port, text(SECRET), true).await;
            }
        }
        inside.serve(ip(NODE), ODD_PORT, text(SECRET), true).await;
        inside.serve(ip(NODE), CHALLENGE_PORT, text(QUESTION.answer), false).await;
        let elsewhere = redirect(SocketAddr::new(ip(METADATA), CHALLENGE_PORT));
        inside.serve(ip(REDIRECTING), CHALLENGE_PORT, elsewhere, false).await;
        inside
    }

    async fn serve(&mut self, ip: IpAddr, port: u16, answer: Vec<u8>, is_inside: bool) {
        let mut listener = self.network.host(ip).listen(SocketAddr::new(ip, port)).await.unwrap();
        let asked = self.asked.clone();
        self.servers.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.fetch_add(usize::from(is_inside), Ordering::SeqCst);
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
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

/// Whom a coordinator calls for a node that claims its own address and all that lead inside; and what came of it.
async fn claimed_by_address() -> (Vec<SocketAddr>, Result<Issued, Refused>) {
    let desk = desk();
    let token = desk.token().await;
    let addresses: Vec<&str> = INSIDE.into_iter().chain([NODE]).collect();
    let issued = desk.attempt(&desk.joiner(&token, "w", Role::Worker, &addresses)).await;
    (called(&desk.world), issued)
}

#[tokio::test]
async fn case_31_addresses_that_lead_inside_are_never_called_though_they_would_answer() {
    let (called, issued) = claimed_by_address().await;
    assert_eq!(called, [SocketAddr::new(ip(NODE), CHALLENGE_PORT)]);
    let left_out = issued.unwrap().left_out;
    assert_eq!(left_out.len(), INSIDE.len());
    assert!(left_out.iter().all(|left| left.reason.starts_with("not called")), "{left_out:?}");
}

/// Whom a coordinator calls for a node that claims names of which each leads to itself and inside; and what came of it.
async fn claimed_by_name() -> (Vec<SocketAddr>, Result<Issued, Refused>) {
    let mut world = World::default();
    for (number, inside) in INSIDE.into_iter().enumerate() {
        world.names.insert(format!("n{number}.example"), vec![ip(NODE), ip(inside)]);
    }
    let desk = desk_in(world, HERE, |world, _| world);
    let token = desk.token().await;
    let names: Vec<String> = desk.world.names.keys().cloned().collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = desk.attempt(&desk.joiner(&token, "w", Role::Worker, &names)).await;
    assert_eq!(desk.uses_left(&token), 1);
    (called(&desk.world), said)
}

#[tokio::test]
async fn case_31_names_that_lead_inside_are_never_called_not_even_in_part() {
    let (called, said) = claimed_by_name().await;
    assert!(matches!(said.unwrap_err(), Refused::NoAddressProved { tried, .. } if tried.len() == INSIDE.len()));
    assert_eq!(called, []);
}

#[tokio::test]
async fn case_31_control_without_a_look_at_them_addresses_and_names_that_lead_inside_are_called() {
    for called in [
        without_during(&[Check::InsideAddress], claimed_by_address()).await.0,
        without_during(&[Check::InsideAddress], claimed_by_name()).await.0,
    ] {
        for inside in INSIDE.map(ip) {
            assert!(called.contains(&SocketAddr::new(inside, CHALLENGE_PORT)), "{inside}: {called:?}");
        }
    }
}

/// How many addresses of a node that claims these are proved, and left out; and how often something inside was asked.
async fn claimed_over_the_network(claimed: impl IntoIterator<Item = &str>) -> [usize; 3] {
    let inside = Inside::new().await;
    let claimed: Vec<Host> = claimed.into_iter().map(|ip| ip.parse().unwrap()).collect();
    let (proved, left_out) = prove(&inside.fetcher(), &claimed, QUESTION).await;
    [proved.len(), left_out.len(), inside.asked()]
}

#[tokio::test]
async fn case_31_what_leads_inside_is_not_asked_over_the_network_either_where_all_of_it_gives_its_secret_away() {
    assert_eq!(claimed_over_the_network(INSIDE.into_iter().chain([NODE])).await, [1, INSIDE.len(), 0]);
}

#[tokio::test]
async fn case_31_control_without_a_look_at_the_addresses_all_that_lead_inside_are_asked_and_give_their_secrets_away() {
    let claimed = claimed_over_the_network(INSIDE.into_iter().chain([NODE]));
    assert_eq!(without_during(&[Check::InsideAddress], claimed).await, [1, INSIDE.len(), INSIDE.len()]);
    // What is given away: the coordinator compares it, and could as well show it.
    let inside = Inside::new().await;
    for ip in INSIDE.map(ip) {
        assert_eq!(inside.fetcher().fetch(SocketAddr::new(ip, CHALLENGE_PORT), PATH).await.as_deref(), Ok(SECRET), "{ip}");
    }
}

#[test]
fn what_the_standard_library_says_of_an_address_misses_metadata_services_and_other_spellings() {
    let is_harmless = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    };
    for missed in ["::ffff:169.254.169.254", "::ffff:127.0.0.1", "fd00:ec2::254", "100.100.100.200"] {
        assert!(INSIDE.contains(&missed) && is_harmless(&ip(missed)) && refused(ip(missed), false).is_some(), "{missed}");
    }
}

#[tokio::test]
async fn case_31_a_redirect_is_an_answer_like_another_wrong_one_and_is_not_followed() {
    let inside = Inside::new().await;
    let (proved, left_out) = prove(&inside.fetcher(), &[REDIRECTING.parse().unwrap()], QUESTION).await;
    assert_eq!((proved.len(), inside.asked()), (0, 0));
    let said = left_out[0].to_string();
    assert!(said.contains("HTTP status 302 instead of 200") && said.contains("redirects are not followed"), "{said}");
}

/// The coordinator's fetcher, and behind it what the product does not have: it goes where a redirect leads. There is no check of which this
/// could be less, as what an answer says of its location is not even read; all else is the product.
struct Following {
    network: MemoryHost,
    fetcher: HttpFetcher,
}

impl ChallengeFetcher for Following {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.fetcher.resolve(name)
    }

    fn fetch<'a>(&'a self, to: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        Box::pin(async move {
            let answer = self.fetcher.fetch(to, path).await;
            if answer != Err(ChallengeError::Status(302)) {
                return answer;
            }
            let mut stream = self.network.connect(&to.to_string()).await.unwrap();
            stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {to}\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let location = answer.lines().find_map(|line| line.strip_prefix("location: http://")).unwrap();
            let (authority, path) = location.split_once('/').unwrap();
            self.fetcher.fetch(authority.parse().unwrap(), &format!("/{path}")).await
        })
    }
}

#[tokio::test]
async fn case_31_control_a_coordinator_that_follows_redirects_is_led_inside_although_it_looks_at_every_address_that_is_claimed() {
    let inside = Inside::new().await;
    let fetcher = Following { network: inside.coordinator(), fetcher: inside.fetcher() };
    prove(&fetcher, &[REDIRECTING.parse().unwrap()], QUESTION).await;
    assert_eq!(inside.asked(), 1);
    assert_eq!(fetcher.fetch(SocketAddr::new(ip(REDIRECTING), CHALLENGE_PORT), PATH).await.as_deref(), Ok(SECRET));
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

/// The coordinator's network, whose resolver is the attacker's: the name leads to the node when it is first looked up, and inside ever
/// after.
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
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        self.host.connect(authority)
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.host.listen(addr)
    }

    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let before = self.looked_up.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move { Ok(vec![ip(if before == 0 { NODE } else { METADATA })]) })
    }
}

const REBOUND: &str = "node.example";

#[tokio::test]
async fn case_31_over_the_network_too_the_connection_goes_to_the_address_that_was_checked() {
    let inside = Inside::new().await;
    let network = Rebound::of(&inside);
    let (proved, _) = prove(&HttpFetcher::new(network.clone()), &[REBOUND.parse().unwrap()], QUESTION).await;
    assert_eq!((proved.len(), inside.asked(), network.looked_up.load(Ordering::SeqCst)), (1, 0, 1));
}

/// The coordinator's fetcher, which connects to the name that was claimed, as an operating system does it: it is looked up for every
/// connection. The product cannot, by the type of what it fetches from, so that there is no check to leave out; all else is the product.
struct ByName(HttpFetcher);

impl ChallengeFetcher for ByName {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.0.resolve(name)
    }

    fn fetch<'a>(&'a self, checked: SocketAddr, path: &'a str) -> BoxFuture<'a, Result<String, ChallengeError>> {
        Box::pin(async move {
            let found = self.0.resolve(REBOUND).await.unwrap();
            self.0.fetch(SocketAddr::new(found[0], checked.port()), path).await
        })
    }
}

#[tokio::test]
async fn case_31_control_who_checks_the_name_and_then_connects_to_the_name_is_led_inside() {
    let inside = Inside::new().await;
    let network = Rebound::of(&inside);
    let (proved, left_out) = prove(&ByName(HttpFetcher::new(network)), &[REBOUND.parse().unwrap()], QUESTION).await;
    assert_eq!((proved.len(), inside.asked()), (0, 1), "{left_out:?}");
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

/// A claim has no room for a port, so that there is no check to leave out: what would be called is asked by the product's own fetcher,
/// after the product's own look at the address.
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
