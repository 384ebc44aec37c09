//! Addresses as limits count them: networks, and the address of a client behind proxies.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use http::{HeaderMap, HeaderName, header::FORWARDED};
use serde::{Deserialize, Serialize};

/// An address as those behind it are counted: whole for IPv4, its /64 for IPv6, of which every customer of a provider has one or more to
/// choose addresses from (RFC 6177). An IPv4 address that is mapped into IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CountedAddress(IpAddr);

impl From<IpAddr> for CountedAddress {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for CountedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(network) => write!(f, "{network}/64"),
            IpAddr::V4(address) => address.fmt(f),
        }
    }
}

/// A network: `10.0.0.0/8`, `2001:db8::/32`, or a single address. One of IPv4 addresses that are mapped into IPv6 is that of the IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same_beginning(own.to_bits().into(), other.to_bits().into(), self.bits, 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same_beginning(own.to_bits(), other.to_bits(), self.bits, 128),
            _ => false,
        }
    }
}

/// How an IPv4 address that is mapped into IPv6 begins: with as many bits that are the same for all (RFC 4291, 2.5.5.2).
const MAPPED_BITS: u8 = 96;

fn same_beginning(one: u128, other: u128, bits: u8, of: u8) -> bool {
    bits == 0 || (one ^ other) >> (of - bits) == 0
}

/// What is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write an address such as 10.0.0.7, or a network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits: u8 = bits.map_or(Ok(most), |bits| bits.trim().parse().map_err(|_| wrong()))?;
        match (address.to_canonical(), bits.checked_sub(MAPPED_BITS)) {
            _ if bits > most => Err(wrong()),
            (v4 @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => Ok(Self { address: v4, bits }),
            _ => Ok(Self { address, bits }),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;
    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.bits) {
            (IpAddr::V4(_), 32) | (IpAddr::V6(_), 128) => write!(f, "{}", self.address),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// By which header proxies say for whom they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedBy {
    /// `X-Forwarded-For: client, proxy`, which most proxies write.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// Whose word about a client's address is taken.
///
/// One header only, as a proxy that writes the one passes the other on as its client wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies {
    /// Where they are.
    pub networks: Vec<Network>,
    /// The header that they write.
    pub header: ForwardedBy,
}

impl TrustedProxies {
    /// The address of whoever is behind the proxies; `peer` is at the other end of the connection.
    ///
    /// Every proxy adds the address of whoever asked it at the right. So the list is read from the right, as long as it is a trusted proxy
    /// that said so; what is further left may be the client's own invention. What cannot be read ends it as well.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        if !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ForwardedBy::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
            ForwardedBy::Forwarded => FORWARDED,
        };
        // Several fields of one name are one list, in their order (RFC 9110, 5.3).
        let fields: Vec<&str> = headers.get_all(name).iter().map(|field| field.to_str().unwrap_or_default()).collect();
        for entry in fields.iter().rev().flat_map(|field| field.rsplit(',')) {
            let address = match self.header {
                ForwardedBy::XForwardedFor => address(entry.trim()),
                ForwardedBy::Forwarded => forwarded_for(entry),
            };
            let Some(address) = address else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// The address of the `for` of one element (RFC 7239, section 4). Names and `unknown` are none, and neither is an element that says it twice.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut said =
        element.split(';').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = said.next()?;
    if said.next().is_some() {
        return None;
    }
    let value = value.trim();
    let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    address(plain)
}

/// An address, with or without a port, in brackets where it is IPv6 with one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let address = text.parse::<IpAddr>().ok().or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::limits) fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    pub(in crate::limits) fn headers(name: &'static str, fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(name, field.parse().unwrap());
        }
        headers
    }

    pub(in crate::limits) fn proxies(header: ForwardedBy) -> TrustedProxies {
        let networks = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse().unwrap());
        TrustedProxies { networks: networks.to_vec(), header }
    }

    #[test]
    fn networks_are_read_shown_and_know_what_lies_in_them() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "::2"),
            ("192.0.2.0/31", "192.0.2.1", "192.0.2.2"),
        ] {
            let network: Network = text.parse().unwrap();
            assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{text}");
            assert_eq!(network.to_string(), text);
        }
        assert!("10.0.0.0/8".parse::<Network>().unwrap().contains(ip("::ffff:10.0.0.1")), "a mapped address is the address");
        for (mapped, plain) in
            [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::ffff:0.0.0.0/96", "0.0.0.0/0")]
        {
            assert_eq!(mapped.parse::<Network>().unwrap(), plain.parse().unwrap(), "{mapped}");
        }
        let stored = serde_json::to_string(&"10.0.0.0/8".parse::<Network>().unwrap()).unwrap();
        assert_eq!(stored, "\"10.0.0.0/8\"");
        assert_eq!(serde_json::from_str::<Network>(&stored).unwrap().to_string(), "10.0.0.0/8");
        assert!(serde_json::from_str::<Network>("\"10.0.0.0/99\"").unwrap_err().to_string().contains("is no network"));
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "proxy.example", "10.0.0/8"] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains("such as 10.0.0.0/8"), "{error}");
        }
    }

    #[test]
    fn addresses_of_one_customer_count_as_one() {
        let counted = |text: &str| CountedAddress::from(ip(text));
        assert_eq!(counted("2001:db8:1:2:3::4"), counted("2001:db8:1:2:ffff::"));
        assert_ne!(counted("2001:db8:1:2::"), counted("2001:db8:1:3::"));
        assert_eq!(counted("::ffff:192.0.2.1"), counted("192.0.2.1"));
        assert_ne!(counted("192.0.2.1"), counted("192.0.2.2"));
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        let proxies = proxies(ForwardedBy::Forwarded);
        let of = |fields: &[&str]| proxies.client(ip("10.0.0.1"), &headers("forwarded", fields));
        assert_eq!(of(&["for=198.51.100.1, For=203.0.113.7;proto=https;by=10.0.0.1"]), ip("203.0.113.7"));
        assert_eq!(of(&[r#"for="[2001:db8::1]:4711""#]), ip("2001:db8::1"));
        assert_eq!(of(&[r#"for="203.0.113.7:80", for=10.0.0.2"#]), ip("203.0.113.7"));
        for junk in ["for=unknown", "for=_hidden", "proto=https", "for=203.0.113.7;for=198.51.100.1", r#"for="a,b""#] {
            assert_eq!(of(&[&format!("for=198.51.100.1, {junk}, for=10.0.0.2")]), ip("10.0.0.2"), "{junk}");
        }
    }
}
