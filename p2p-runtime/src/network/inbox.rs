//! What the ledgers of others say, until this node's takes it in: each of the others has its turns.
//!
//! What waits is bounded in bytes. Where it comes to more, the newest message of whoever has most waiting goes. So whoever floods a node
//! loses messages of his own, and nobody else's waits for more than one of his at a time. A bound for each sender would not do: an honest
//! node, asked for all that was ever revoked, sends it at once.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use p2p_client::protocol::NodeId;
use tokio::sync::Notify;

/// How many bytes may wait. A full set of revocations takes about 14 MiB. What is lost is made good by the next comparison.
const MAX_WAITING: usize = 32 * 1024 * 1024;
/// What a message takes beside its bytes.
const BESIDE: usize = 128;

/// What comes back to a ledger of what it has others told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Another's ledger says this.
    Said {
        /// The node of the connection's certificate.
        from: NodeId,
        /// What it says.
        content: Bytes,
    },
    /// Another cannot be reached now.
    Unreachable(NodeId),
}

/// Where membership puts what it hears.
#[derive(Debug)]
pub(super) struct Post(Arc<Shared>);

/// Where a ledger takes it.
#[derive(Debug)]
pub(crate) struct Inbox(Arc<Shared>);

/// An inbox, and where it is filled.
pub(super) fn inbox() -> (Post, Inbox) {
    let shared = Arc::new(Shared::default());
    (Post(shared.clone()), Inbox(shared))
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    senders: HashMap<NodeId, Waiting>,
    /// Those of whom something waits, in the order of their turns.
    turns: VecDeque<NodeId>,
    /// The bytes of all together.
    bytes: usize,
    unreachable: BTreeSet<NodeId>,
    is_closed: bool,
}

/// What waits of one sender.
#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Post {
    /// Puts in what was heard; best effort.
    pub(super) fn put(&self, heard: Heard) {
        let mut state = self.0.state();
        if state.is_closed {
            return;
        }
        match heard {
            Heard::Said { from, content } => state.put(from, content),
            Heard::Unreachable(node_id) => drop(state.unreachable.insert(node_id)),
        }
        drop(state);
        self.0.wake.notify_one();
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.wake.notify_one();
    }
}

impl Inbox {
    /// What was heard next; `None` once nothing more can come. It may be dropped at any time, and nothing is lost.
    pub(crate) async fn recv(&mut self) -> Option<Heard> {
        loop {
            {
                let mut state = self.0.state();
                if let Some(heard) = state.take() {
                    return Some(heard);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.0.wake.notified().await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.0.state() = State { is_closed: true, ..State::default() };
    }
}

impl State {
    fn put(&mut self, from: NodeId, content: Bytes) {
        let size = content.len() + BESIDE;
        let waiting = self.senders.entry(from.clone()).or_default();
        if waiting.messages.is_empty() {
            self.turns.push_back(from);
        }
        waiting.messages.push_back(content);
        waiting.bytes += size;
        self.bytes += size;
        while self.bytes > MAX_WAITING {
            self.make_room();
        }
    }

    /// Drops the newest message of whoever has most waiting.
    fn make_room(&mut self) {
        let most = self.senders.iter().max_by_key(|(_, waiting)| waiting.bytes).map(|(sender, _)| sender.clone());
        let dropped = most.as_ref().and_then(|sender| self.take_of(sender, VecDeque::pop_back));
        if dropped.is_none() {
            self.bytes = 0; // nothing waits
        }
        if let Some(sender) = most.filter(|sender| !self.senders.contains_key(sender)) {
            self.turns.retain(|other| *other != sender);
        }
    }

    fn take(&mut self) -> Option<Heard> {
        if let Some(node_id) = self.unreachable.pop_first() {
            return Some(Heard::Unreachable(node_id));
        }
        let from = self.turns.pop_front()?;
        let content = self.take_of(&from, VecDeque::pop_front)?;
        if self.senders.contains_key(&from) {
            self.turns.push_back(from.clone());
        }
        Some(Heard::Said { from, content })
    }

    /// Takes a message of this sender, which is forgotten with its last one.
    fn take_of(&mut self, sender: &NodeId, pop: impl FnOnce(&mut VecDeque<Bytes>) -> Option<Bytes>) -> Option<Bytes> {
        let waiting = self.senders.get_mut(sender)?;
        let taken = pop(&mut waiting.messages)?;
        let size = taken.len() + BESIDE;
        waiting.bytes = waiting.bytes.saturating_sub(size);
        self.bytes = self.bytes.saturating_sub(size);
        if waiting.messages.is_empty() {
            self.senders.remove(sender);
        }
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    /// The largest message that a frame can hold.
    const LARGE: usize = 256 * 1024;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn said(from: &str, content: impl Into<Bytes>) -> Heard {
        Heard::Said { from: node(from), content: content.into() }
    }

    #[tokio::test]
    async fn whoever_floods_a_node_loses_his_own_messages_and_another_is_heard_in_the_next_turn() {
        let ((post, mut inbox), large) = (inbox(), Bytes::from(vec![0; LARGE]));
        // The control: all in one queue, as many as were let wait.
        let (queue, _behind) = mpsc::channel(1024);
        for _ in 0..2000 {
            post.put(said("liar", large.clone()));
            let _full = queue.try_send(());
        }
        post.put(said("coordinator", "revoked"));
        assert!(queue.try_send(()).is_err(), "control: what the coordinator says is lost");
        assert!(inbox.0.state().bytes <= MAX_WAITING);
        assert_eq!(inbox.recv().await, Some(said("liar", large.clone())));
        assert_eq!(inbox.recv().await, Some(said("coordinator", "revoked")));
        assert_eq!(inbox.recv().await, Some(said("liar", large)));
    }

    #[tokio::test]
    async fn messages_without_content_are_bounded_too() {
        let (post, inbox) = inbox();
        for _ in 0..300_000 {
            post.put(said("liar", Bytes::new()));
        }
        assert_eq!(inbox.0.state().senders[&node("liar")].messages.len(), MAX_WAITING / BESIDE);
    }

    #[tokio::test]
    async fn all_that_was_ever_revoked_may_wait_at_once_beside_a_flood() {
        let ((post, mut inbox), large) = (inbox(), Bytes::from(vec![0; LARGE]));
        for number in 0..430_u32 {
            post.put(said("liar", large.clone()));
            let mut chunk = vec![0; 34 * 1024];
            chunk[..4].copy_from_slice(&number.to_be_bytes());
            post.put(said("honest", chunk));
        }
        for _ in 0..500 {
            post.put(said("liar", large.clone()));
        }
        let mut expected = 0;
        while expected < 430 {
            if let Some(Heard::Said { from, content }) = inbox.recv().await
                && from == node("honest")
            {
                assert_eq!(content[..4], u32::to_be_bytes(expected));
                expected += 1;
            }
        }
    }

    #[tokio::test]
    async fn who_cannot_be_reached_is_told_once_and_the_end_after_everything() {
        let (post, mut inbox) = inbox();
        post.put(said("a", "one"));
        for _ in 0..3 {
            post.put(Heard::Unreachable(node("b")));
        }
        post.put(said("a", "two"));
        drop(post);
        assert_eq!(inbox.recv().await, Some(Heard::Unreachable(node("b"))));
        assert_eq!(inbox.recv().await, Some(said("a", "one")));
        assert_eq!(inbox.recv().await, Some(said("a", "two")));
        assert_eq!(inbox.recv().await, None);
        let (post, inbox) = super::inbox();
        drop(inbox);
        post.put(said("a", "nobody listens"));
        assert!(post.0.state().senders.is_empty());
    }
}
