//! What operators are told, in the log, of nodes that are refused another certificate or a name, and of records that are not believed: once a minute for each
//! node, however often it asks.

use p2p_client::protocol::NodeId;

use super::super::join::Refused;
use crate::once_a_minute::OnceAMinute;

/// Of whom operators were told within the last minute.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Which other coordinators have records from tomorrow.
    pub(super) ahead: OnceAMinute,
    /// Which nodes ask by another key than the one to which their id is bound.
    other_key: OnceAMinute,
    /// Which nodes have used a certificate that was renewed before.
    superseded: OnceAMinute,
}

impl Told {
    /// Tells why a node was refused by what is known of it, where operators have to do something about it.
    pub(super) fn of(&self, refused: &Refused) {
        match refused {
            Refused::OtherKey { node_id, key, coordinator } if self.other_key.is_due(node_id) => {
                let coordinator = coordinator.as_ref().map_or("this one", NodeId::as_str);
                tracing::error!(
                    %coordinator,
                    %node_id,
                    "this coordinator has bound the node to the key {key}, and another key asks for a certificate; if the node with that one is gone: \
                     `p2p node revoke --key {key}`"
                );
            }
            Refused::Superseded { node_id } if self.superseded.is_due(node_id) => {
                tracing::error!(
                    %node_id,
                    "a certificate was used to renew that was renewed before; is the node's folder in use twice?"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2p_client::protocol::{Role, UnixMillis};
    use tokio::time::advance;

    use super::*;
    use crate::identity::{
        CertificateHash, Change, IssuedNode,
        coordinators::{Desk, desk},
        shown::Shown,
        tests::{AuditLines, issued_node, worker},
        vault::Vault as _,
    };

    /// What a worker of this name shows, of which this coordinator has noted what `noted` makes of its own record.
    fn shown(desk: &Desk, name: &str, noted: impl FnOnce(IssuedNode) -> IssuedNode) -> Shown {
        let w = worker(&desk.vault, name);
        let peer = w.peer();
        let own = IssuedNode { key: w.key().public().thumbprint(), ..issued_node(name, peer.role) };
        let record = serde_json::to_vec(&noted(own)).unwrap();
        desk.vault.update(vec![Change::Put(format!("ca/nodes/{name}.json"), record.into())]).unwrap();
        Shown::read(w.chain()).unwrap()
    }

    /// How many lines tell of a node that asks for another certificate and is refused; the last one.
    fn told(desk: &Desk, log: &AuditLines, shown: &Shown) -> (usize, String) {
        desk.issuer.0.may_renew(shown, &[]).map(drop).unwrap_err();
        let logged = log.take_all();
        (logged.lines().count(), logged)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_not_the_nodes_is_told_of_once_a_minute_however_often_it_asks_and_another_nodes_besides() {
        let (desk, log) = (desk(), AuditLines::capture());
        let other = |name: &str| shown(&desk, name, |own| issued_node(own.node_id.as_str(), own.role));
        let (w, v) = (other("w"), other("v"));
        log.take_all();
        let (lines, said) = told(&desk, &log, &w);
        assert!(lines == 1 && said.contains("has bound the node to the key") && said.contains("node_id=w"), "{said}");
        assert!(said.contains("`p2p node revoke --key ") && said.contains("coordinator=this one"), "{said}");
        assert_eq!((0..100).map(|_| told(&desk, &log, &w).0).sum::<usize>(), 0);
        assert_eq!([&v, &v].map(|shown| told(&desk, &log, shown).0), [1, 0]);
        advance(Duration::from_mins(1)).await;
        assert_eq!([&w, &w].map(|shown| told(&desk, &log, shown).0), [1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_was_renewed_before_is_told_of_once_a_minute_for_each_node() {
        let (desk, log) = (desk(), AuditLines::capture());
        let renewed = |name: &str| {
            shown(&desk, name, |own| IssuedNode {
                issued: UnixMillis(UnixMillis::now().0 + 3_600_000),
                certificate: Some(CertificateHash::of(&desk.identity.chain()[0])),
                ..own
            })
        };
        let (w, v) = (renewed("w"), renewed("v"));
        log.take_all();
        let (lines, said) = told(&desk, &log, &w);
        assert!(lines == 1 && said.contains("is the node's folder in use twice?") && said.contains("node_id=w"), "{said}");
        assert_eq!([&w, &v, &v].map(|shown| told(&desk, &log, shown).0), [0, 1, 0]);
        advance(Duration::from_mins(1)).await;
        assert_eq!(told(&desk, &log, &w).0, 1);
    }

    #[test]
    fn the_log_names_the_other_coordinator_and_the_key_that_is_in_the_way() {
        let (told, log) = (Told::default(), AuditLines::capture());
        let key = issued_node("w", Role::Worker).key.into();
        told.of(&Refused::OtherKey { node_id: "w".parse().unwrap(), key, coordinator: Some("c-2".parse().unwrap()) });
        let said = log.take_all();
        assert!(said.contains(&format!("`p2p node revoke --key {key}` coordinator=c-2 node_id=w")), "{said}");
        // What its own operator is told is enough.
        told.of(&Refused::NodeBound { node_id: "v".parse().unwrap() });
        assert_eq!(log.take_all(), "");
    }
}
