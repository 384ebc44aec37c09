//! How far the state of each node has come, as the others remember it.
//!
//! Whoever puts back an older copy of a node's whole folder leaves nothing on that machine by which it could be noticed. So a node tells
//! those whom it compares itself with how far its store has come ([`Claim`]), and whoever remembers that it was further already gives it
//! its own words back. They carry its own signature: nobody can talk a node into having forgotten something.

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::BoxFuture;
use p2p_client::{protocol::NodeId, revocation::KeyHash};
use serde::{Deserialize, Serialize};

use crate::storage::Revision;

/// The version of the text that is signed.
const FORMAT: u32 = 1;
/// The largest text that is kept, in bytes.
const MAX_TEXT: usize = 1024;
/// The largest signature that is kept, in bytes: that of a P-256 key takes 72.
const MAX_SIGNATURE: usize = 128;
/// Of so many nodes it is remembered how far they had come.
const MAX_NODES: usize = 10_000;

/// How far a node's state has come. The later of two is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// How often its store went back in time and the node knew of it.
    pub(crate) turns: u64,
    /// How far the store has come since.
    pub(crate) revision: Revision,
}

/// What a node says of its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    format: u32,
    /// The node.
    pub(crate) node_id: NodeId,
    /// Its key. One that joined anew, with another key, begins anew.
    pub(crate) key: KeyHash,
    /// How far it has come.
    pub(crate) standing: Standing,
}

/// The same as text, with the node's signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) text: Bytes,
    pub(crate) signature: Bytes,
}

/// What a node says of its own state, and what it does where it is shown that it had come further.
pub(crate) trait OwnState: Send + Sync {
    /// How far it has come now; `None` where that cannot be said.
    fn claim(&self) -> Option<Claim>;

    /// Somebody gave it a claim of its own. Says whether its store went back behind it; what has to be done about that is done then.
    fn shown(&self, claim: Claim) -> BoxFuture<'_, bool>;
}

impl Said {
    pub(crate) fn new(node_id: NodeId, key: KeyHash, standing: Standing) -> Self {
        Self { format: FORMAT, node_id, key, standing }
    }

    /// The text that is signed.
    pub(crate) fn to_text(&self) -> Option<Bytes> {
        serde_json::to_vec(self).ok().map(Bytes::from)
    }
}

impl Claim {
    /// What it says, if it can be read. The signature is for the node alone that made it.
    pub(crate) fn said(&self) -> Option<Said> {
        if self.text.len() > MAX_TEXT || self.signature.len() > MAX_SIGNATURE {
            return None;
        }
        serde_json::from_slice::<Said>(&self.text).ok().filter(|said| said.format == FORMAT)
    }
}

/// The furthest that each node said it had come.
#[derive(Debug, Default)]
pub(crate) struct Remembered(HashMap<NodeId, (Said, Claim)>);

impl Remembered {
    /// A node said how far it has come. Gives its earlier claim if it had come further then.
    pub(crate) fn heard(&mut self, from: &NodeId, claim: Claim) -> Option<Claim> {
        let said = claim.said().filter(|said| said.node_id == *from)?;
        match self.0.get(from) {
            Some((earlier, furthest)) if earlier.key == said.key && earlier.standing > said.standing => {
                return Some(furthest.clone());
            }
            None if self.0.len() >= MAX_NODES => return None,
            _ => {}
        }
        self.0.insert(from.clone(), (said, claim));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(node_id: &str, key: u8, turns: u64, records: u64) -> Claim {
        let standing = Standing { turns, revision: Revision { generation: 3, records } };
        let said = Said::new(node_id.parse().unwrap(), KeyHash::new([key; 32]), standing);
        Claim { text: said.to_text().unwrap(), signature: Bytes::from_static(b"signature") }
    }

    #[test]
    fn who_comes_back_with_less_is_given_its_own_words() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 5)), None);
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 6)), None);
        for less in [0, 5] {
            assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, less)), Some(claim("worker-1", 7, 0, 6)));
        }
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 6)), None, "the same is not less");
    }

    #[test]
    fn who_knows_that_it_went_back_or_has_another_key_begins_anew() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 9)), None);
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 1, 2)), None);
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 9)), Some(claim("worker-1", 7, 1, 2)));
        assert_eq!(remembered.heard(&node, claim("worker-1", 8, 0, 1)), None);
    }

    #[test]
    fn nobody_speaks_for_another_and_what_cannot_be_read_is_not_kept() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        let large = Claim { signature: Bytes::from(vec![0; MAX_SIGNATURE + 1]), ..claim("worker-1", 7, 0, 9) };
        let other_format =
            String::from_utf8(claim("worker-1", 7, 0, 9).text.to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
        let other_format = Claim { text: other_format.into(), ..claim("worker-1", 7, 0, 9) };
        for bad in [claim("worker-2", 7, 0, 9), large, other_format, Claim { text: Bytes::new(), ..claim("worker-1", 7, 0, 9) }] {
            assert_eq!(remembered.heard(&node, bad), None);
            assert!(remembered.0.is_empty());
        }
        for index in 0..MAX_NODES {
            let node_id = format!("n{index}");
            remembered.heard(&node_id.parse().unwrap(), claim(&node_id, 7, 0, 9));
        }
        assert_eq!(remembered.heard(&node, claim("worker-1", 7, 0, 9)), None);
        assert_eq!(remembered.0.len(), MAX_NODES);
    }
}
