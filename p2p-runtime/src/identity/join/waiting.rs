//! The joiner's patience, where an operator has to approve it.
//!
//! Before the request is noted at the coordinator, any failure ends the join, as it does without an operator. From then on only an answer
//! does: a coordinator that is restarted, or cannot be reached for a while, is asked again.

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
    loop {
        let heard = match approach.attempt(patience.is_none()).await {
            Ok(Heard::Issued(issued)) => return Ok(issued),
            Ok(Heard::OnHold(mut on_hold)) => {
                let patience = patience.get_or_insert_with(|| {
                    tell(approach, &on_hold.told);
                    Patience::new()
                });
                hear(approach, &mut on_hold, patience).await
            }
            Err(error) => Err(error),
        };
        match (heard, &mut patience) {
            (Ok(()), _) => {}
            (Err(error), Some(patience)) if patience.outlasts(&error) => {
                let wait = patience.pause();
                (approach.progress)(JoinEvent::CoordinatorAway { reason: error.to_string(), wait });
                sleep(wait).await;
            }
            (Err(error), _) => return Err(error),
        }
    }
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

    /// Whether this failure may pass.
    fn outlasts(&self, error: &JoinError) -> bool {
        Instant::now() < self.ends && may_pass(error)
    }

    fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

fn may_pass(error: &JoinError) -> bool {
    match error {
        JoinError::Refused(refused) => {
            matches!(refused, Refused::UnknownAttempt | Refused::Busy | Refused::Unavailable { .. })
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

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_half_a_minute_and_begin_anew_after_an_answer() {
        let mut patience = Patience::new();
        let pauses: Vec<_> = (0..7).map(|_| patience.pause().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        patience.rested();
        assert_eq!(patience.pause(), FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_coordinator_that_is_away_is_waited_for_until_the_request_has_expired_and_a_refusal_is_final() {
        let mut patience = Patience::new();
        patience.until(&told(60_000));
        let away = || JoinError::Timeout { authority: "c:8001".to_owned(), after: Duration::from_secs(15) };
        assert!(patience.outlasts(&away()));
        assert!(patience.outlasts(&Refused::UnknownAttempt.into()));
        assert!(!patience.outlasts(&Refused::NotApproved { node_id: "w".parse().unwrap() }.into()));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(!patience.outlasts(&away()));
    }
}
