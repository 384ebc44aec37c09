//! What an operator does with a configuration, as values: they travel over the node's own socket, or are carried out on a store that was
//! opened for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    audit::offline::{self, Act},
    storage::{Entries, Store, StoreError},
};

use super::{ConfigDocument, ConfigError, ENTRY, Effect};

/// Something that an operator does with the configuration.
#[derive(Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum ConfigCommand {
    /// Gives what is stored, whether it can be used or not.
    Read,
    /// Stores another one, if it can be used and nobody else has changed it meanwhile.
    Write {
        /// What it was, as it was read.
        was: String,
        /// What it is to be.
        text: String,
    },
}

/// What came of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigReply {
    /// What is stored now.
    pub text: String,
    /// The keys that were changed, and when their values count.
    pub changed: Vec<Waits>,
}

/// A changed key, and what its value waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The key.
    pub key: String,
    /// Whether the node has to be started again. Without, the value counts already where a node runs.
    pub for_restart: bool,
}

/// Without the text, in which there may be a password.
impl fmt::Debug for ConfigCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigCommand({})", self.name())
    }
}

/// Without the text, as above.
impl fmt::Debug for ConfigReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigReply").field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl ConfigCommand {
    /// It as the audit log tells of it.
    pub(crate) fn in_audit(&self) -> String {
        format!("config {}", self.name())
    }

    /// What it is, for the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Read => "read the configuration",
            Self::Write { .. } => "change the configuration",
        }
    }

    /// Carries it out on the store of a node that does not run. What it changes is durable when this returns, and the node tells its audit log
    /// of that when it starts, with the user of this process.
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is changed then.
    pub fn carry_out_offline(self, store: &Store) -> Result<ConfigReply, ConfigError> {
        let act = Act::now(self.in_audit());
        self.carry_out_with(store, |entries, changed| offline::note(entries, act.saying(changed_keys(changed))))
    }

    /// Carries it out by the node that runs, which tells its audit log itself.
    pub(crate) fn carry_out(self, store: &Store) -> Result<ConfigReply, ConfigError> {
        self.carry_out_with(store, |_, _| Ok(()))
    }

    /// Carries it out; `note` is written with what it changes.
    fn carry_out_with(
        self,
        store: &Store,
        note: impl FnOnce(&mut Entries, &[Waits]) -> Result<(), StoreError>,
    ) -> Result<ConfigReply, ConfigError> {
        match self {
            Self::Read => Ok(ConfigReply { text: stored(store)?, changed: Vec::new() }),
            Self::Write { was, text } => {
                let document = ConfigDocument::parse(&text)?;
                let text = document.to_yaml();
                // One that could not be used is replaced as a whole, and everything in it may wait for a restart.
                let changed = ConfigDocument::parse(&was).map(|was| was.changes(&document)).unwrap_or_default();
                let waits =
                    |change: super::Change| Waits { key: change.key.to_owned(), for_restart: change.effect == Effect::Restart };
                let changed: Vec<_> = changed.into_iter().map(waits).collect();
                let reply = ConfigReply { text: text.clone(), changed };
                let changed = &reply.changed;
                store.update(move |entries| {
                    let now = entries.get(ENTRY).ok_or(ConfigError::Missing)?;
                    if now.expose() != was.as_bytes() {
                        return Err(ConfigError::Changed);
                    }
                    if text != was {
                        entries.put(ENTRY, text)?;
                        note(entries, changed)?;
                    }
                    Ok(())
                })?;
                Ok(reply)
            }
        }
    }
}

/// The keys that were changed, for the audit log: never their values.
pub(crate) fn changed_keys(changed: &[Waits]) -> String {
    changed.iter().map(|change| change.key.as_str()).collect::<Vec<_>>().join(", ")
}

fn stored(store: &Store) -> Result<String, ConfigError> {
    let stored = store.get(ENTRY).ok_or(ConfigError::Missing)?;
    Ok(String::from_utf8_lossy(stored.expose()).into_owned())
}
