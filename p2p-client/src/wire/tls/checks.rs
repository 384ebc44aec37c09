//! What a peer's chain of certificates is checked for, and what a client insists on besides, by name, so that the control of a security
//! case can leave out the check which stops its attack, in the product itself.
//!
//! The product makes them all: outside of tests [`is_left_out`] is `false` for every one, so that [`holds`] and [`bound`] give back what
//! they were given, and cost nothing. This crate's own tests can leave some out, in one task and for as long as one attack runs. Those of
//! `p2p-runtime` cannot; it has `checks` of its own.

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// That the certificates are valid now.
    Time,
    /// That the issuers which they name lead to the root.
    Issuer,
    /// That each is signed by the key of its issuer.
    Signature,
    /// The other rules of X.509, such as what a certificate is for. No case is about them.
    Rules,
    /// That nothing that the chain stands on was revoked.
    Revocation,
    /// That who lets nodes join is a coordinator.
    Role,
    /// That TLS 1.3 is spoken, and nothing older.
    Version,
}

impl Check {
    /// By which check a chain was found bad. That is the first one which does not hold: those behind it are left out with it.
    pub(super) const fn of(found: &webpki::Error) -> Self {
        match found {
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. } => Self::Time,
            webpki::Error::UnknownIssuer => Self::Issuer,
            webpki::Error::InvalidSignatureForPublicKey => Self::Signature,
            _ => Self::Rules,
        }
    }
}

/// Whether a check that came out like this lets the chain pass.
pub(super) fn holds(check: Check, found: bool) -> bool {
    found || is_left_out(check)
}

/// What is insisted on: `value`, which is nothing particular where a test leaves it out.
pub(super) fn bound<T>(check: Check, value: T, nothing: T) -> T {
    if is_left_out(check) { nothing } else { value }
}

/// Outside of tests, never.
#[cfg(not(test))]
const fn is_left_out(_: Check) -> bool {
    false
}

#[cfg(test)]
tokio::task_local! {
    static LEFT_OUT: Vec<Check>;
}

/// Whether the test that runs in this task leaves this check out.
#[cfg(test)]
fn is_left_out(check: Check) -> bool {
    LEFT_OUT.try_with(|left_out| left_out.contains(&check)).unwrap_or(false)
}

/// Runs `attack` on a program that makes all checks but these. Tasks that it spawns make them all.
#[cfg(test)]
pub(super) async fn without_during<T>(checks: &[Check], attack: impl Future<Output = T>) -> T {
    LEFT_OUT.scope(checks.to_vec(), attack).await
}
