//! Under which address the other nodes reach this one, where nobody said so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::identity::Host;

use super::NodeError;

/// The one address of this machine that others can reach; loopback where it has no other.
///
/// # Errors
/// [`NodeError::SeveralAddresses`] lists them when there are several.
pub(super) fn the_only_one() -> Result<Host, NodeError> {
    let interfaces = if_addrs::get_if_addrs()
        .map_err(|source| NodeError::Io { doing: "looking up this machine's addresses".to_owned(), source })?;
    choose(interfaces.iter().map(if_addrs::Interface::ip))
}

fn choose(all: impl Iterator<Item = IpAddr>) -> Result<Host, NodeError> {
    let mut fit: Vec<IpAddr> = all.filter(|ip| is_reachable(*ip)).collect();
    fit.sort_unstable();
    fit.dedup();
    match fit.as_slice() {
        [] => Ok(Host::from(IpAddr::V4(Ipv4Addr::LOCALHOST))),
        [one] => Ok(Host::from(*one)),
        several => Err(NodeError::SeveralAddresses(several.iter().copied().map(Host::from).collect())),
    }
}

/// Neither loopback nor link-local: those mean something else on every machine.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

/// Where to listen so that the advertised address is served: that very loopback address, or every address of its family.
pub(super) fn listen_for(advertise: &Host, port: u16) -> SocketAddr {
    let ip = match advertise {
        Host::Ip(ip) if ip.is_loopback() => *ip,
        Host::Ip(IpAddr::V4(_)) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Host::Name(_) if advertise.is_loopback() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Host::Ip(IpAddr::V6(_)) | Host::Name(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(all: &[&str]) -> Result<String, String> {
        choose(all.iter().map(|ip| ip.parse().unwrap())).map(|host| host.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_address_that_fits_is_taken_and_of_several_none() {
        assert_eq!(chosen(&["127.0.0.1", "::1", "10.0.0.5", "fe80::1"]), Ok("10.0.0.5".to_owned()));
        assert_eq!(chosen(&["127.0.0.1"]), Ok("127.0.0.1".to_owned()));
        let said = chosen(&["10.0.0.5", "192.168.1.2"]).unwrap_err();
        assert!(said.ends_with("--advertise 10.0.0.5 or --advertise 192.168.1.2"), "{said}");
    }

    #[test]
    fn a_node_listens_where_its_advertised_address_is() {
        assert_eq!(listen_for(&"127.0.0.1".parse().unwrap(), 1), "127.0.0.1:1".parse().unwrap());
        assert_eq!(listen_for(&"10.0.0.5".parse().unwrap(), 1), "0.0.0.0:1".parse().unwrap());
        assert_eq!(listen_for(&"2001:db8::1".parse().unwrap(), 1), "[::]:1".parse().unwrap());
        assert_eq!(listen_for(&"node.example".parse().unwrap(), 1), "[::]:1".parse().unwrap());
    }
}
