//! Addresses of coordinators as people write them.

use std::net::{IpAddr, Ipv6Addr};

use p2p_client::protocol::Role;
use p2p_runtime::identity::Host;

/// `host:port` of what was written as `host`, `host:port`, `[v6]:port`, a bare IPv6 address, or any of these as a URL.
///
/// Without a port it is a coordinator's usual one.
pub(super) fn authority(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("https://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let usual = Role::Coordinator.default_port();
    if let Ok(v6) = bare.parse::<Ipv6Addr>() {
        return Ok(with_port(&Host::Ip(IpAddr::V6(v6)), usual));
    }
    let bracket = bare.rfind(']').unwrap_or_default();
    let (host, port) = match bare[bracket..].rfind(':') {
        Some(colon) => (&bare[..bracket + colon], Some(&bare[bracket + colon + 1..])),
        None => (bare, None),
    };
    let port = match port {
        None => usual,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("{port:?} is no port; write host:port, such as 10.0.0.5:{usual}")),
        },
    };
    let host: Host = host.parse().map_err(|error: p2p_runtime::identity::InvalidHost| error.to_string())?;
    Ok(with_port(&host, port))
}

/// A host with a port, as it stands in a URL.
pub(super) fn with_port(host: &Host, port: u16) -> String {
    match host {
        Host::Ip(IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_gets_the_coordinators() {
        for (text, wanted) in [
            ("10.0.0.5", "10.0.0.5:8001"),
            ("10.0.0.5:9000", "10.0.0.5:9000"),
            ("node.example", "node.example:8001"),
            ("https://node.example:9000/", "node.example:9000"),
            ("::1", "[::1]:8001"),
            ("[::1]", "[::1]:8001"),
            ("[2001:db8::5]:9000", "[2001:db8::5]:9000"),
        ] {
            assert_eq!(authority(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "empty"),
            ("host:", "no port"),
            ("host:0", "no port"),
            ("host:99999", "no port"),
            ("http://host", "no port"),
            ("a b", "only letters"),
            ("[::1", "only letters"),
            ("ä:1", "only letters"),
        ] {
            let said = authority(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
