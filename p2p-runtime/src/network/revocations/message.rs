//! What nodes say to each other of revocations, and of the cluster's roots.
//!
//! A message is `kind (1 byte) | content`: counts as LEB128, ids as 16 bytes, texts with their lengths.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes};
use p2p_client::revocation::{Digest, MAX_STATEMENTS, RESERVED_STATEMENTS, StatementId};

use super::super::{
    standing::Claim,
    wire::{FrameError, Reader, put_bytes, put_len, put_number},
};
use crate::identity::{revocation::SignedStatement, rotation::Told};

/// Statements in one message end after so many bytes.
const GOAL: usize = 32 * 1024;
/// Statements in one message.
const MAX_AT_ONCE: usize = 128;
/// The longest message, in bytes; but lists of ids are as long as there are statements, and the completion of a change of the root names
/// them all.
const MAX_TALK: usize = 64 * 1024;
/// Ids in one request.
pub(super) const MAX_PULL: usize = 1024;
/// Ids in one list, which is to fit into a frame. A set that is full of tokens takes others still, and a full set some statements more: those that revoke
/// authors, and readmissions that were written already.
pub(super) const MAX_IDS: usize = MAX_STATEMENTS + RESERVED_STATEMENTS + MAX_STATEMENTS / 10;
const ID: usize = 16;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Talk {
    /// "This is what I have, in short, of revocations and of the roots, and how far my store has come." With `ask`: "say so if you have the same."
    Digest { digest: Digest, roots: StatementId, ask: bool, claim: Option<Claim> },
    /// "We differ; this is all that I have."
    Ids(Vec<StatementId>),
    /// "Send me these."
    Pull(Vec<StatementId>),
    /// "I have learned of these."
    News(Vec<StatementId>),
    /// The statements themselves.
    Statements(Vec<SignedStatement>),
    /// "You had come further: these are your own words."
    Remembered(Claim),
    /// "These I keep, and nobody else believes them since the root was changed; say them again, if you know who said them."
    Stranded(Vec<SignedStatement>),
    /// "This is what was said of the roots." With `ask`: "say what you know, if it is something else."
    Told { told: Box<Told>, ask: bool },
}

/// Parts of such a size that each fits into a message.
pub(super) fn chunks(statements: Vec<SignedStatement>) -> Vec<Vec<SignedStatement>> {
    let mut chunks: Vec<Vec<SignedStatement>> = Vec::new();
    let mut size = GOAL;
    for statement in statements {
        if size >= GOAL || chunks.last().is_some_and(|chunk| chunk.len() >= MAX_AT_ONCE) {
            chunks.push(Vec::new());
            size = 0;
        }
        size += statement.text.len() + statement.attestation.len();
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(statement);
        }
    }
    chunks
}

/// What somebody asks for: each once, and no more than a node asks for at a time.
pub(super) fn once_each(ids: Vec<StatementId>) -> Vec<StatementId> {
    ids.into_iter().take(MAX_PULL).collect::<BTreeSet<_>>().into_iter().collect()
}

