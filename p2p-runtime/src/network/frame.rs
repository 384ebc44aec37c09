//! Frames: what travels between the membership of two nodes.
//!
//! ```text
//! version  1 byte     VERSION
//! kind     1 byte     the low 7 bits say which kind; the high bit says that the content is compressed
//! [length  LEB128     of the content, unpacked; only when compressed]
//! content             LZ4 block when compressed
//! ```
//!
//! The sender's node id is never in a frame: it is the certificate's. Every kind but `Swim`, where foca's header does it, opens
//! with where the sender is and in which life.

use bytes::{BufMut, Bytes};
use foca::State;
use p2p_client::protocol::NodeId;

use super::{
    body::{Announcement, HASH_LEN, SignedBody},
    codec::{put_state, read_state},
    digest::{BUCKETS, BucketSet},
    peer::Peer,
    wire::{FrameError, Reader, put_bytes, put_len, put_life, put_node_id, put_number, put_peer},
};

/// The version of the frame format that this node speaks.
pub(super) const VERSION: u8 = 1;
/// The longest content of a frame, unpacked, in bytes.
pub(super) const MAX_CONTENT: usize = 256 * 1024;
const COMPRESSED: u8 = 0x80;
/// A statement has more bytes than this: its JSON text alone does.
const LEAST_BODY: usize = 64;
/// A node asks for so many statements at once, and sends so many news along, at most; each several times what nodes do.
const MAX_IDS: usize = 1024;

/// What one node knows of another, for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) peer: Peer,
    pub(super) incarnation: u16,
    pub(super) state: State,
    /// The latest statement that is known of it; `None` while it is still asked for.
    pub(super) body: Option<Announcement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message of foca's, and news that ride along.
    Swim { news: Vec<Announcement>, message: Bytes },
    /// A message of our own.
    Own { sender: Peer, message: Message },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// "Do we know the same?" Also the first word of a node that joins.
    Digest { root: u64, count: u64 },
    /// "No; here is what I know, in summary."
    Buckets { buckets: Box<[u64; BUCKETS]> },
    /// "This is what I know of these buckets." With `ask`: "and you?"
    Entries { ask: bool, buckets: BucketSet, entries: Vec<Entry> },
    /// "Send me what these nodes say of themselves."
    Pull { ids: Vec<NodeId> },
    /// What nodes say of themselves.
    Bodies { bodies: Vec<SignedBody> },
    /// "This is what is said of you": suspected, dead, or a later life than the one you speak from.
    Notice { about: Peer, incarnation: u16, state: State },
    /// What the ledgers of revocations say to each other; membership does not look into it.
    Revocations { content: Bytes },
}

impl Frame {
    /// The frame's bytes. Content above `compress_above` bytes is compressed if that makes it smaller.
    pub(super) fn encode(&self, compress_above: usize) -> Bytes {
        let mut content = Vec::with_capacity(256);
        let kind = self.put_content(&mut content);
        if content.len() > compress_above {
            let packed = lz4_flex::block::compress(&content);
            if packed.len() + 4 < content.len() {
                let mut out = Vec::with_capacity(packed.len() + 8);
                out.put_slice(&[VERSION, kind | COMPRESSED]);
                put_len(&mut out, content.len());
                out.put_slice(&packed);
                return out.into();
            }
        }
        let mut out = Vec::with_capacity(content.len() + 2);
        out.put_slice(&[VERSION, kind]);
        out.put_slice(&content);
        out.into()
    }

    fn put_content(&self, out: &mut Vec<u8>) -> u8 {
        let (sender, message) = match self {
            Self::Swim { news, message } => {
                put_len(out, news.len());
                for announcement in news {
                    put_announcement(out, announcement);
                }
                out.put_slice(message);
                return 0;
            }
            Self::Own { sender, message } => (sender, message),
        };
        put_life(out, sender);
        match message {
            Message::Digest { root, count } => {
                out.put_u64(*root);
                put_number(out, *count);
                1
            }
            Message::Buckets { buckets } => {
                for bucket in buckets.iter() {
                    out.put_u64(*bucket);
                }
                2
            }
            Message::Entries { ask, buckets, entries } => {
                out.put_u8((*ask).into());
                out.put_slice(&buckets.to_bytes());
                put_len(out, entries.len());
                for entry in entries {
                    put_entry(out, entry);
                }
                3
            }
            Message::Pull { ids } => {
                put_len(out, ids.len());
                for id in ids {
                    put_node_id(out, id);
                }
                4
            }
            Message::Bodies { bodies } => {
                put_len(out, bodies.len());
                for body in bodies {
                    put_bytes(out, &body.message);
                    put_bytes(out, &body.attestation);
                }
                5
            }
            Message::Notice { about, incarnation, state } => {
                put_peer(out, about);
                put_number(out, (*incarnation).into());
                put_state(out, *state);
                6
            }
            Message::Revocations { content } => {
                put_bytes(out, content);
                7
            }
        }
    }

