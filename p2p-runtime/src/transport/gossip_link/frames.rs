//! Frames on a byte stream: a length (u32, big-endian), then as many bytes. An empty frame is a sign of life.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The bytes of a frame's length.
const HEADER: usize = 4;

/// A frame longer than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes is over the limit of {limit}")]
pub(super) struct FrameTooLong {
    length: usize,
    limit: usize,
}

/// Appends a frame. Its length has been checked against a limit below 4 GiB.
pub(super) fn encode(frame: &[u8], out: &mut BytesMut) {
    out.put_u32(u32::try_from(frame.len()).unwrap_or(u32::MAX));
    out.put_slice(frame);
}

/// Takes the next frame out of what was read, if all of it is there.
pub(super) fn decode(read: &mut BytesMut, limit: usize) -> Result<Option<Bytes>, FrameTooLong> {
    let Some(header) = read.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    if length > limit {
        return Err(FrameTooLong { length, limit });
    }
    if read.len() < HEADER + length {
        return Ok(None);
    }
    read.advance(HEADER);
    Ok(Some(read.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_cut() {
        let mut wire = BytesMut::new();
        for frame in [&b"one"[..], b"", b"three"] {
            encode(frame, &mut wire);
        }
        let (mut read, mut frames) = (BytesMut::new(), Vec::new());
        for byte in wire {
            read.put_u8(byte);
            frames.extend(decode(&mut read, 5).unwrap());
        }
        assert_eq!(frames, ["one", "", "three"]);
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_by_its_length_alone() {
        let said = decode(&mut BytesMut::from(&[0, 0, 0, 9][..]), 8).unwrap_err().to_string();
        assert_eq!(said, "a frame of 9 bytes is over the limit of 8");
    }
}
