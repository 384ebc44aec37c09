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

/// How far a node's state has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// When its store last went back in time and the node knew of it: in milliseconds, or 0. Each time is later than all before.
    pub(crate) turned: u64,
    /// Which life of the node this is, counted from its first start.
    pub(crate) epoch: u64,
    /// The random name of this life: of two copies of a store, each begins its own.
    pub(crate) life: u64,
    /// How far it has come.
    pub(crate) revision: Revision,
}

impl Standing {
    fn is_the_same_life_as(&self, other: &Self) -> bool {
        (self.turned, self.epoch, self.life) == (other.turned, other.epoch, other.life)
    }
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

/// What each node said last of how far it had come.
#[derive(Debug, Default)]
pub(crate) struct Remembered(HashMap<NodeId, Memory>);

#[derive(Debug)]
struct Memory {
    said: Said,
    claim: Claim,
    /// In which later life the node was given this.
    given_in: Option<Standing>,
}

impl Remembered {
    /// A node said how far it has come. Gives its earlier claim if the node has to look whether it lost something since: in each new life
    /// once, and whenever it has less than in the same one. Only the node itself knows its lives, and how each ended.
    pub(crate) fn heard(&mut self, from: &NodeId, claim: Claim) -> Option<Claim> {
        let said = claim.said().filter(|said| said.node_id == *from)?;
        if let Some(memory) = self.0.get_mut(from).filter(|memory| memory.said.key == said.key) {
            let (then, now) = (&memory.said.standing, &said.standing);
            let has_less = if then.turned != now.turned {
                now.turned < then.turned
            } else if then.is_the_same_life_as(now) {
                now.revision < then.revision
            } else if memory.given_in.is_none_or(|given| !given.is_the_same_life_as(now)) {
                memory.given_in = Some(*now);
                true
            } else {
                false
            };
            if has_less {
                return Some(memory.claim.clone());
            }
        } else if self.0.len() >= MAX_NODES && !self.0.contains_key(from) {
            return None;
        }
        self.0.insert(from.clone(), Memory { said, claim, given_in: None });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(node_id: &str, key: u8, turned: u64, epoch: u64, records: u64) -> Claim {
        let standing = Standing { turned, epoch, life: epoch, revision: Revision { generation: 3, records } };
        let said = Said::new(node_id.parse().unwrap(), KeyHash::new([key; 32]), standing);
        Claim { text: said.to_text().unwrap(), signature: Bytes::from_static(b"signature") }
    }

    fn own(turned: u64, epoch: u64, records: u64) -> Claim {
        claim("worker-1", 7, turned, epoch, records)
    }

    #[test]
    fn who_comes_back_with_less_is_given_its_own_words() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        assert_eq!(remembered.heard(&node, own(0, 1, 5)), None);
        assert_eq!(remembered.heard(&node, own(0, 1, 6)), None);
        for less in [0, 5] {
            assert_eq!(remembered.heard(&node, own(0, 1, less)), Some(own(0, 1, 6)));
        }
        assert_eq!(remembered.heard(&node, own(0, 1, 6)), None, "the same is not less");
    }

    #[test]
    fn who_began_another_life_is_given_them_once_whatever_it_has() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        assert_eq!(remembered.heard(&node, own(0, 1, 6)), None);
        assert_eq!(remembered.heard(&node, own(0, 2, 9)), Some(own(0, 1, 6)));
        assert_eq!(remembered.heard(&node, own(0, 3, 9)), Some(own(0, 1, 6)), "it ended before it could look");
        assert_eq!(remembered.heard(&node, own(0, 3, 9)), None);
        assert_eq!(remembered.heard(&node, own(0, 3, 8)), Some(own(0, 3, 9)));
    }

    #[test]
    fn who_knows_that_it_went_back_or_has_another_key_begins_anew() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        assert_eq!(remembered.heard(&node, own(0, 4, 9)), None);
        assert_eq!(remembered.heard(&node, own(1, 2, 2)), None);
        assert_eq!(remembered.heard(&node, own(0, 4, 9)), Some(own(1, 2, 2)));
        assert_eq!(remembered.heard(&node, own(0, 4, 9)), Some(own(1, 2, 2)), "as often as it does not know");
        assert_eq!(remembered.heard(&node, claim("worker-1", 8, 0, 1, 1)), None);
    }

    #[test]
    fn nobody_speaks_for_another_and_what_cannot_be_read_is_not_kept() {
        let (mut remembered, node) = (Remembered::default(), "worker-1".parse().unwrap());
        let large = Claim { signature: Bytes::from(vec![0; MAX_SIGNATURE + 1]), ..own(0, 1, 9) };
        let other_format = String::from_utf8(own(0, 1, 9).text.to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
        let other_format = Claim { text: other_format.into(), ..own(0, 1, 9) };
        for bad in [claim("worker-2", 7, 0, 1, 9), large, other_format, Claim { text: Bytes::new(), ..own(0, 1, 9) }] {
            assert_eq!(remembered.heard(&node, bad), None);
            assert!(remembered.0.is_empty());
        }
        for index in 0..MAX_NODES {
            let node_id = format!("n{index}");
            remembered.heard(&node_id.parse().unwrap(), claim(&node_id, 7, 0, 1, 9));
        }
        assert_eq!(remembered.heard(&node, own(0, 1, 9)), None);
        assert_eq!(remembered.0.len(), MAX_NODES);
    }
}