    /// Reads a frame that came from the node `from`.
    pub(super) fn decode(from: &NodeId, bytes: &[u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        let version = reader.byte()?;
        if version != VERSION {
            return Err(FrameError::UnknownVersion(version));
        }
        let kind = reader.byte()?;
        if kind & COMPRESSED == 0 {
            if reader.left() > MAX_CONTENT {
                return Err(FrameError::TooLong(reader.left()));
            }
            return Self::read_content(from, kind, reader);
        }
        let length: usize = reader.small()?;
        if length > MAX_CONTENT {
            return Err(FrameError::TooLong(length));
        }
        // The buffer bounds what is unpacked: a block that says more than was declared is an error, not an allocation.
        let mut content = vec![0; length];
        match lz4_flex::block::decompress_into(reader.rest(), &mut content) {
            Ok(unpacked) if unpacked == length => Self::read_content(from, kind & !COMPRESSED, Reader::new(&content)),
            _ => Err(FrameError::Damaged),
        }
    }

    fn read_content(from: &NodeId, kind: u8, mut reader: Reader<'_>) -> Result<Self, FrameError> {
        if kind == 0 {
            let count = within(MAX_IDS, reader.count(HASH_LEN + 4)?)?;
            let news = (0..count).map(|_| read_announcement(&mut reader)).collect::<Result<_, _>>()?;
            return Ok(Self::Swim { news, message: Bytes::copy_from_slice(reader.rest()) });
        }
        let sender = reader.life_of(from.clone())?;
        let message = match kind {
            1 => Message::Digest { root: u64::from_be_bytes(reader.array()?), count: reader.number()? },
            2 => {
                let mut buckets = Box::new([0; BUCKETS]);
                for bucket in buckets.iter_mut() {
                    *bucket = u64::from_be_bytes(reader.array()?);
                }
                Message::Buckets { buckets }
            }
            3 => {
                let ask = reader.byte()? != 0;
                let buckets = BucketSet::from_bytes(&reader.array()?);
                let count = reader.count(8)?;
                let entries = (0..count).map(|_| read_entry(&mut reader)).collect::<Result<_, _>>()?;
                Message::Entries { ask, buckets, entries }
            }
            4 => {
                let count = within(MAX_IDS, reader.count(2)?)?;
                Message::Pull { ids: (0..count).map(|_| reader.node_id()).collect::<Result<_, _>>()? }
            }
            5 => {
                let count = reader.count(LEAST_BODY)?;
                let mut body = || Ok(SignedBody { message: reader.bytes()?, attestation: reader.bytes()? });
                Message::Bodies { bodies: (0..count).map(|_| body()).collect::<Result<_, FrameError>>()? }
            }
            6 => Message::Notice { about: reader.peer()?, incarnation: reader.small()?, state: read_state(&mut reader)? },
            7 => Message::Revocations { content: reader.bytes()? },
            kind => return Err(FrameError::UnknownKind(kind)),
        };
        reader.finish()?;
        Ok(Self::Own { sender, message })
    }
}

fn within(most: usize, count: usize) -> Result<usize, FrameError> {
    if count > most { Err(FrameError::OutOfRange) } else { Ok(count) }
}

pub(super) fn put_announcement(out: &mut Vec<u8>, announcement: &Announcement) {
    put_node_id(out, &announcement.node_id);
    put_number(out, announcement.epoch);
    put_number(out, announcement.version);
    out.put_slice(&announcement.hash);
}

fn read_announcement(reader: &mut Reader<'_>) -> Result<Announcement, FrameError> {
    Ok(Announcement { node_id: reader.node_id()?, epoch: reader.number()?, version: reader.number()?, hash: reader.array()? })
}

fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_peer(out, &entry.peer);
    put_number(out, entry.incarnation.into());
    put_state(out, entry.state);
    out.put_u8(entry.body.is_some().into());
    if let Some(body) = &entry.body {
        put_number(out, body.epoch);
        put_number(out, body.version);
        out.put_slice(&body.hash);
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, FrameError> {
    let peer = reader.peer()?;
    let incarnation = reader.small()?;
    let state = read_state(reader)?;
    let body = if reader.byte()? == 0 {
        None
    } else {
        let node_id = peer.node_id.clone();
        Some(Announcement { node_id, epoch: reader.number()?, version: reader.number()?, hash: reader.array()? })
    };
    Ok(Entry { peer, incarnation, state, body })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn id(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn peer(name: &str) -> Peer {
        Peer { node_id: id(name), authority: "10.0.0.1:8002".into(), epoch: 7, bump: 300 }
    }

    fn announcement(name: &str) -> Announcement {
        Announcement { node_id: id(name), epoch: 7, version: 70_000, hash: [9; HASH_LEN] }
    }

    /// A frame of each kind.
    pub(in crate::network) fn samples() -> Vec<Frame> {
        let own = |message| Frame::Own { sender: peer("a"), message };
        let entry = |name: &str, body| Entry { peer: peer(name), incarnation: 3, state: State::Suspect, body };
        vec![
            Frame::Swim { news: vec![announcement("b"), announcement("c")], message: Bytes::from_static(b"message") },
            own(Message::Digest { root: 5, count: 1000 }),
            own(Message::Buckets { buckets: Box::new([u64::MAX; BUCKETS]) }),
            own(Message::Entries {
                ask: true,
                buckets: BucketSet::ALL,
                entries: (0..100)
                    .map(|i| entry(&format!("n{i}"), (i % 2 == 0).then(|| announcement(&format!("n{i}")))))
                    .collect(),
            }),
            own(Message::Pull { ids: vec![id("b"), id("c")] }),
            own(Message::Bodies {
                bodies: vec![SignedBody { message: vec![b'x'; 3000].into(), attestation: Bytes::from_static(b"s") }],
            }),
            own(Message::Notice { about: peer("b"), incarnation: 4, state: State::Down }),
        ]
    }

    #[test]
    fn every_kind_of_frame_survives_the_wire() {
        for frame in samples() {
            for compress_above in [0, 1024, usize::MAX] {
                let bytes = frame.encode(compress_above);
                assert_eq!(Frame::decode(&id("a"), &bytes).as_ref(), Ok(&frame));
            }
        }
    }

    #[test]
    fn content_above_the_threshold_is_compressed() {
        let frame = &samples()[5];
        assert!(frame.encode(1024).len() < 200);
        assert!(frame.encode(4096).len() > 3000);
    }

    #[test]
    fn every_truncation_of_a_frame_is_refused() {
        for frame in samples().iter().skip(1) {
            for compress_above in [0, usize::MAX] {
                let bytes = frame.encode(compress_above);
                for end in 0..bytes.len() {
                    assert!(Frame::decode(&id("a"), &bytes[..end]).is_err(), "{frame:?} cut at {end}");
                }
            }
        }
    }

    #[test]
    fn more_parts_than_any_node_sends_are_refused_before_they_are_read() {
        let own = |message| Frame::Own { sender: peer("a"), message };
        let bodies =
            |count| own(Message::Bodies { bodies: vec![SignedBody { message: Bytes::new(), attestation: Bytes::new() }; count] });
        let pull = |count| own(Message::Pull { ids: vec![id("b"); count] });
        let news = |count| Frame::Swim { news: vec![announcement("b"); count], message: Bytes::new() };
        for (frame, refused) in [
            (bodies(100_000), FrameError::Short),
            (pull(MAX_IDS + 1), FrameError::OutOfRange),
            (news(MAX_IDS + 1), FrameError::OutOfRange),
        ] {
            let bytes = frame.encode(1024);
            assert!(bytes.len() < 1500, "control: it is cheap to send, {}", bytes.len());
            assert_eq!(Frame::decode(&id("a"), &bytes), Err(refused));
        }
        for frame in [pull(MAX_IDS), news(MAX_IDS)] {
            assert_eq!(Frame::decode(&id("a"), &frame.encode(1024)).as_ref(), Ok(&frame));
        }
    }

    #[test]
    fn a_frame_of_another_version_says_which() {
        let said = Frame::decode(&id("a"), &[9, 1, 0]).unwrap_err().to_string();
        assert!(said.contains("version 9") && said.contains("version 1"), "{said}");
    }

    mod security {
        use super::*;

        #[test]
        fn case_50_a_compression_bomb_is_refused_before_it_is_unpacked() {
            let huge = lz4_flex::block::compress(&vec![0; 64 * 1024 * 1024]);
            // The control: whoever believes what is declared has 64 MiB of some 260 KiB.
            assert!(huge.len() < 300 * 1024);
            assert_eq!(lz4_flex::block::decompress(&huge, 64 * 1024 * 1024).unwrap().len(), 64 * 1024 * 1024);
            for declared in [64 * 1024 * 1024, MAX_CONTENT + 1] {
                let mut bomb = vec![VERSION, 5 | COMPRESSED];
                put_len(&mut bomb, declared);
                bomb.extend_from_slice(&huge);
                assert_eq!(Frame::decode(&id("a"), &bomb), Err(FrameError::TooLong(declared)));
            }
            let mut liar = vec![VERSION, 5 | COMPRESSED];
            put_len(&mut liar, 1000);
            liar.extend_from_slice(&huge);
            assert_eq!(Frame::decode(&id("a"), &liar), Err(FrameError::Damaged));
        }
    }
}
