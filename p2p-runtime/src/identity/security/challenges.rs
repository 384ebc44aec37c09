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
use p2p_client::{protocol::Role, wire::net::TcpNetwork};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::super::{
    CertRequest, ChallengeError, ChallengeFetcher, Host, HttpFetcher, Refused,
    address::refused,
    challenge::tests::{World, one_answer},
    coordinators::*,
    join::CertReply,
};

const METADATA: &str = "169.254.169.254";

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
async fn case_31_control_who_asks_the_standard_library_alone_calls_the_metadata_service() {
    let world = World::default();
    let is_harmless = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    for inside in INSIDE.into_iter().map(ip).filter(is_harmless) {
        assert!(refused(inside, false).is_some());
        let _ = world.fetch(SocketAddr::new(inside, 8802), "/internal/cert-challenge/c").await;
    }
    let called: Vec<IpAddr> = called(&world).iter().map(SocketAddr::ip).collect();
    assert!(called.contains(&ip("::ffff:169.254.169.254")) && called.contains(&ip("100.100.100.200")), "{called:?}");
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
async fn ask_plainly(url: &str) -> String {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn case_31_control_who_follows_the_redirect_gets_the_secret() {
    let inside = one_answer(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret".to_vec()).await;
    let first = one_answer(redirect(inside)).await;
    let answer = ask_plainly(&format!("http://{first}/x")).await;
    let location = answer.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
    assert!(ask_plainly(location).await.ends_with("secret"));
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

#[tokio::test]
async fn case_31_control_who_checks_the_name_and_then_connects_to_the_name_is_led_inside() {
    let fetcher = Rebinding(Arc::default(), AtomicUsize::new(0));
    let checked = fetcher.resolve("node.example").await.unwrap();
    assert!(checked.iter().all(|ip| refused(*ip, false).is_none()));
    for connected in fetcher.resolve("node.example").await.unwrap() {
        let _ = fetcher.fetch(SocketAddr::new(connected, 8802), "/internal/cert-challenge/c").await;
    }
    assert_eq!(called(&fetcher.0), [SocketAddr::new(ip(METADATA), 8802)]);
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
async fn case_31_control_who_takes_the_port_from_the_claim_calls_it() {
    let world = World::default();
    assert!("10.0.0.9:22".parse::<Host>().is_err());
    let _ = world.fetch("10.0.0.9:22".parse().unwrap(), "/internal/cert-challenge/c").await;
    assert_eq!(called(&world), ["10.0.0.9:22".parse().unwrap()]);
}
