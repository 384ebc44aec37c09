//! Where a token is spent: at the coordinator that made it. Another one, which knows where that is, sends the joiner there.

use super::{Issued, JoinError, JoinEvent, Refused, driver::Approach, waiting::join_once_approved};

/// Joins where the node was told to, or where it is sent from there; no further. The root that the token names is asked for at both.
pub(super) async fn join_at_the_maker(approach: &mut Approach) -> Result<Box<Issued>, JoinError> {
    let maker = match join_once_approved(approach).await {
        Err(JoinError::Refused(Refused::Elsewhere { coordinator })) => coordinator,
        outcome => return outcome,
    };
    approach.authority.clone_from(&maker.authority);
    (approach.progress)(JoinEvent::SentOn { coordinator: maker });
    match join_once_approved(approach).await {
        Err(JoinError::Refused(Refused::Elsewhere { coordinator: to })) => {
            Err(JoinError::SentOn { authority: approach.authority.clone(), to })
        }
        outcome => outcome,
    }
}