impl Talk {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        match self {
            Self::Digest { digest, roots, ask, claim } => {
                out.put_u8(0);
                out.put_u64(digest.root);
                put_number(&mut out, digest.count);
                out.put_slice(roots.as_bytes());
                out.put_u8((*ask).into());
                out.put_u8(claim.is_some().into());
                if let Some(claim) = claim {
                    put_claim(&mut out, claim);
                }
            }
            Self::Ids(ids) => put_ids(&mut out, 1, ids),
            Self::Pull(ids) => put_ids(&mut out, 2, ids),
            Self::News(ids) => put_ids(&mut out, 3, ids),
            Self::Statements(statements) => put_statements(&mut out, 4, statements),
            Self::Stranded(statements) => put_statements(&mut out, 7, statements),
            Self::Remembered(claim) => {
                out.put_u8(5);
                put_claim(&mut out, claim);
            }
            Self::Told { told, ask } => {
                out.put_u8(6);
                out.put_u8((*ask).into());
                // It has no maps with odd keys and no failing serialisers.
                put_bytes(&mut out, &serde_json::to_vec(&**told).unwrap_or_default());
            }
        }
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.byte()?;
        if bytes.len() > MAX_TALK && !matches!(kind, 1 | 6) {
            return Err(FrameError::OutOfRange);
        }
        let talk = match kind {
            0 => {
                let digest = Digest { root: u64::from_be_bytes(reader.array()?), count: reader.number()? };
                let roots = StatementId::from_bytes(reader.array()?);
                let ask = reader.byte()? != 0;
                let claim = (reader.byte()? != 0).then(|| read_claim(&mut reader)).transpose()?;
                Self::Digest { digest, roots, ask, claim }
            }
            1 => Self::Ids(read_ids(&mut reader)?),
            2 => Self::Pull(read_ids(&mut reader)?),
            3 => Self::News(read_ids(&mut reader)?),
            4 => Self::Statements(read_statements(&mut reader)?),
            5 => Self::Remembered(read_claim(&mut reader)?),
            6 => {
                let ask = reader.byte()? != 0;
                Self::Told { told: Box::new(serde_json::from_slice(&reader.bytes()?).map_err(|_| FrameError::OutOfRange)?), ask }
            }
            7 => Self::Stranded(read_statements(&mut reader)?),
            kind => return Err(FrameError::UnknownKind(kind)),
        };
        reader.finish()?;
        Ok(talk)
    }
}

fn put_statements(out: &mut Vec<u8>, kind: u8, statements: &[SignedStatement]) {
    out.put_u8(kind);
    put_len(out, statements.len());
    for statement in statements {
        put_bytes(out, &statement.text);
        put_bytes(out, &statement.attestation);
    }
}

fn read_statements(reader: &mut Reader<'_>) -> Result<Vec<SignedStatement>, FrameError> {
    let count = reader.count(4)?;
    if count > MAX_AT_ONCE {
        return Err(FrameError::OutOfRange);
    }
    (0..count).map(|_| Ok(SignedStatement { text: read_some(reader)?, attestation: read_some(reader)? })).collect()
}

/// Nobody signs nothing, or with nothing.
fn read_some(reader: &mut Reader<'_>) -> Result<Bytes, FrameError> {
    reader.bytes().and_then(|bytes| if bytes.is_empty() { Err(FrameError::OutOfRange) } else { Ok(bytes) })
}

fn put_claim(out: &mut Vec<u8>, claim: &Claim) {
    put_bytes(out, &claim.text);
    put_bytes(out, &claim.signature);
}

fn read_claim(reader: &mut Reader<'_>) -> Result<Claim, FrameError> {
    Ok(Claim { text: reader.bytes()?, signature: reader.bytes()? })
}

fn put_ids(out: &mut Vec<u8>, kind: u8, ids: &[StatementId]) {
    out.put_u8(kind);
    put_len(out, ids.len());
    for id in ids {
        out.put_slice(id.as_bytes());
    }
}

