//! foca's messages as bytes.

use bytes::{Buf, BufMut};
use foca::{Codec, Header, Member, Message, State};

use super::{
    peer::Peer,
    wire::{FrameError, Reader, put_number, put_peer},
};

/// Writes and reads foca's headers and members.
#[derive(Debug, Clone, Copy)]
pub(super) struct SwimCodec;

/// Why a part could not be written or read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    #[error("no room is left in the packet")]
    Full,
    #[error(transparent)]
    Frame(#[from] FrameError),
}

fn put_all(bytes: &[u8], mut buf: impl BufMut) -> Result<(), CodecError> {
    if buf.remaining_mut() < bytes.len() {
        return Err(CodecError::Full);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn read<T>(mut buf: impl Buf, part: impl FnOnce(&mut Reader<'_>) -> Result<T, FrameError>) -> Result<T, CodecError> {
    let mut reader = Reader::new(buf.chunk());
    let before = reader.left();
    let value = part(&mut reader)?;
    let used = before - reader.left();
    buf.advance(used);
    Ok(value)
}

pub(super) fn put_state(out: &mut Vec<u8>, state: State) {
    out.put_u8(match state {
        State::Alive => 0,
        State::Suspect => 1,
        State::Down => 2,
    });
}

pub(super) fn read_state(reader: &mut Reader<'_>) -> Result<State, FrameError> {
    match reader.byte()? {
        0 => Ok(State::Alive),
        1 => Ok(State::Suspect),
        2 => Ok(State::Down),
        _ => Err(FrameError::OutOfRange),
    }
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member<Peer>, FrameError> {
    let peer = reader.peer()?;
    let incarnation = reader.small()?;
    Ok(Member::new(peer, incarnation, read_state(reader)?))
}

fn read_header(reader: &mut Reader<'_>) -> Result<Header<Peer>, FrameError> {
    let src = reader.peer()?;
    let src_incarnation = reader.small()?;
    let dst = reader.peer()?;
    let message = match reader.byte()? {
        0 => Message::Ping(reader.byte()?),
        1 => Message::Ack(reader.byte()?),
        2 => Message::PingReq { target: reader.peer()?, probe_number: reader.byte()? },
        3 => Message::IndirectPing { origin: reader.peer()?, probe_number: reader.byte()? },
        4 => Message::IndirectAck { target: reader.peer()?, probe_number: reader.byte()? },
        5 => Message::ForwardedAck { origin: reader.peer()?, probe_number: reader.byte()? },
        6 => Message::Announce,
        7 => Message::Feed,
        8 => Message::Gossip,
        9 => Message::Broadcast,
        10 => Message::TurnUndead,
        kind => return Err(FrameError::UnknownKind(kind)),
    };
    Ok(Header { src, src_incarnation, dst, message })
}

/// A whole message as foca will read it: its header and the updates that ride on it.
///
/// foca keeps what it decodes to itself; suspicions and the sender have to be known before it acts.
pub(super) fn peek(message: &[u8]) -> Result<(Header<Peer>, Vec<Member<Peer>>), FrameError> {
    let mut reader = Reader::new(message);
    let header = read_header(&mut reader)?;
    if reader.left() == 0 || header.message == Message::Broadcast {
        return Ok((header, Vec::new()));
    }
    let count = usize::from(u16::from_be_bytes(reader.array()?));
    if count > reader.left() {
        return Err(FrameError::Short);
    }
    let updates = (0..count).map(|_| read_member(&mut reader)).collect::<Result<_, _>>()?;
    reader.finish()?;
    Ok((header, updates))
}

impl Codec<Peer> for SwimCodec {
    type Error = CodecError;

    fn encode_header(&mut self, header: &Header<Peer>, buf: impl BufMut) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(128);
        put_peer(&mut out, &header.src);
        put_number(&mut out, header.src_incarnation.into());
        put_peer(&mut out, &header.dst);
        let mut indirect = |kind: u8, peer: &Peer, number: u8| {
            out.put_u8(kind);
            put_peer(&mut out, peer);
            out.put_u8(number);
        };
        match &header.message {
            Message::PingReq { target, probe_number } => indirect(2, target, *probe_number),
            Message::IndirectPing { origin, probe_number } => indirect(3, origin, *probe_number),
            Message::IndirectAck { target, probe_number } => indirect(4, target, *probe_number),
            Message::ForwardedAck { origin, probe_number } => indirect(5, origin, *probe_number),
            Message::Ping(number) => out.put_slice(&[0, *number]),
            Message::Ack(number) => out.put_slice(&[1, *number]),
            Message::Announce => out.put_u8(6),
            Message::Feed => out.put_u8(7),
            Message::Gossip => out.put_u8(8),
            Message::Broadcast => out.put_u8(9),
            Message::TurnUndead => out.put_u8(10),
        }
        put_all(&out, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Peer>, CodecError> {
        read(buf, read_header)
    }

    fn encode_member(&mut self, member: &Member<Peer>, buf: impl BufMut) -> Result<(), CodecError> {
        let mut out = Vec::with_capacity(64);
        put_peer(&mut out, member.id());
        put_number(&mut out, member.incarnation().into());
        put_state(&mut out, member.state());
        put_all(&out, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<Member<Peer>, CodecError> {
        read(buf, read_member)
    }
}
