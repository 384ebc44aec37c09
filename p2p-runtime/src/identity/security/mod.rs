//! The cases of joining in the project's list of security and fault cases, each with the control that shows what the unsafe variant would
//! do.
//!
//! | case | where |
//! |---|---|
//! | 22 clocks that differ by 10 minutes and by a year | `clocks` |
//! | 21 a request for an authority; 32 extra names | `requests` |
//! | 25 replay; 29 the wrong authority in the middle; 30 a request swapped in flight | `on_the_way` |
//! | 26 used and expired tokens; 27 one token used twice at once | `tokens` |
//! | 28 a million guesses | `guesses` |
//! | 31 challenges that lead elsewhere | `challenges` |
//! | 33 another node's id | `names`; 34, a cloned node that renews, is in `renewal`; with more than one coordinator: `elsewhere::names`, `elsewhere::copies` |
//! | 35 a crash between using the token and issuing | `crashes` |
//! | 56 a coordinator killed while issuing | `killed` |

mod challenges;
mod clocks;
mod crashes;
mod elsewhere;
mod guesses;
mod killed;
mod names;
mod on_the_way;
mod requests;
mod tokens;

use super::{JoinToken, codec, token::checksum};

/// The text of this token with other bytes for its root's hash and its seed: what somebody makes up who knows its id.
fn made_up(token: &JoinToken, root: Option<[u8; 32]>, seed: Option<[u8; 16]>) -> JoinToken {
    let text = token.reveal();
    let mut body = codec::decode(text.split('.').nth(1).unwrap()).unwrap();
    if let Some(root) = root {
        body[..32].copy_from_slice(&root);
    }
    if let Some(seed) = seed {
        body[40..].copy_from_slice(&seed);
    }
    let signed = format!("P2PJ1.{}", codec::encode(&body));
    format!("{signed}.{}", checksum(signed.as_bytes())).parse().unwrap()
}
