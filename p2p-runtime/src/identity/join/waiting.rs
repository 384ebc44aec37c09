//! The joiner's patience, where an operator has to approve it.
//!
//! Before the request is noted at the coordinator, any failure ends the join, as it does without an operator. From then on only an answer
//! does: a coordinator that is restarted, or cannot be reached for a while, is asked again, after pauses that grow, until the request has
//! expired. Whoever follows the join is told each time that it is away, and when it is back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Issued, JoinError, JoinEvent, Refused, Waiting,
    driver::{Approach, Heard, OnHold},
};

/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Joins; where an operator has to approve it, once one has.
pub(super) async fn join_once_approved(approach: &Approach) -> Result<Box<Issued>, JoinError> {
    let mut patience = None::<Patience>;
    // Whether it has to be told that, and where, the node waits: first, and whenever the coordinator was away.
    let mut is_news = true;
    loop {
        let heard = match approach.attempt(patience.is_none()).await {
            Ok(Heard::Issued(issued)) => return Ok(issued),
            Ok(Heard::OnHold(mut on_hold)) => {
                if std::mem::take(&mut is_news) {
                    tell(approach, &on_hold.told);
                }
                hear(approach, &mut on_hold, patience.get_or_insert_with(Patience::new)).await
            }
            Err(error) => Err(error),
        };
        match (heard, &mut patience) {
            (Ok(()), _) => {}
            (Err(error), Some(patience)) if may_pass(&error) => {
                let Some(Pause { wait, left }) = patience.pause() else { return Err(in_vain(approach, &error)) };
                let (authority, reason) = (approach.authority.clone(), error.cause());
                (approach.progress)(JoinEvent::CoordinatorAway { authority, reason, wait, left });
                is_news = true;
                sleep(wait).await;
            }
            (Err(error), _) => return Err(error),
        }
    }
}

fn in_vain(approach: &Approach, last: &JoinError) -> JoinError {
    let (node_id, authority) = (approach.joiner.hello().node_id.clone(), approach.authority.clone());
    JoinError::WaitedInVain { node_id, authority, reason: last.cause() }
}

fn tell(approach: &Approach, told: &Waiting) {
    (approach.progress)(JoinEvent::WaitingForApproval {
        coordinator: told.coordinator.node_id.clone(),
        node_id: approach.joiner.hello().node_id.clone(),
        key: approach.joiner.key().public().thumbprint().into(),
        within: left(told),
    });
}

/// Waits on this connection until there is something to hear.
async fn hear(approach: &Approach, on_hold: &mut OnHold, patience: &mut Patience) -> Result<(), JoinError> {
    patience.until(&on_hold.told);
    loop {
        let told = approach.ask(on_hold).await?;
        patience.until(&told);
        patience.rested();
        if told.decided {
            return Ok(());
        }
    }
}

/// How long the request can be approved, by the coordinator's own clock.
fn left(told: &Waiting) -> Duration {
    Duration::from_millis(told.expires.0.saturating_sub(told.clock.0))
}

/// A time to wait before the coordinator is asked again, and how much is left in all.
#[derive(Debug, PartialEq, Eq)]
struct Pause {
    wait: Duration,
    left: Duration,
}

/// For how long a node goes on asking a coordinator that does not answer.
struct Patience {
    ends: Instant,
    next: Duration,
}

impl Patience {
    fn new() -> Self {
        Self { ends: Instant::now(), next: FIRST_PAUSE }
    }

    fn until(&mut self, told: &Waiting) {
        self.ends = Instant::now() + left(told);
    }

    /// The coordinator has answered.
    fn rested(&mut self) {
        self.next = FIRST_PAUSE;
    }

    /// The next pause, and each is longer than the one before; none once the request has expired. The last one ends with it.
    fn pause(&mut self) -> Option<Pause> {
        let left = self.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let wait = self.next.min(left);
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        Some(Pause { wait, left })
    }
}

/// Whether another attempt may fare better.
fn may_pass(error: &JoinError) -> bool {
    match error {
        JoinError::Refused(refused) => {
            matches!(
                refused,
                Refused::UnknownAttempt
                    | Refused::Busy
                    | Refused::Unavailable { .. }
                    | Refused::TooLate { .. }
                    | Refused::Unanswered { .. }
            )
        }
        JoinError::Connect { .. }
        | JoinError::Tls { .. }
        | JoinError::Answer { .. }
        | JoinError::BrokenOff { .. }
        | JoinError::Timeout { .. }
        | JoinError::Responder(_) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use p2p_client::protocol::UnixMillis;

    use super::*;
    use crate::identity::join::Seed;

    fn told(left: u64) -> Waiting {
        let coordinator = Seed { node_id: "c".parse().unwrap(), authority: "c:8001".to_owned() };
        Waiting { coordinator, decided: false, expires: UnixMillis(1_000 + left), clock: UnixMillis(1_000) }
    }

    fn waits(patience: &mut Patience) -> Option<u64> {
        patience.pause().map(|pause| pause.wait.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_half_a_minute_and_begin_anew_after_an_answer() {
        let mut patience = Patience::new();
        patience.until(&told(600_000));
        let pauses: Vec<_> = (0..7).map(|_| waits(&mut patience).unwrap()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        patience.rested();
        assert_eq!(waits(&mut patience), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_is_away_is_waited_for_until_the_request_has_expired() {
        let mut patience = Patience::new();
        patience.until(&told(60_000));
        assert_eq!(patience.pause(), Some(Pause { wait: FIRST_PAUSE, left: Duration::from_mins(1) }));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(
            patience.pause(),
            Some(Pause { wait: Duration::from_secs(1), left: Duration::from_secs(1) }),
            "and not past its end"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(patience.pause(), None);
    }

    #[test]
    fn what_the_network_does_may_pass_and_a_refusal_is_final() {
        let authority = || "c:8001".to_owned();
        assert!(may_pass(&JoinError::Timeout { authority: authority(), after: Duration::from_secs(15) }));
        assert!(may_pass(&JoinError::BrokenOff { authority: authority(), reason: "reset".to_owned() }));
        assert!(may_pass(&Refused::UnknownAttempt.into()));
        assert!(may_pass(&Refused::TooLate { seconds: 12 }.into()));
        let (coordinator, node_id) = ("c".parse().unwrap(), "w".parse().unwrap());
        assert!(may_pass(&Refused::Unanswered { coordinator, node_id }.into()));
        assert!(!may_pass(&Refused::NotApproved { node_id: "w".parse().unwrap() }.into()));
    }
}
