mod security;

use p2p_client::protocol::Role;

use super::*;

fn node(name: &str) -> CallerId {
    CallerId::Node { id: name.parse().unwrap(), role: Role::Worker }
}

fn limits() -> Arc<Limits> {
    Limits::new(&RateLimitConfig { rpc_burst: 2, health_burst: 3, node_burst: 5, ..RateLimitConfig::default() })
}

/// How many of ten calls are served at once.
fn served(limits: &Limits, caller: &CallerId, address: &str, budget: Budget) -> usize {
    let address = address.parse().ok();
    (0..10).filter(|_| limits.draw(caller, None, address, budget).is_ok()).count()
}

#[tokio::test(start_paused = true)]
async fn each_is_limited_by_what_he_is_and_the_operator_is_not() {
    let limits = limits();
    assert_eq!(served(&limits, &CallerId::Anonymous, "192.0.2.1", Budget::Rpc), 2);
    assert_eq!(served(&limits, &CallerId::Anonymous, "192.0.2.1", Budget::Health), 3, "health has a budget of its own");
    assert_eq!(served(&limits, &CallerId::Anonymous, "192.0.2.2", Budget::Rpc), 2, "and so has another address");
    assert_eq!(served(&limits, &CallerId::Anonymous, "2001:db8::1", Budget::Rpc), 2);
    assert_eq!(served(&limits, &CallerId::Anonymous, "2001:db8::2", Budget::Rpc), 0, "but not another address of one network");
    assert_eq!(served(&limits, &node("w"), "192.0.2.1", Budget::Rpc), 5, "a node goes by its name");
    assert_eq!(served(&limits, &node("w"), "192.0.2.9", Budget::Health), 0);
    assert_eq!(served(&limits, &CallerId::Operator, "", Budget::Rpc), 10);
    assert_eq!(limits.refused(), RefusedCalls { rpc: 8 + 8 + 8 + 10, health: 7, node: 5 + 10 });
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_60_tokens_and_certificates_a_minute_and_its_calls_and_other_nodes_are_not_held_up() {
    let limits = limits();
    let (w, v): (NodeId, NodeId) = ("w".parse().unwrap(), "v".parse().unwrap());
    assert!((0..60).all(|_| limits.draw_credentials(&w).is_ok()));
    let over = limits.draw_credentials(&w).unwrap_err();
    assert_eq!(over.retry_after, Duration::from_secs(1));
    let message = RpcError::from(over).message;
    assert!(
        message.contains("no more requests for tokens and certificates") && message.contains("(60 a minute of each node)"),
        "{message}"
    );
    assert!(limits.draw_credentials(&v).is_ok());
    assert_eq!(served(&limits, &node("w"), "192.0.2.1", Budget::Rpc), 5);
    assert_eq!(limits.refused(), RefusedCalls { node: 1 + 5, ..RefusedCalls::default() });
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(limits.draw_credentials(&w).is_ok() && limits.draw_credentials(&w).is_err());
    limits.change(&RateLimitConfig::unlimited());
    assert!((0..100).all(|_| limits.draw_credentials(&w).is_ok()));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_else_is_configured_the_health_may_be_asked_for_50_times_at_once_and_300_times_a_minute() {
    let limits = Limits::new(&RateLimitConfig::default());
    let address = "192.0.2.1".parse().ok();
    let asked = || (0..1_000).filter(|_| limits.draw(&CallerId::Anonymous, None, address, Budget::Health).is_ok()).count();
    assert_eq!(asked(), 50);
    tokio::time::advance(Duration::from_millis(199)).await;
    assert_eq!(asked(), 0);
    tokio::time::advance(Duration::from_millis(2)).await;
    assert_eq!(asked(), 1);
    let mut in_a_minute = 0;
    for _ in 0..60 {
        tokio::time::advance(Duration::from_secs(1)).await;
        in_a_minute += asked();
    }
    assert_eq!(in_a_minute, 300);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_passes_on_is_drawn_from_the_node_whoever_asked() {
    let limits = limits();
    let forwarder = "f".parse().unwrap();
    let passed_on = (0..10).filter(|_| limits.draw(&CallerId::Anonymous, Some(&forwarder), None, Budget::Rpc).is_ok()).count();
    assert_eq!(passed_on, 5);
}

#[tokio::test(start_paused = true)]
async fn a_nodes_sessions_and_requests_draw_from_one_bucket_and_closing_one_wins_nothing() {
    let limits = limits();
    let id = "w".parse().unwrap();
    let session = limits.peer(&id);
    assert!((0..3).all(|_| session.draw(Instant::now()).is_ok()));
    drop(session);
    let again = limits.peer(&id);
    assert_eq!((0..10).filter(|_| again.draw(Instant::now()).is_ok()).count(), 2);
    assert_eq!(served(&limits, &node("w"), "192.0.2.1", Budget::Rpc), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_come_again_and_coming_then_helps() {
    let limits = limits();
    let draw = || limits.draw(&CallerId::Anonymous, None, None, Budget::Rpc);
    assert!(draw().is_ok() && draw().is_ok());
    let over = draw().unwrap_err();
    assert_eq!(over.retry_after, Duration::from_millis(600));
    tokio::time::advance(over.retry_after).await;
    assert!(draw().is_ok() && draw().is_err());
    let error = RpcError::from(over);
    assert_eq!((error.code.name(), error.data.unwrap().get()), ("rate_limited", r#"{"retry_after_ms":600}"#));
    assert!(error.message.ends_with("(rate_limit.rpc_requests); try again in 600 ms"), "{}", error.message);
}

#[tokio::test(start_paused = true)]
async fn rates_can_be_changed_while_the_node_runs() {
    let limits = limits();
    let at = "192.0.2.1";
    assert_eq!(served(&limits, &CallerId::Anonymous, at, Budget::Rpc), 2);
    limits.change(&RateLimitConfig { enabled: false, ..RateLimitConfig::default() });
    assert_eq!(served(&limits, &CallerId::Anonymous, at, Budget::Rpc), 10);
    limits.change(&RateLimitConfig { rpc_burst: 4, ..RateLimitConfig::default() });
    assert_eq!(served(&limits, &CallerId::Anonymous, at, Budget::Rpc), 2, "two of the four are drawn");
}

#[tokio::test(start_paused = true)]
async fn silent_nodes_are_forgotten_and_others_are_not() {
    let limits = limits();
    let held = limits.peer(&"held".parse().unwrap());
    for number in 0..3 * MANY_NODES {
        limits.draw(&node(&format!("n{number}")), None, None, Budget::Rpc).unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let nodes = limits.nodes.lock().unwrap();
    assert!(nodes.len() <= MANY_NODES, "{}", nodes.len());
    assert!(Arc::ptr_eq(&nodes[&"held".parse::<NodeId>().unwrap()], &held.bucket));
}

/// Prints what a call on a session pays; in an unoptimised build that is some ten times what it is in a node.
#[test]
fn the_calls_of_a_node_within_its_burst_are_all_served() {
    let peer = Limits::new(&RateLimitConfig::default()).peer(&"w".parse().unwrap());
    let (received, calls) = (Instant::now(), 200_000);
    let began = std::time::Instant::now();
    let drawn = (0..calls).filter(|_| std::hint::black_box(&peer).draw(std::hint::black_box(received)).is_ok()).count();
    println!("{:.1} ns a draw", began.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
    assert_eq!(drawn, 200_000);
}
