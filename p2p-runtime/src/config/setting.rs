//! [`Setting`]: one key of the configuration, whatever its type.

use serde_json::Value;

use super::{
    NodeConfig,
    value::{SettingValue, show_value},
};

/// When a changed value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// At once, while the node runs.
    Live,
    /// From the next start on.
    Restart,
    /// Never: nothing in this version reads it. A node says so when it starts and the value is set.
    Unread,
}

type Getter<T> = fn(&NodeConfig) -> &T;
type Changer<T> = fn(&mut NodeConfig) -> &mut T;
type Read = Box<dyn Fn(&mut NodeConfig, &Value) -> bool + Send + Sync>;
type Write = Box<dyn Fn(&NodeConfig) -> Value + Send + Sync>;
type Show = Box<dyn Fn(&NodeConfig) -> String + Send + Sync>;

/// One key.
pub struct Setting {
    /// Its name: `section.key`, or `key` of the few that stand in no section.
    pub key: &'static str,
    /// What it is for.
    pub what: &'static str,
    /// When a changed value counts.
    pub effect: Effect,
    /// What values there are.
    pub allowed: String,
    /// Whether there is no default.
    pub is_required: bool,
    read: Read,
    write: Write,
    show: Show,
}

/// A setting of which every value of its type will do.
pub(super) fn unranged<T: SettingValue + 'static>(
    key: &'static str,
    what: &'static str,
    effect: Effect,
    get: Getter<T>,
    change: Changer<T>,
) -> Setting {
    checked(key, what, effect, T::FORM.to_owned(), |_| true, get, change)
}

/// A setting whose values lie in a range, ends included.
pub(super) fn ranged<T: SettingValue + PartialOrd + Send + Sync + 'static>(
    key: &'static str,
    what: &'static str,
    effect: Effect,
    least: T,
    most: T,
    get: Getter<T>,
    change: Changer<T>,
) -> Setting {
    let allowed = format!("{}, from {} to {}", T::FORM, least.show(), most.show());
    checked(key, what, effect, allowed, move |value| (&least..=&most).contains(&value), get, change)
}

fn checked<T: SettingValue + 'static>(
    key: &'static str,
    what: &'static str,
    effect: Effect,
    allowed: String,
    fits: impl Fn(&T) -> bool + Send + Sync + 'static,
    get: Getter<T>,
    change: Changer<T>,
) -> Setting {
    Setting {
        key,
        what: what.trim_start(),
        effect,
        allowed,
        is_required: false,
        read: Box::new(move |config, value| match T::read(value).filter(&fits) {
            Some(value) => {
                *change(config) = value;
                true
            }
            None => false,
        }),
        write: Box::new(move |config| get(config).write()),
        show: Box::new(move |config| get(config).show()),
    }
}

impl Setting {
    pub(super) fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Its value as text, without what is secret in it.
    pub fn show(&self, config: &NodeConfig) -> String {
        (self.show)(config)
    }

    /// Its value as it is kept.
    pub(super) fn write(&self, config: &NodeConfig) -> Value {
        (self.write)(config)
    }

    /// Takes a value over, if it is one.
    ///
    /// # Errors
    /// [`Mistake::Wrong`], and nothing is changed.
    pub(super) fn read(&self, config: &mut NodeConfig, value: &Value) -> Result<(), Mistake> {
        if (self.read)(config, value) { Ok(()) } else { Err(self.wrong(value)) }
    }

    fn wrong(&self, value: &Value) -> Mistake {
        // Of an address that is none, nothing is shown: it may hold a password.
        let given = if self.effect == Effect::Unread { "something else".to_owned() } else { show_value(value) };
        Mistake::Wrong { key: self.key, given: given.chars().take(80).collect(), allowed: self.allowed.clone() }
    }
}

/// What is wrong in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// The text is no YAML, or holds no keys.
    #[error("it is no YAML with keys and values: {0}")]
    NotYaml(String),
    /// There is no such key.
    #[error("there is no setting {key}{}; `p2p config default` lists all", .nearest.as_ref().map(|key| format!("; is {key} meant?")).unwrap_or_default())]
    Unknown {
        /// What was written.
        key: String,
        /// The known key that is spelled most like it.
        nearest: Option<String>,
    },
    /// The original knew the key, and here it is refused.
    #[error("{key} is refused: {why}")]
    Refused {
        /// The key.
        key: String,
        /// The reason, and what to do.
        why: &'static str,
    },
    /// The value is none of this setting.
    #[error("{key} is {given:?}; it takes {allowed}")]
    Wrong {
        /// The key.
        key: &'static str,
        /// What was given.
        given: String,
        /// What it takes.
        allowed: String,
    },
    /// Two spellings of one key.
    #[error("{key} is set twice; keep one of them")]
    Twice {
        /// The key.
        key: &'static str,
    },
    /// A key without a default is missing.
    #[error("{key} is missing; it takes {allowed}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it takes.
        allowed: String,
    },
}
