//! The error of methods that have none of their own.

use std::{error::Error as StdError, fmt};

use crate::{
    call::{TimedOut, WasCancelled},
    protocol::{ErrorCode, RpcError},
};

/// The result of a method, or of a program, without an error type of its own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, with its source kept. `?` makes it from every [`std::error::Error`].
///
/// Its text is what a remote caller reads; its sources stay on the node, in the log. It is not itself a
/// [`std::error::Error`], so that the conversion from all of them can exist.
///
/// ```
/// use p2p_client::service::{Error, Result};
///
/// fn parse(text: &str) -> Result<u16> {
///     if text.is_empty() {
///         return Err(Error::msg("say which port"));
///     }
///     Ok(text.parse()?)
/// }
/// assert_eq!(parse("").unwrap_err().to_string(), "say which port");
/// assert_eq!(parse("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub struct Error(Box<dyn StdError + Send + Sync>);

impl Error {
    /// An error that is only a sentence.
    pub fn msg(text: impl Into<String>) -> Self {
        Self(text.into().into())
    }

    /// The error that this was made from.
    pub fn get_ref(&self) -> &(dyn StdError + Send + Sync + 'static) {
        &*self.0
    }

    /// The error that this was made from, if it is an `E`.
    ///
    /// # Errors
    /// This error again, if it is not.
    pub fn downcast<E: StdError + Send + Sync + 'static>(self) -> Result<E, Self> {
        self.0.downcast().map(|error| *error).map_err(Self)
    }

    /// What a caller outside is told: the text, under the code that fits. A deadline that a call made in turn ran into stays a deadline, and
    /// one that was cancelled stays that; any other is internal.
    pub fn to_rpc(&self) -> RpcError {
        let mut causes = std::iter::successors(Some(&*self.0 as &(dyn StdError + 'static)), |error| (*error).source());
        let code = causes.find_map(|cause| {
            let is_deadline = cause.is::<TimedOut>().then_some(ErrorCode::DEADLINE);
            is_deadline.or_else(|| cause.is::<WasCancelled>().then_some(ErrorCode::CANCELLED))
        });
        RpcError::new(code.unwrap_or(ErrorCode::INTERNAL), self.to_string())
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What `main` prints when it returns an error: the sentence, then its causes.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, "\n  because: {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As errors with fields are.
    #[derive(Debug, thiserror::Error)]
    #[error("the disk of {node} is full")]
    struct Full {
        node: &'static str,
        source: TimedOut,
    }

    #[test]
    fn what_main_prints_is_the_sentence_and_its_causes_and_not_the_fields() {
        let error = Error::from(Full { node: "worker-1", source: TimedOut });
        assert_eq!(format!("{error:?}"), "the disk of worker-1 is full\n  because: the time for it ran out");
        assert_eq!(format!("{:?}", Error::msg("no luck")), "no luck");
    }
}
