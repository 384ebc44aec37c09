//! Membership frames under fuzzing. `cargo test` runs the same with inputs of its own.

use p2p_client::protocol::NodeId;

pub use super::revocations::fuzzing::revocations;
use super::{codec::peek, frame::Frame};

/// Reads a frame that came in, and the message of the failure detector in it.
///
/// # Panics
/// When a frame is taken that is not the same when it is written and read again.
pub fn gossip_frame(data: &[u8]) {
    let from: NodeId = "sender".parse().expect("a node id");
    let Ok(frame) = Frame::decode(&from, data) else { return };
    for compress_above in [0, usize::MAX] {
        let again = Frame::decode(&from, &frame.encode(compress_above));
        assert_eq!(again.as_ref(), Ok(&frame));
    }
    if let Frame::Swim { message, .. } = &frame
        && let Ok((_, updates)) = peek(message)
    {
        assert!(updates.len() <= message.len(), "{} updates in {} bytes", updates.len(), message.len());
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::fuzzing::run;

    use super::*;
    use crate::network::frame::tests::samples;

    #[test]
    fn a_frame_is_read_as_it_was_written_or_not_at_all() {
        run("gossip_frame", 20_000, &[], corpus, gossip_frame);
    }

    fn corpus() -> Vec<(&'static str, Vec<u8>)> {
        let names = ["swim", "digest", "buckets", "entries", "pull", "bodies", "notice"];
        names.into_iter().zip(samples()).map(|(name, frame)| (name, frame.encode(1_024).to_vec())).collect()
    }
}
