//! Checks by name, so that the control of a security case can leave out the one which stops its attack, in the product itself.
//!
//! The product makes them all: outside of tests [`is_left_out`] is `false` for every one, so that [`holds`] and [`bound`] give back
//! what they were given, and cost nothing. This crate's own tests can leave some out, for as long as one attack runs: on one thread, and
//! on those to which this hands work on that is [`carried`]. What is checked where is named there: `storage::checks`,
//! `identity::checks`, `identity::join::checks`, `identity::client_token::checks`, `transport::tls::checks`, `web::elsewhere`. The checks of a peer's
//! certificates have names in `p2p-client`, where they are made.

#[cfg(test)]
mod left_out;

#[cfg(test)]
pub(crate) use left_out::{carried, is_left_out, without, without_during};

/// Whether a check that came out like this lets what was read pass.
pub(crate) fn holds<C: Copy + PartialEq + 'static>(check: C, found: bool) -> bool {
    found || is_left_out(check)
}

/// What something is bound to: `value`, which is nothing particular where a test leaves it out.
pub(crate) fn bound<C: Copy + PartialEq + 'static, T>(check: C, value: T, nothing: T) -> T {
    if is_left_out(check) { nothing } else { value }
}

/// Work that goes to another thread, and makes the checks there that are made here.
#[cfg(not(test))]
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    work
}

/// Outside of tests, never.
#[cfg(not(test))]
fn is_left_out<C>(_: C) -> bool {
    false
}
