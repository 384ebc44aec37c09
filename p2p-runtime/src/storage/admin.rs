//! What an operator does with a store, as values: they travel over the node's own socket, or are carried out on a store that was
//! opened for it.

use serde::{Deserialize, Serialize};

use crate::audit::offline::{self, Act};

use super::{Entries, Password, Revision, Secret, Store, StoreError, Verification};

/// Something that an operator has a store do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum StoreCommand {
    /// Lists the entries whose paths begin so.
    List {
        /// The beginning; empty for all.
        prefix: String,
    },
    /// Gives the value of an entry.
    Get {
        /// The entry's path.
        path: String,
    },
    /// Makes or replaces an entry.
    Put {
        /// The entry's path.
        path: String,
        /// What it holds from now on.
        #[serde(with = "base64_secret")]
        value: Secret,
    },
    /// Removes an entry.
    Remove {
        /// The entry's path.
        path: String,
    },
    /// Checks all files.
    Verify,
    /// Sets another password.
    ChangePassword {
        /// The password from now on.
        #[serde(with = "base64_secret")]
        new: Secret,
    },
    /// Makes a backup.
    Backup,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum StoreReply {
    /// The entries, in order.
    List {
        /// Each with its size.
        entries: Vec<EntrySize>,
    },
    /// The value of an entry.
    Get {
        /// What it holds.
        #[serde(with = "base64_secret")]
        value: Secret,
    },
    /// It is durable.
    Put {
        /// Whether it took the place of another value.
        replaced: bool,
    },
    /// It is gone, durably; earlier saves keep it for three saves more.
    Remove,
    /// What was found of each file.
    Verify {
        /// All of it.
        found: Verification,
    },
    /// The new password is the store's.
    ChangePassword,
    /// The backup, to be written to a file.
    Backup {
        /// The file's content. It is sealed; that it is treated as a secret does no harm.
        #[serde(with = "base64_secret")]
        bytes: Secret,
        /// The revision that it holds.
        revision: Revision,
    },
}

/// An entry, without what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntrySize {
    /// Its path.
    pub path: String,
    /// Bytes of its value.
    pub size: usize,
}

impl StoreCommand {
    /// What it is, for the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::List { .. } => "list",
            Self::Get { .. } => "get",
            Self::Put { .. } => "put",
            Self::Remove { .. } => "remove",
            Self::Verify => "verify",
            Self::ChangePassword { .. } => "change password",
            Self::Backup => "backup",
        }
    }

    /// The entry that it is about, if it is about one, for the audit log: whoever lists the store sees the same paths.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Get { path } | Self::Put { path, .. } | Self::Remove { path } => Some(path),
            Self::List { .. } | Self::Verify | Self::ChangePassword { .. } | Self::Backup => None,
        }
    }

    /// Carries it out on the store of a node that does not run. What it changes is durable when this returns, and the node tells its audit log
    /// of that when it starts, with the user of this process.
    ///
    /// # Errors
    /// [`StoreError::NoEntry`]; and what the store says.
    pub fn carry_out_offline(self, store: &Store) -> Result<StoreReply, StoreError> {
        let act = Act::now(format!("store {}", self.name())).to(self.path().unwrap_or_default());
        self.carry_out_with(store, |entries| offline::note(entries, act))
    }

    /// Carries it out by the node that runs, which tells its audit log itself.
    pub(crate) fn carry_out(self, store: &Store) -> Result<StoreReply, StoreError> {
        self.carry_out_with(store, |_| Ok(()))
    }

    /// Carries it out; `note` is written with what it changes.
    fn carry_out_with(
        self,
        store: &Store,
        note: impl FnOnce(&mut Entries) -> Result<(), StoreError>,
    ) -> Result<StoreReply, StoreError> {
        let missing = |path: &str| StoreError::NoEntry { path: path.chars().take(80).collect() };
        match self {
            Self::List { prefix } => {
                let sized = |path: String| Some(EntrySize { size: store.get(&path)?.expose().len(), path });
                Ok(StoreReply::List { entries: store.list(&prefix).into_iter().filter_map(sized).collect() })
            }
            Self::Get { path } => Ok(StoreReply::Get { value: store.get(&path).ok_or_else(|| missing(&path))? }),
            Self::Put { path, value } => store.update(|entries| {
                let replaced = entries.contains(&path);
                entries.put(&path, value)?;
                note(entries)?;
                Ok(StoreReply::Put { replaced })
            }),
            Self::Remove { path } => store.update(|entries| {
                entries.remove(&path).ok_or_else(|| missing(&path))?;
                note(entries)?;
                Ok(StoreReply::Remove)
            }),
            Self::Verify => Ok(StoreReply::Verify { found: store.verify()? }),
            Self::ChangePassword { new } => {
                store.change_password_with(&Password::new(new.expose())?, note)?;
                Ok(StoreReply::ChangePassword)
            }
            Self::Backup => {
                // The revision first: what comes in between is in the backup, too.
                let revision = store.revision();
                Ok(StoreReply::Backup { bytes: store.backup()?.into(), revision })
            }
        }
    }
}

/// Secrets as base64, on their way between an operator and the node.
pub(crate) mod base64_secret {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer};
    use zeroize::Zeroizing;

    use crate::storage::Secret;

    pub(crate) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(BASE64_STANDARD.encode(secret.expose())))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64_STANDARD.decode(text.as_bytes());
        // What was sent is not repeated.
        bytes.map(Secret::from).map_err(|_| serde::de::Error::custom("a secret is not base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::tests::in_a_folder;

    #[test]
    fn a_command_survives_its_way_and_shows_no_secret() {
        let put = StoreCommand::Put { path: "a".into(), value: vec![0, 255, 7].into() };
        assert_eq!(format!("{put:?}"), r#"Put { path: "a", value: Secret(..) }"#);
        let text = serde_json::to_string(&put).unwrap();
        let Ok(StoreCommand::Put { value, .. }) = serde_json::from_str(&text) else { panic!("{text}") };
        assert_eq!(value.expose(), [0, 255, 7]);
        let error = serde_json::from_str::<StoreCommand>(r#"{"do":"put","path":"a","value":"hunter2!"}"#).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_put_is_listed_read_and_removed_and_what_is_not_there_is_said() {
        let (_dir, store) = in_a_folder();
        let run = |command: StoreCommand| command.carry_out(&store);
        let put = |value: &str| StoreCommand::Put { path: "a/b".into(), value: value.into() };
        assert!(matches!(run(put("first")), Ok(StoreReply::Put { replaced: false })));
        assert!(matches!(run(put("second!")), Ok(StoreReply::Put { replaced: true })));
        let Ok(StoreReply::List { entries }) = run(StoreCommand::List { prefix: "a/".into() }) else { panic!() };
        assert_eq!(entries, [EntrySize { path: "a/b".into(), size: 7 }]);
        let Ok(StoreReply::Get { value }) = run(StoreCommand::Get { path: "a/b".into() }) else { panic!() };
        assert_eq!(value.expose(), b"second!");
        assert!(matches!(run(StoreCommand::Verify), Ok(StoreReply::Verify { found }) if found.is_sound()));
        run(StoreCommand::Remove { path: "a/b".into() }).unwrap();
        for command in [StoreCommand::Remove { path: "a/b".into() }, StoreCommand::Get { path: "a/b".into() }] {
            let error = run(command).unwrap_err();
            assert!(error.to_string().contains("no entry a/b") && error.to_string().contains("`p2p store ls`"), "{error}");
        }
        assert!(!store.is_unsaved());
    }
}
