//! What nodes say to each other of revocations, under fuzzing. `cargo test` runs the same with inputs of its own.

use p2p_client::revocation::Statement;

use super::{super::standing::Claim, message::Talk};

/// Reads a message, and the statements in it.
///
/// # Panics
/// When a message or a statement is taken that is not the same when it is written and read again.
pub fn revocations(data: &[u8]) {
    let Ok(talk) = Talk::decode(data) else { return };
    assert_eq!(Talk::decode(&talk.encode()).as_ref(), Ok(&talk));
    let statements = match talk {
        Talk::Statements(statements) => statements,
        Talk::Digest { claim: Some(claim), .. } | Talk::Remembered(claim) => {
            if let Some(said) = claim.said() {
                let text = said.to_text().expect("what was read is written");
                assert_eq!(Claim { text, ..claim }.said(), Some(said));
            }
            return;
        }
        _ => return,
    };
    for signed in statements {
        let Ok(statement) = Statement::decode(&signed.text) else { continue };
        let text = statement.encode().expect("what was read is written");
        assert_eq!(Statement::decode(&text).as_ref(), Ok(&statement));
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use p2p_client::{
        fuzzing::run,
        protocol::UnixMillis,
        revocation::{Author, Digest, KeyHash, Reason, StatementId, Subject},
    };

    use super::*;
    use crate::{
        identity::revocation::SignedStatement,
        network::standing::{Said, Standing},
    };

    #[test]
    fn what_is_said_of_revocations_is_read_as_it_was_written_or_not_at_all() {
        let tokens = ["\"", "{", "}", ",", ":", "null", "format", "node", "key", "1", "[", "-1", "\u{e9}"];
        run("revocations", 20_000, &tokens, corpus, revocations);
    }

    fn corpus() -> Vec<(&'static str, Vec<u8>)> {
        let by = Author { node_id: "coordinator".parse().unwrap(), key: KeyHash::new([7; 32]) };
        let said = Said::new(by.node_id.clone(), by.key, Standing::default());
        let claim = Claim { text: said.to_text().unwrap(), signature: Bytes::from_static(b"signature") };
        let node_id = "worker-1".parse().unwrap();
        let reason = Reason::try_from("stolen".to_owned()).unwrap();
        let statement = Statement { subject: Subject::Node { node_id }, at: UnixMillis(5), by, reason };
        let text: Bytes = statement.encode().unwrap().into();
        let ids = vec![StatementId::of(&text)];
        let statements = vec![SignedStatement { text, attestation: Bytes::from_static(b"signature") }];
        [
            (
                "digest",
                Talk::Digest {
                    digest: Digest { root: 5, count: 3 },
                    roots: StatementId::from_bytes([1; 16]),
                    ask: true,
                    claim: Some(claim.clone()),
                },
            ),
            ("ids", Talk::Ids(ids.clone())),
            ("pull", Talk::Pull(ids.clone())),
            ("news", Talk::News(ids)),
            ("statements", Talk::Statements(statements)),
            ("remembered", Talk::Remembered(claim)),
            ("told", Talk::Told { told: Box::default(), ask: true }),
        ]
        .map(|(name, talk)| (name, talk.encode().to_vec()))
        .into()
    }
}
