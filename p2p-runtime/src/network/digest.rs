//! Finding out cheaply where two nodes know different things.
//!
//! What is compared is who is up, in which life, and the latest statement of each. Every such entry has a hash; entries fall into
//! 256 buckets by their node id; a bucket's hash is the sum of its entries' hashes, so that order does not matter, and the root
//! is made of the buckets. Equal roots end the comparison after one small frame. Dead nodes are not compared: nodes forget them at
//! different moments, and what one has forgotten must not come back from another.
//!
//! The hashes only steer what is sent; nothing is believed because of them. A fast hash is enough.

use p2p_client::protocol::NodeId;

use super::{body::Announcement, peer::Peer};

/// How many buckets there are.
pub(super) const BUCKETS: usize = 256;

/// FNV-1a with a final mix, the same on every machine and in every version.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn eat(mut self, bytes: &[u8]) -> Self {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    const fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }
}

/// The bucket of a node.
pub(super) fn bucket_of(node_id: &NodeId) -> usize {
    let [low, ..] = Fnv::new().eat(node_id.as_str().as_bytes()).finish().to_le_bytes();
    usize::from(low)
}

fn hash_of(peer: &Peer, body: Option<&Announcement>) -> u64 {
    let mut hash = Fnv::new()
        .eat(peer.node_id.as_str().as_bytes())
        .eat(&[0])
        .eat(peer.authority.as_bytes())
        .eat(&peer.epoch.to_le_bytes())
        .eat(&peer.bump.to_le_bytes());
    if let Some(body) = body {
        hash = hash.eat(&body.epoch.to_le_bytes()).eat(&body.version.to_le_bytes()).eat(&body.hash);
    }
    hash.finish()
}

/// What a node knows, in 256 sums.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digest {
    pub(super) buckets: Box<[u64; BUCKETS]>,
    pub(super) count: u64,
}

impl Digest {
    pub(super) fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0 }
    }

    pub(super) fn add(&mut self, peer: &Peer, body: Option<&Announcement>) {
        let bucket = &mut self.buckets[bucket_of(&peer.node_id)];
        *bucket = bucket.wrapping_add(hash_of(peer, body));
        self.count += 1;
    }

    pub(super) fn root(&self) -> u64 {
        self.buckets.iter().fold(Fnv::new(), |hash, bucket| hash.eat(&bucket.to_le_bytes())).finish()
    }

    /// The buckets in which two nodes differ.
    pub(super) fn differing(&self, other: &[u64; BUCKETS]) -> BucketSet {
        let mut set = BucketSet::default();
        for (index, (mine, theirs)) in self.buckets.iter().zip(other).enumerate() {
            if mine != theirs {
                set.insert(index);
            }
        }
        set
    }
}

/// Some of the 256 buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BucketSet([u64; 4]);

impl BucketSet {
    /// Every bucket.
    pub(super) const ALL: Self = Self([u64::MAX; 4]);

    pub(super) fn insert(&mut self, bucket: usize) {
        self.0[(bucket / 64) % 4] |= 1 << (bucket % 64);
    }

    pub(super) fn contains(&self, bucket: usize) -> bool {
        self.0[(bucket / 64) % 4] & (1 << (bucket % 64)) != 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    pub(super) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte));
        }
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, epoch: u64) -> Peer {
        Peer { node_id: name.parse().unwrap(), authority: "h:1".into(), epoch, bump: 0 }
    }

    #[test]
    fn equal_knowledge_has_equal_roots_in_any_order_and_a_difference_shows_in_its_bucket_only() {
        let (mut one, mut other) = (Digest::new(), Digest::new());
        for name in ["a", "b", "c"] {
            one.add(&peer(name, 1), None);
        }
        for name in ["c", "b", "a"] {
            other.add(&peer(name, 1), None);
        }
        assert_eq!(one.root(), other.root());
        assert!(one.differing(&other.buckets).is_empty());

        let mut later = Digest::new();
        for (name, epoch) in [("a", 1), ("b", 2), ("c", 1)] {
            later.add(&peer(name, epoch), None);
        }
        let differing = one.differing(&later.buckets);
        let b = bucket_of(&"b".parse().unwrap());
        assert!((0..BUCKETS).all(|bucket| differing.contains(bucket) == (bucket == b)));
    }

    #[test]
    fn a_set_of_buckets_survives_the_wire() {
        let mut set = BucketSet::default();
        for bucket in [0, 63, 64, 200, 255] {
            set.insert(bucket);
        }
        assert_eq!(BucketSet::from_bytes(&set.to_bytes()), set);
        assert_eq!(BucketSet::from_bytes(&BucketSet::ALL.to_bytes()), BucketSet::ALL);
    }
}
