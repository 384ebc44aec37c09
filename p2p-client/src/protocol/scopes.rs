//! What a client's token allows, beside what is open to every client.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A set of scopes, as a token carries it: words with spaces between them (RFC 6749, section 3.3). The order is of no matter.
///
/// ```
/// use p2p_client::protocol::Scopes;
///
/// let scopes: Scopes = "orders:read orders:write".parse()?;
/// assert!(scopes.contains("orders:read") && !scopes.contains("orders"));
/// assert!(scopes.is_within(&"orders:write stock:read orders:read".parse()?));
/// # Ok::<(), p2p_client::protocol::InvalidScope>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(BTreeSet<Box<str>>);

/// A word that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no scope: one is a word of at most 100 printable ASCII characters without quotes and backslashes, such as orders:read"
)]
pub struct InvalidScope(String);

impl Scopes {
    /// The longest scope, in bytes.
    pub const MAX_LEN: usize = 100;

    /// Whether this scope is among them.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether all of these are among those of `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Them, in alphabetical order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }
}

/// The characters of RFC 6749, section 3.3.
fn is_scope(word: &str) -> bool {
    word.len() <= Scopes::MAX_LEN && word.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

impl FromStr for Scopes {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        let word = |word: &str| {
            if is_scope(word) { Ok(word.into()) } else { Err(InvalidScope(word.chars().take(Self::MAX_LEN + 20).collect())) }
        };
        text.split_ascii_whitespace().map(word).collect::<Result<_, _>>().map(Self)
    }
}

impl TryFrom<String> for Scopes {
    type Error = InvalidScope;
    fn try_from(text: String) -> Result<Self, InvalidScope> {
        text.parse()
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for scope in &self.0 {
            write!(f, "{between}{scope}")?;
            between = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_words_each_counted_once() {
        let scopes: Scopes = "b  a\tb".parse().unwrap();
        assert_eq!(scopes.to_string(), "a b");
        assert_eq!(serde_json::to_string(&scopes).unwrap(), "\"a b\"");
        assert_eq!(serde_json::from_str::<Scopes>("\"b a\"").unwrap(), scopes);
        assert!("".parse::<Scopes>().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for bad in ["a\"b", "a\\b", "größe", "a\u{7f}", &"x".repeat(101)] {
            assert!(bad.parse::<Scopes>().is_err(), "{bad}");
        }
    }
}
