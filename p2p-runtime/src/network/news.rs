//! The announcements that this node still has to pass on.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use p2p_client::protocol::NodeId;

use super::{body::Announcement, frame::put_announcement};

/// Announcements wait here and ride on whatever frame leaves next; each is sent a number of times that grows with the logarithm
/// of the cluster's size, the least sent first.
#[derive(Debug, Default)]
pub(super) struct News {
    waiting: HashMap<NodeId, (Announcement, u32)>,
    /// Who is next: those that have most transmissions left.
    order: BTreeSet<(Reverse<u32>, NodeId)>,
}

impl News {
    /// Spreads an announcement, in place of an older one of the same node.
    pub(super) fn spread(&mut self, announcement: Announcement, transmissions: u32) {
        let node_id = announcement.node_id.clone();
        if let Some((_, left)) = self.waiting.insert(node_id.clone(), (announcement, transmissions)) {
            self.order.remove(&(Reverse(left), node_id.clone()));
        }
        self.order.insert((Reverse(transmissions), node_id));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// As many announcements as fit into `budget` bytes, counted as sent once.
    pub(super) fn take(&mut self, budget: usize) -> Vec<Announcement> {
        let mut taken: Vec<(Announcement, u32)> = Vec::new();
        let mut used = 0;
        let mut bytes = Vec::with_capacity(96);
        while let Some((_, node_id)) = self.order.first() {
            let Some((announcement, left)) = self.waiting.get(node_id) else { break };
            bytes.clear();
            put_announcement(&mut bytes, announcement);
            used += bytes.len();
            if used > budget {
                break;
            }
            taken.push((announcement.clone(), left - 1));
            self.order.pop_first();
        }
        for (Announcement { node_id, .. }, left) in &taken {
            if *left == 0 {
                self.waiting.remove(node_id);
            } else {
                self.order.insert((Reverse(*left), node_id.clone()));
                if let Some((_, waiting)) = self.waiting.get_mut(node_id) {
                    *waiting = *left;
                }
            }
        }
        taken.into_iter().map(|(announcement, _)| announcement).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::body::HASH_LEN;

    fn announcement(name: &str, version: u64) -> Announcement {
        Announcement { node_id: name.parse().unwrap(), epoch: 1, version, hash: [0; HASH_LEN] }
    }

    #[test]
    fn an_announcement_is_sent_as_often_as_said_and_a_later_one_replaces_it() {
        let mut news = News::default();
        news.spread(announcement("a", 1), 3);
        news.spread(announcement("a", 2), 3);
        for _ in 0..3 {
            assert_eq!(news.take(1000), [announcement("a", 2)]);
        }
        assert!(news.is_empty() && news.take(1000).is_empty());
    }

    #[test]
    fn the_least_sent_goes_first_when_not_all_fit() {
        let mut news = News::default();
        news.spread(announcement("a", 1), 2);
        let one = news.take(1000);
        assert_eq!(one.len(), 1);
        news.spread(announcement("b", 1), 2);
        assert_eq!(news.take(30), [announcement("b", 1)]);
    }
}