fn read_ids(reader: &mut Reader<'_>) -> Result<Vec<StatementId>, FrameError> {
    let count = reader.count(ID)?;
    if count > MAX_IDS {
        return Err(FrameError::OutOfRange);
    }
    (0..count).map(|_| reader.array().map(StatementId::from_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::super::MAX_FRAME, *};

    fn all() -> [Talk; 9] {
        let roots = StatementId::from_bytes([3; 16]);
        let ids = vec![StatementId::from_bytes([1; 16]), StatementId::from_bytes([2; 16])];
        let statement = SignedStatement { text: Bytes::from_static(b"{}"), attestation: Bytes::from_static(b"signed") };
        let claim = Claim { text: Bytes::from_static(b"{}"), signature: Bytes::from_static(b"signed") };
        [
            Talk::Digest { digest: Digest { root: u64::MAX, count: 300 }, roots, ask: true, claim: None },
            Talk::Digest { digest: Digest { root: 1, count: 1 }, roots, ask: false, claim: Some(claim.clone()) },
            Talk::Ids(ids.clone()),
            Talk::Pull(ids.clone()),
            Talk::News(ids),
            Talk::Statements(vec![statement.clone()]),
            Talk::Stranded(vec![statement]),
            Talk::Remembered(claim),
            Talk::Told { told: Box::default(), ask: true },
        ]
    }

    #[test]
    fn a_statement_that_is_asked_for_ten_thousand_times_is_given_once() {
        let id = |number: u16| StatementId::from_bytes([u8::try_from(number % 251).unwrap(); 16]);
        assert_eq!(once_each(vec![id(7); 10_000]), [id(7)]);
        let many: Vec<_> = (0..10_000_u128).map(|number| StatementId::from_bytes(number.to_be_bytes())).collect();
        assert_eq!(once_each(many).len(), MAX_PULL);
    }

    #[test]
    fn messages_survive_the_wire_and_cut_ones_are_refused() {
        for talk in all() {
            let bytes = talk.encode();
            assert_eq!(Talk::decode(&bytes).unwrap(), talk);
            for end in 0..bytes.len() {
                assert!(Talk::decode(&bytes[..end]).is_err(), "{talk:?} cut at {end}");
            }
            assert!(Talk::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        assert!(matches!(Talk::decode(&[9]), Err(FrameError::UnknownKind(9))));
    }

    #[test]
    fn a_set_that_is_more_than_full_is_still_compared_and_an_endless_list_is_not_read() {
        let ids = |count: usize| Talk::Ids(vec![StatementId::from_bytes([1; 16]); count]);
        let over = ids(MAX_STATEMENTS + 100);
        assert_eq!(Talk::decode(&over.encode()).unwrap(), over);
        assert!(ids(MAX_IDS).encode().len() < MAX_FRAME);
        assert_eq!(Talk::decode(&ids(MAX_IDS + 1).encode()), Err(FrameError::OutOfRange));
    }

    #[test]
    fn a_message_of_more_statements_than_anybody_sends_of_empty_ones_or_of_endless_talk_is_not_read() {
        let statement = |text: usize, attestation: usize| SignedStatement {
            text: vec![b'x'; text].into(),
            attestation: vec![b'x'; attestation].into(),
        };
        let read = |statements: Vec<SignedStatement>| Talk::decode(&Talk::Statements(statements).encode());
        assert!(read(vec![statement(100, 200); MAX_AT_ONCE]).is_ok());
        assert_eq!(read(vec![statement(100, 200); MAX_AT_ONCE + 1]), Err(FrameError::OutOfRange));
        for empty in [statement(0, 200), statement(100, 0)] {
            assert_eq!(read(vec![empty]), Err(FrameError::OutOfRange));
        }
        for count in [100, 131_000] {
            assert!(read(vec![statement(0, 0); count]).is_err(), "{count}");
        }
        assert_eq!(read(vec![statement(MAX_TALK, 200)]), Err(FrameError::OutOfRange));
        let news = |count: usize| Talk::News(vec![StatementId::from_bytes([1; 16]); count]);
        assert!(Talk::decode(&news(MAX_PULL).encode()).is_ok());
        assert_eq!(Talk::decode(&news(10_000).encode()), Err(FrameError::OutOfRange));
    }

    #[test]
    fn what_nodes_send_is_read_at_its_longest_and_where_there_is_most_of_it() {
        // Just below the goal, and then the longest statement.
        let longest = SignedStatement { text: vec![b'x'; 2 * 1024].into(), attestation: vec![1; 8 * 1024].into() };
        let first = SignedStatement { text: vec![b'x'; GOAL - 2].into(), attestation: Bytes::from_static(b"s") };
        let least = SignedStatement { text: Bytes::from_static(b"x"), attestation: Bytes::from_static(b"s") };
        for statements in [vec![first, longest.clone(), longest], vec![least; 1000]] {
            for chunk in chunks(statements) {
                assert!(Talk::decode(&Talk::Statements(chunk).encode()).is_ok());
            }
        }
        assert!(Talk::decode(&Talk::Pull(vec![StatementId::from_bytes([1; 16]); MAX_PULL]).encode()).is_ok());
    }

    #[test]
    fn many_statements_go_in_several_messages_and_none_in_none() {
        let one = SignedStatement { text: Bytes::from(vec![b'x'; 200]), attestation: Bytes::from(vec![1; 1300]) };
        let parts = chunks(vec![one; 100]);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 100);
        assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= 22));
        assert!(chunks(Vec::new()).is_empty());
    }
}
