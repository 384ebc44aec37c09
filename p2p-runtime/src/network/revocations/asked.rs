//! What this node has asked others for, and has not got yet.
//!
//! Ids may be made up, and who has named one may never answer. So each other node has a share of its own, which no one else can use up;
//! and whoever let his time pass does not get more of it by naming the same again. Nothing here reads a clock or sends anything.

use std::collections::HashMap;

use p2p_client::{protocol::NodeId, revocation::StatementId};
use tokio::time::Instant;

use super::{PATIENCE, message::MAX_IDS};

/// So many statements one node is asked for at a time: as many as it can name, and there can be.
pub(super) const SHARE: usize = MAX_IDS;

/// Who was asked for which statement, and when.
#[derive(Debug, Default)]
pub(super) struct Asked {
    by_id: HashMap<StatementId, (NodeId, Instant)>,
    shares: HashMap<NodeId, usize>,
}

impl Asked {
    /// This node has these statements. Gives those that it is to be asked for; they count as asked for from now on.
    pub(super) fn ask(&mut self, of: &NodeId, ids: impl IntoIterator<Item = StatementId>, now: Instant) -> Vec<StatementId> {
        let mut share = self.shares.get(of).copied().unwrap_or_default();
        let mut wanted = Vec::new();
        for id in ids {
            if share >= SHARE {
                break;
            }
            match self.by_id.get(&id) {
                Some((whom, at)) if whom == of || now < *at + PATIENCE => continue,
                Some((whom, _)) => give_back(&mut self.shares, whom),
                None => {}
            }
            self.by_id.insert(id, (of.clone(), now));
            share += 1;
            wanted.push(id);
        }
        if share > 0 {
            self.shares.insert(of.clone(), share);
        }
        wanted
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// These came, from whomever.
    pub(super) fn came(&mut self, ids: &[StatementId]) {
        for id in ids {
            if let Some((whom, _)) = self.by_id.remove(id) {
                give_back(&mut self.shares, &whom);
            }
        }
    }

    /// Whoever has not answered in time is not waited for any more.
    pub(super) fn forget_late(&mut self, now: Instant) {
        let Self { by_id, shares } = self;
        by_id.retain(|_, (whom, at)| {
            let is_in_time = now < *at + PATIENCE;
            if !is_in_time {
                give_back(shares, whom);
            }
            is_in_time
        });
    }
}

fn give_back(shares: &mut HashMap<NodeId, usize>, to: &NodeId) {
    if let Some(share) = shares.get_mut(to) {
        *share = share.saturating_sub(1);
        if *share == 0 {
            shares.remove(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::revocation::{MAX_STATEMENTS, RESERVED_STATEMENTS};

    use super::*;

    fn node(name: &str) -> NodeId {
        name.parse().unwrap()
    }

    fn made_up(from: usize) -> impl Iterator<Item = StatementId> {
        (from..from + SHARE).map(|number| StatementId::from_bytes((number as u128).to_be_bytes()))
    }

    const TRUE_ONE: StatementId = StatementId::from_bytes([0xff; 16]);

    #[test]
    fn whoever_makes_up_ids_uses_up_his_own_share_alone() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert_eq!(asked.ask(&node("liar"), made_up(0), now).len(), SHARE);
        for round in 1..5 {
            assert_eq!(asked.ask(&node("liar"), made_up(round * SHARE), now), [], "round {round}");
        }
        assert_eq!(asked.by_id.len(), SHARE);
        assert_eq!(asked.ask(&node("liar"), [TRUE_ONE], now), [], "control: his share is used up");
        assert_eq!(asked.ask(&node("honest"), [TRUE_ONE], now), [TRUE_ONE]);
        asked.came(&[TRUE_ONE]);
        assert_eq!(asked.shares.len(), 1);
        asked.forget_late(now + PATIENCE);
        assert!(asked.by_id.is_empty() && asked.shares.is_empty());
        assert_eq!(asked.ask(&node("liar"), [TRUE_ONE], now + PATIENCE), [TRUE_ONE]);
    }

    #[test]
    fn a_node_is_asked_at_once_for_all_that_a_full_set_has_with_the_room_of_nodes_and_keys() {
        let mut asked = Asked::default();
        let named =
            (0..MAX_STATEMENTS + RESERVED_STATEMENTS).map(|number| StatementId::from_bytes((number as u128).to_be_bytes()));
        let named: Vec<_> = named.collect();
        assert_eq!(asked.ask(&node("honest"), named.iter().copied(), Instant::now()), named);
    }

    #[test]
    fn whoever_names_the_same_again_and_again_and_does_not_give_it_keeps_nobody_from_being_asked() {
        let (mut asked, now) = (Asked::default(), Instant::now());
        assert_eq!(asked.ask(&node("liar"), [TRUE_ONE], now), [TRUE_ONE]);
        assert_eq!(asked.ask(&node("honest"), [TRUE_ONE], now), [], "it is on its way, as far as is known");
        let late = now + PATIENCE;
        assert_eq!(asked.ask(&node("liar"), [TRUE_ONE], late), []);
        assert_eq!(asked.ask(&node("honest"), [TRUE_ONE], late), [TRUE_ONE]);
        assert_eq!(asked.shares, [(node("honest"), 1)].into());
        asked.came(&[TRUE_ONE]);
        assert!(asked.by_id.is_empty() && asked.shares.is_empty());
    }
}
