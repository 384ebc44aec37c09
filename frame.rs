//! Frames: how messages lie in a stream of bytes.
//!
//! A frame is the length of a message in bytes (four bytes, big-endian), then the message. How the bytes were cut on their way is
//! of no matter: a frame may come in many pieces, and a piece may hold many frames.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The bytes of a frame before its message.
pub const HEADER: usize = 4;

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A message is longer than is taken. It was not read.
    #[error("a message of {length} bytes, where {limit} are taken; longer bodies go on streams of their own")]
    TooLong {
        /// What the frame says.
        length: usize,
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// The stream ended within a frame.
    #[error("the stream ended in the middle of a message")]
    Cut,
}

/// Puts frames together again. A message that came whole in one piece is a slice of it, and not copied.
#[derive(Debug)]
pub struct FrameReader {
    /// A frame of which only a part is there.
    partial: BytesMut,
    /// What has not been looked at yet.
    piece: Bytes,
    limit: usize,
}

impl FrameReader {
    /// Reads frames whose messages have at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { partial: BytesMut::new(), piece: Bytes::new(), limit }
    }

    /// Takes the next piece of the stream. Everything before it has to have been read with [`next`](Self::next).
    pub fn push(&mut self, piece: Bytes) {
        debug_assert!(self.piece.is_empty(), "frames of an earlier piece were left unread");
        self.piece = piece;
    }

    /// The next whole message; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError::TooLong`], as soon as the length is known. The stream cannot be read further then.
    #[allow(clippy::should_implement_trait, reason = "an iterator of results would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Bytes>, FrameError> {
        if !self.partial.is_empty() {
            return self.complete();
        }
        if let Some(length) = self.length(&self.piece)?
            && self.piece.len() - HEADER >= length
        {
            self.piece.advance(HEADER);
            return Ok(Some(self.piece.split_to(length)));
        }
        self.partial.extend_from_slice(&self.piece);
        self.piece = Bytes::new();
        Ok(None)
    }

    /// How many bytes of an unfinished frame are kept.
    pub fn buffered(&self) -> usize {
        self.partial.len()
    }

    /// Says that the stream has ended.
    ///
    /// # Errors
    /// [`FrameError::Cut`] where that was within a frame.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.partial.is_empty() && self.piece.is_empty() { Ok(()) } else { Err(FrameError::Cut) }
    }

    /// Fills up the frame that was begun.
    fn complete(&mut self) -> Result<Option<Bytes>, FrameError> {
        self.fill(HEADER);
        let Some(length) = self.length(&self.partial)? else { return Ok(None) };
        self.fill(HEADER + length);
        if self.partial.len() < HEADER + length {
            return Ok(None);
        }
        let mut frame = self.partial.split().freeze();
        frame.advance(HEADER);
        Ok(Some(frame))
    }

    fn fill(&mut self, wanted: usize) {
        let missing = wanted.saturating_sub(self.partial.len()).min(self.piece.len());
        self.partial.extend_from_slice(&self.piece[..missing]);
        self.piece.advance(missing);
    }

    fn length(&self, frame: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(header) = frame.first_chunk::<HEADER>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        Ok(Some(length))
    }
}

/// Appends a frame, whose message `write` writes.
pub fn write_frame(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let begin = out.len();
    out.put_u32(0);
    write(out);
    let length = u32::try_from(out.len() - begin - HEADER).unwrap_or(u32::MAX);
    out[begin..begin + HEADER].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(messages: &[Vec<u8>]) -> Bytes {
        let mut out = BytesMut::new();
        for message in messages {
            write_frame(&mut out, |out| out.extend_from_slice(message));
        }
        out.freeze()
    }

    fn read_all(reader: &mut FrameReader, piece: Bytes) -> Vec<Bytes> {
        reader.push(piece);
        std::iter::from_fn(|| reader.next().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn messages_survive_however_the_stream_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
            cuts in prop::collection::vec(0_usize..400, 0..20),
        ) {
            let stream = framed(&messages);
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let mut reader = FrameReader::new(64);
            let mut read = Vec::new();
            for ends in cuts.windows(2) {
                read.extend(read_all(&mut reader, stream.slice(ends[0]..ends[1])));
            }
            prop_assert_eq!(read, messages);
            prop_assert_eq!(reader.end(), Ok(()));
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_its_length_alone() {
        let mut reader = FrameReader::new(8);
        reader.push(Bytes::from_static(&[0, 0, 0, 9]));
        let error = reader.next().unwrap_err();
        assert_eq!(error, FrameError::TooLong { length: 9, limit: 8 });
        assert_eq!(error.to_string(), "a message of 9 bytes, where 8 are taken; longer bodies go on streams of their own");
    }

    #[test]
    fn a_length_that_comes_in_pieces_is_refused_as_well() {
        let mut reader = FrameReader::new(8);
        assert!(read_all(&mut reader, Bytes::from_static(&[0xff, 0xff])).is_empty());
        reader.push(Bytes::from_static(&[0xff, 0xff]));
        assert!(matches!(reader.next(), Err(FrameError::TooLong { length: 0xffff_ffff, .. })));
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_was_cut() {
        let whole = framed(&[b"one".to_vec(), b"two".to_vec()]);
        for end in 0..=whole.len() {
            let mut reader = FrameReader::new(8);
            read_all(&mut reader, whole.slice(..end));
            let expected = if end % 7 == 0 { Ok(()) } else { Err(FrameError::Cut) };
            assert_eq!(reader.end(), expected, "{end} bytes of {}", whole.len());
        }
    }
}
