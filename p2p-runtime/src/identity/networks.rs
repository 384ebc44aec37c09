//! The networks in which a join token may be used.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{address::Host, token_table::TokenRefused};
use crate::limits::addresses::Network;

/// The networks in which a join token may be used: all of them, where none is named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllowedNetworks(Vec<Network>);

impl AllowedNetworks {
    /// Whether the token may be used anywhere.
    pub fn is_anywhere(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a node may use the token that asks from this address, and claims these.
    ///
    /// A host name is in no network: what it stands for can be another address at any time, and for everyone who asks.
    ///
    /// # Errors
    /// The first address that is outside.
    pub(super) fn admit(&self, from: IpAddr, claimed: &[Host]) -> Result<(), TokenRefused> {
        if self.is_anywhere() {
            return Ok(());
        }
        if !self.contain(from) {
            return Err(TokenRefused::From { address: from.to_canonical(), networks: self.clone() });
        }
        let is_outside = |host: &&Host| match host {
            Host::Ip(address) => !self.contain(*address),
            Host::Name(_) => true,
        };
        let refused = |address: &Host| TokenRefused::Claims { address: address.clone(), networks: self.clone() };
        claimed.iter().find(is_outside).map_or(Ok(()), |outside| Err(refused(outside)))
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl From<Vec<Network>> for AllowedNetworks {
    fn from(networks: Vec<Network>) -> Self {
        Self(networks)
    }
}

impl fmt::Display for AllowedNetworks {
    /// The networks, with commas between them; `anywhere` where none is named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_anywhere() {
            return f.write_str("anywhere");
        }
        for (place, network) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{network}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::protocol::Role;

    use super::{
        super::{
            CertReply, CertRequest, JoinToken, Refused, TokenOptions,
            coordinators::{Desk, channel, desk},
            join::{Issued, Joiner},
        },
        *,
    };

    fn networks(texts: &[&str]) -> AllowedNetworks {
        texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Network>>().into()
    }

    async fn token_for(desk: &Desk, texts: &[&str]) -> JoinToken {
        let options = TokenOptions { networks: networks(texts), ..TokenOptions::default() };
        desk.issuer.create_token(options).await.unwrap()
    }

    /// Says hello from one address, and proves from another.
    async fn join_from(desk: &Desk, joiner: &Joiner, hello: &str, prove: &str) -> Result<Issued, Refused> {
        let remote = |address: &str| (address.parse::<IpAddr>().unwrap(), 40_000).into();
        let said = desk.issuer.handle(CertRequest::Hello(joiner.hello().clone()), channel(), remote(hello)).await?;
        let CertReply::Hello(reply) = said else { panic!("a step was skipped: {said:?}") };
        let proof = CertRequest::Prove(joiner.prove(&channel(), &reply).unwrap());
        match desk.issuer.handle(proof, channel(), remote(prove)).await? {
            CertReply::Issued(issued) => Ok(issued),
            other => panic!("no certificate: {other:?}"),
        }
    }

    fn outside(desk: &Desk, token: &JoinToken, refused: &Refused, said: &[&str]) {
        let text = refused.to_string();
        assert_eq!(refused.status(), 403, "{text}");
        for part in said {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(desk.uses_left(token), 1, "no use is taken");
        assert!(desk.world.called.lock().unwrap().is_empty(), "nobody is called");
        // It arrives as it was said.
        assert_eq!(Refused::from_body(&serde_json::to_vec(&refused.to_body()).unwrap()).as_ref(), Some(refused));
    }

    #[tokio::test]
    async fn a_token_for_some_networks_lets_nodes_in_there_join() {
        for (allowed, address) in [
            (&["10.0.0.0/8"][..], "10.0.0.9"),
            (&["192.168.0.0/16", "10.0.0.9"], "10.0.0.9"),
            (&["fd00::/8"], "fd00::9"),
            (&["::ffff:10.0.0.0/104"], "10.0.0.9"),
        ] {
            let desk = desk();
            let token = token_for(&desk, allowed).await;
            let joiner = desk.joiner(&token, "w", Role::Worker, &[address]);
            joiner.finish(&join_from(&desk, &joiner, address, address).await.unwrap()).unwrap();
            assert_eq!(desk.uses_left(&token), 0);
        }
    }

    #[tokio::test]
    async fn an_ipv4_address_that_is_mapped_into_ipv6_is_the_ipv4_address() {
        let desk = desk();
        let token = token_for(&desk, &["10.0.0.0/8"]).await;
        let joiner = desk.worker(&token, "w", "10.0.0.9");
        join_from(&desk, &joiner, "::ffff:10.0.0.9", "::ffff:10.0.0.9").await.unwrap();

        let token = token_for(&desk, &["10.0.0.0/8"]).await;
        desk.world.called.lock().unwrap().clear();
        let joiner = desk.worker(&token, "v", "10.0.0.8");
        let refused = join_from(&desk, &joiner, "::ffff:192.0.2.1", "10.0.0.8").await.unwrap_err();
        outside(&desk, &token, &refused, &["comes from 192.0.2.1;"]);
        let joiner = desk.joiner(&token, "v", Role::Worker, &["::ffff:192.0.2.1"]);
        let refused = join_from(&desk, &joiner, "10.0.0.8", "10.0.0.8").await.unwrap_err();
        outside(&desk, &token, &refused, &["claims the address ::ffff:192.0.2.1;"]);
    }

    #[tokio::test]
    async fn a_connection_from_elsewhere_is_refused_at_the_hello_and_at_the_proof_and_takes_no_use() {
        let (here, there) = ("10.0.0.9", "192.0.2.1");
        for (hello, prove) in [(there, here), (here, there)] {
            let desk = desk();
            let token = token_for(&desk, &["10.0.0.0/8", "fd00::/8"]).await;
            let joiner = desk.worker(&token, "w", here);
            let refused = join_from(&desk, &joiner, hello, prove).await.unwrap_err();
            outside(&desk, &token, &refused, &["used only in 10.0.0.0/8, fd00::/8,", "comes from 192.0.2.1;", "--cidr"]);
            // The use is there for whom it is meant.
            join_from(&desk, &joiner, here, here).await.unwrap();
        }
        let desk = desk();
        let token = token_for(&desk, &["fd00::/8"]).await;
        let joiner = desk.joiner(&token, "w", Role::Worker, &["fd00::9"]);
        let refused = join_from(&desk, &joiner, "fe00::9", "fd00::9").await.unwrap_err();
        outside(&desk, &token, &refused, &["used only in fd00::/8,", "comes from fe00::9;"]);
    }

    #[tokio::test]
    async fn a_node_that_claims_one_address_outside_is_refused_with_that_address_named() {
        for (claimed, said) in [
            (&["10.0.0.9", "192.0.2.1"][..], "claims the address 192.0.2.1;"),
            (&["10.0.0.9", "fd00::9"], "claims the address fd00::9;"),
            (&["10.0.0.9", "w.example"], "claims the address w.example;"),
        ] {
            let desk = desk();
            let token = token_for(&desk, &["10.0.0.0/8"]).await;
            let joiner = desk.joiner(&token, "w", Role::Worker, claimed);
            let refused = join_from(&desk, &joiner, "10.0.0.9", "10.0.0.9").await.unwrap_err();
            outside(&desk, &token, &refused, &["used only in 10.0.0.0/8,", said, "--advertise"]);
        }
    }

    #[tokio::test]
    async fn a_node_that_asks_again_is_held_to_the_networks_as_well() {
        let desk = desk();
        let token = token_for(&desk, &["10.0.0.0/8"]).await;
        let joiner = desk.worker(&token, "w", "10.0.0.9");
        join_from(&desk, &joiner, "10.0.0.9", "10.0.0.9").await.unwrap();
        join_from(&desk, &joiner, "10.0.0.9", "10.0.0.9").await.unwrap();
        let refused = join_from(&desk, &joiner, "10.0.0.9", "192.0.2.1").await.unwrap_err();
        assert!(matches!(refused, Refused::Token(TokenRefused::From { .. })), "{refused}");
    }

    #[test]
    fn networks_are_shown_as_they_are_named_and_none_is_anywhere() {
        assert_eq!(networks(&["10.0.0.0/8", "fd00::/8"]).to_string(), "10.0.0.0/8, fd00::/8");
        let anywhere = AllowedNetworks::default();
        assert_eq!(anywhere.to_string(), "anywhere");
        assert_eq!(anywhere.admit("192.0.2.1".parse().unwrap(), &["w.example".parse().unwrap()]), Ok(()));
    }
}
