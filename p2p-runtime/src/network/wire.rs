//! The bytes of a frame's parts: numbers, names and identities.
//!
//! Numbers are LEB128, texts have their length before them. A reader never allocates by a length that it was told before it
//! has seen that many bytes.

use bytes::{BufMut, Bytes};
use p2p_client::protocol::NodeId;

use super::peer::Peer;

/// Why received bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// It ends before its last part does.
    #[error("the frame is cut short")]
    Short,
    /// It goes on after its last part.
    #[error("the frame has {0} bytes too many")]
    Trailing(usize),
    /// A number is larger than its field allows.
    #[error("a number in the frame is out of range")]
    OutOfRange,
    /// A name breaks the rules of node ids, or an address is no text.
    #[error("a name in the frame is not valid")]
    BadName,
    /// It is of a version that this node does not speak.
    #[error("the frame has version {0}, this node speaks version {ours}; update the older node", ours = super::frame::VERSION)]
    UnknownVersion(u8),
    /// It is of a kind that this node does not know.
    #[error("the frame is of the unknown kind {0}")]
    UnknownKind(u8),
    /// It is, or would be when unpacked, longer than allowed.
    #[error("the frame is or unpacks to {0} bytes; at most {limit} are allowed", limit = super::frame::MAX_CONTENT)]
    TooLong(usize),
    /// Its compressed content is damaged.
    #[error("the frame's compressed content is damaged")]
    Damaged,
}

/// Reads parts off the front of received bytes.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) const fn finish(self) -> Result<(), FrameError> {
        if self.0.is_empty() { Ok(()) } else { Err(FrameError::Trailing(self.0.len())) }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(FrameError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, FrameError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FrameError::OutOfRange);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(FrameError::OutOfRange)
    }

    pub(super) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, FrameError> {
        T::try_from(self.number()?).map_err(|_| FrameError::OutOfRange)
    }

    /// A count of items that take at least `least` bytes each: never more than can still follow.
    pub(super) fn count(&mut self, least: usize) -> Result<usize, FrameError> {
        let count: usize = self.small()?;
        if count > self.left() / least.max(1) { Err(FrameError::Short) } else { Ok(count) }
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, FrameError> {
        let len = self.count(1)?;
        self.take(len).map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Result<&'a str, FrameError> {
        let len = usize::from(self.byte()?);
        std::str::from_utf8(self.take(len)?).map_err(|_| FrameError::BadName)
    }

    pub(super) fn node_id(&mut self) -> Result<NodeId, FrameError> {
        NodeId::new(self.text()?).map_err(|_| FrameError::BadName)
    }

    /// Where and in which life a node is; whose it is comes from elsewhere.
    pub(super) fn life_of(&mut self, node_id: NodeId) -> Result<Peer, FrameError> {
        Ok(Peer { node_id, authority: self.text()?.into(), epoch: self.number()?, bump: self.small()? })
    }

    pub(super) fn peer(&mut self) -> Result<Peer, FrameError> {
        let node_id = self.node_id()?;
        self.life_of(node_id)
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "only the low seven bits are wanted")]
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is below 0x80")]
    out.put_u8(value as u8);
}

pub(super) fn put_len(out: &mut Vec<u8>, len: usize) {
    put_number(out, len as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.put_slice(bytes);
}

/// Node ids have 63 bytes at most and authorities are checked to be below 256 where they enter, so that one byte counts them.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.put_u8(len);
    out.put_slice(&text.as_bytes()[..usize::from(len)]);
}

pub(super) fn put_node_id(out: &mut Vec<u8>, node_id: &NodeId) {
    put_text(out, node_id.as_str());
}

pub(super) fn put_life(out: &mut Vec<u8>, peer: &Peer) {
    put_text(out, &peer.authority);
    put_number(out, peer.epoch);
    put_number(out, peer.bump.into());
}

pub(super) fn put_peer(out: &mut Vec<u8>, peer: &Peer) {
    put_node_id(out, &peer.node_id);
    put_life(out, peer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_overlong_ones_are_refused() {
        for value in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            let mut reader = Reader::new(&out);
            assert_eq!(reader.number(), Ok(value));
            assert_eq!(reader.left(), 0);
        }
        assert_eq!(Reader::new(&[0xff; 11]).number(), Err(FrameError::OutOfRange));
        assert_eq!(Reader::new(&[0xff]).number(), Err(FrameError::Short));
    }

    #[test]
    fn a_count_beyond_what_follows_is_refused_before_anything_is_allocated() {
        let mut out = Vec::new();
        put_number(&mut out, 1 << 40);
        assert_eq!(Reader::new(&out).count(8), Err(FrameError::Short));
        assert_eq!(Reader::new(&out).bytes(), Err(FrameError::Short));
    }
}
