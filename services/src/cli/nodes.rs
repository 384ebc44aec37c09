//! `p2p nodes`: who is in the cluster.

use p2p_client::protocol::{NodeInfo, UnixMillis};

use super::{
    Invocation,
    error::CliError,
    json,
    output::{self, Format},
    socket::{Ask, Socket, decode, text},
};

/// Lists the nodes.
pub(super) async fn run(invocation: &Invocation) -> Result<(), CliError> {
    let answer = Socket::of(invocation).ask(Ask::get("/cluster/nodes")).await?;
    match invocation.format {
        Format::Json => output::line(json::pretty(text(&answer)?)),
        Format::Table => {
            let (nodes, now): (Vec<NodeInfo>, _) = (decode(&answer)?, UnixMillis::now());
            let header = ["NODE", "ROLE", "STATUS", "ADDRESS", "SERVICES", "LAST SEEN"];
            output::line(output::table(header, nodes.iter().map(|node| row(node, now))));
        }
    }
    Ok(())
}

fn row(node: &NodeInfo, now: UnixMillis) -> [String; 6] {
    [
        node.node_id.to_string(),
        node.role.to_string(),
        node.status.to_string(),
        node.authority(),
        if node.is_starting() { "(starting)".to_owned() } else { output::list(node.services.keys()) },
        ago(node.last_seen, now),
    ]
}

/// How long ago something was, as people say it.
pub(super) fn ago(then: UnixMillis, now: UnixMillis) -> String {
    if then.0 == 0 {
        return "never".to_owned();
    }
    match now.0.saturating_sub(then.0) / 1000 {
        0..2 => "now".to_owned(),
        s @ 2..120 => format!("{s} s ago"),
        s @ 120..7200 => format!("{} min ago", s / 60),
        s @ 7200..172_800 => format!("{} h ago", s / 3600),
        s => format!("{} days ago", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_starts_is_told_apart_from_one_that_hosts_nothing() {
        let text = r#"{"node_id":"w","address":"10.0.0.1","port":1,"role":"worker","metadata":{"starting":"true"}}"#;
        let starting: NodeInfo = serde_json::from_str(text).unwrap();
        let serving = NodeInfo { metadata: std::collections::BTreeMap::new(), ..starting.clone() };
        let services = |node| row(node, UnixMillis(0))[4].clone();
        assert_eq!((services(&starting).as_str(), services(&serving).as_str()), ("(starting)", ""));
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let now = UnixMillis(1_000_000_000_000);
        for (seconds, said) in
            [(0, "now"), (5, "5 s ago"), (119, "119 s ago"), (120, "2 min ago"), (7200, "2 h ago"), (200_000, "2 days ago")]
        {
            assert_eq!(ago(UnixMillis(now.0 - seconds * 1000), now), said);
        }
        assert_eq!(ago(UnixMillis(0), now), "never");
        assert_eq!(ago(UnixMillis(now.0 + 60_000), now), "now");
    }
}
