//! What opens the store: its password, or the recovery key where that is lost.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use p2p_runtime::storage::{Password, RecoveryKey, Unlock};

use super::super::{
    error::CliError,
    password::{Kept, PasswordArgs, Purpose, read_private_file, read_secret},
};

/// What opens the store.
#[derive(Args)]
pub(super) struct UnlockArgs {
    #[command(flatten)]
    pub(super) password: PasswordArgs,

    /// Open the store with the recovery key in this file, which no other user may read, instead of the password; - is standard input. No
    /// node may be running
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
        let text = if path == Path::new("-") {
            read_secret(io::stdin().lock(), "standard input".to_owned())?
        } else {
            read_private_file(path, Kept::RecoveryKey)?
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
