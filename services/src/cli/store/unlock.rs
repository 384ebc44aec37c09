//! What opens the store: its password, or the recovery key where that is lost.

use std::{fs::File, io, path::PathBuf};

use clap::Args;
use p2p_runtime::storage::{Password, RecoveryKey, Unlock};

use super::super::{
    error::CliError,
    password::{PasswordArgs, Purpose, read_secret},
};

/// What opens the store.
#[derive(Args)]
pub(super) struct UnlockArgs {
    #[command(flatten)]
    pub(super) password: PasswordArgs,

    /// Open the store with the recovery key in this file instead of the password; - is standard input. No node may be running
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "password_fd"])]
    recovery_key_file: Option<PathBuf>,
}

/// What was read.
pub(super) enum Unlocked {
    Password(Password),
    Recovery(RecoveryKey),
}

impl UnlockArgs {
    /// Reads it.
    pub(super) fn read(&self) -> Result<Unlocked, CliError> {
        let Some(path) = &self.recovery_key_file else { return Ok(Unlocked::Password(self.password.read(Purpose::Open)?)) };
        let what = path.display().to_string();
        let text = if what == "-" {
            read_secret(io::stdin().lock(), "standard input".to_owned())?
        } else {
            let file = File::open(path).map_err(|source| CliError::Unreadable { what: what.clone(), source })?;
            read_secret(file, what)?
        };
        let text = std::str::from_utf8(&text).unwrap_or_default();
        Ok(Unlocked::Recovery(text.parse::<RecoveryKey>()?))
    }
}

impl Unlocked {
    pub(super) fn as_unlock(&self) -> Unlock<'_> {
        match self {
            Self::Password(password) => Unlock::Password(password),
            Self::Recovery(key) => Unlock::Recovery(key),
        }
    }
}
