//! Addresses that a node claims, and which of them a coordinator may call to have them proved.
//!
//! A challenge makes the coordinator open a connection that a stranger asked for. So only plain IP addresses and plain
//! host names are claims, and whatever leads into the coordinator's own machine or its provider's is refused.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An IP address or a host name, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name in DNS, in lower case.
    Name(String),
}

/// A text that is no [`Host`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address: {reason}; give an IP address such as 192.168.1.20, or a host name, without a port")]
pub struct InvalidHost {
    text: String,
    reason: &'static str,
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        let reason = if text.is_empty() || text.len() > 253 {
            "it is empty or longer than 253 characters"
        } else if !text.split('.').all(label) {
            "only letters, digits, '-' and '.' make a host name"
        } else if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
            // "127.1", "2130706433" and "0x7f.1" are addresses to some resolvers.
            "it is a number in an odd form"
        } else {
            return Ok(Self::Name(text.to_ascii_lowercase()));
        };
        Err(InvalidHost { text: text.chars().take(80).collect(), reason })
    }
}

impl TryFrom<String> for Host {
    type Error = InvalidHost;
    fn try_from(text: String) -> Result<Self, InvalidHost> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        host.to_string()
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Host {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn with_port(&self, port: u16) -> String {
        match self {
            Self::Ip(ip) => std::net::SocketAddr::new(*ip, port).to_string(),
            Self::Name(name) => format!("{name}:{port}"),
        }
    }

    /// Whether it is this machine's own loopback, as an address or as `localhost`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Says why a coordinator does not call this address; `None` when it may. `loopback` allows 127.0.0.0/8 and `::1`.
pub(super) fn refused(ip: IpAddr, loopback: bool) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => refused_v4(ip, loopback),
        IpAddr::V6(ip) => refused_v6(ip, loopback),
    }
}

fn refused_v4(ip: Ipv4Addr, loopback: bool) -> Option<&'static str> {
    let [a, ..] = ip.octets();
    if ip.is_loopback() {
        (!loopback).then_some("a loopback address is proved only where the coordinator itself is on loopback")
    } else if ip.is_unspecified() || a == 0 {
        Some("it is the unspecified address")
    } else if ip.is_link_local() {
        Some("link-local addresses, among them the clouds' metadata services, are never called")
    } else if ip.is_multicast() {
        Some("it is a multicast address")
    } else if ip.is_broadcast() || a >= 240 {
        Some("it is a broadcast or reserved address")
    } else if [[100, 100, 100, 200], [168, 63, 129, 16], [192, 0, 0, 192]].contains(&ip.octets()) {
        Some("it is a cloud's metadata service")
    } else {
        None
    }
}

fn refused_v6(ip: Ipv6Addr, loopback: bool) -> Option<&'static str> {
    let segments = ip.segments();
    if ip.is_loopback() {
        (!loopback).then_some("a loopback address is proved only where the coordinator itself is on loopback")
    } else if ip.is_unspecified() {
        Some("it is the unspecified address")
    } else if ip.to_ipv4_mapped().is_some() {
        Some("an IPv4 address must be written as one, not mapped into IPv6")
    } else if segments[..6] == [0; 6] || segments[..2] == [0x64, 0xff9b] || segments[0] == 0x2002 || segments[..2] == [0x2001, 0]
    {
        Some("an IPv6 address that wraps an IPv4 address is never called")
    } else if ip.is_multicast() {
        Some("it is a multicast address")
    } else if segments[0] & 0xffc0 == 0xfe80 || segments[0] & 0xffc0 == 0xfec0 {
        Some("link-local addresses are never called")
    } else if segments == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] {
        Some("it is a cloud's metadata service")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_hosts_and_odd_numbers_are_not() {
        for good in ["192.168.1.20", "::1", "2001:db8::5", "node-1.example.org", "localhost", "a"] {
            assert_eq!(good.parse::<Host>().unwrap().to_string(), good);
        }
        assert_eq!("[::1]".parse::<Host>().unwrap(), "::1".parse().unwrap());
        for odd in [
            "",
            "2130706433",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "017700000001",
            "a:80",
            "http://a",
            "a/b",
            "fe80::1%eth0",
            "-a",
            "a..b",
            "ä.de",
            "127.0.0.1.",
        ] {
            assert!(odd.parse::<Host>().unwrap_err().to_string().contains("no address"), "{odd}");
        }
    }

    #[test]
    fn what_leads_into_machines_and_clouds_is_refused() {
        for bad in [
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:1::1",
            "ff02::1",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
        ] {
            assert!(refused(bad.parse().unwrap(), false).is_some(), "{bad}");
        }
        for good in ["10.0.0.5", "192.168.1.20", "203.0.113.9", "2001:db8::5", "fd12:3456::1"] {
            assert_eq!(refused(good.parse().unwrap(), false), None, "{good}");
        }
        assert_eq!(refused("127.0.0.1".parse().unwrap(), true), None);
        assert_eq!(refused("::1".parse().unwrap(), true), None);
        assert!(refused("::ffff:127.0.0.1".parse().unwrap(), true).is_some());
    }
}
