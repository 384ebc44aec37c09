//! Where the password of the node's store comes from: never from an argument, which every user of the machine could read.
//!
//! In this order: `--password-file`, `--password-fd`, the systemd credential, `P2P_STORE_PASSWORD`, the terminal. One newline at
//! the end of a file or stream does not belong to the password.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use p2p_runtime::storage::Password;
use zeroize::Zeroizing;

use super::error::CliError;

/// The name under which systemd hands the password over (`LoadCredential=`, `SetCredentialEncrypted=`).
pub(super) const CREDENTIAL: &str = "p2p-store-password";
/// The folder in which systemd does so.
pub(super) const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The variable that may hold the password.
pub(super) const VARIABLE: &str = "P2P_STORE_PASSWORD";
/// The longest secret that is read: more is another file than the one that was meant.
const LIMIT: u64 = 64 * 1024;

/// Where the password of the node's store comes from.
#[derive(Args)]
pub(super) struct PasswordArgs {
    /// Read the password of the node's store from this file, which no other user may read [otherwise: the systemd credential p2p-store-password,
    /// P2P_STORE_PASSWORD, the terminal]
    #[arg(long, value_name = "FILE", conflicts_with = "password_fd")]
    password_file: Option<PathBuf>,

    /// Read the password of the node's store from this open file descriptor; 0 is standard input
    #[arg(long, value_name = "N")]
    password_fd: Option<u32>,
}

/// What a file keeps that its user alone may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Password,
    RecoveryKey,
    JoinToken,
}

impl Kept {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::RecoveryKey => "recovery key",
            Self::JoinToken => "join token",
        }
    }

    /// What to do where others could have read it.
    pub(super) const fn after_others_read_it(self) -> &'static str {
        match self {
            Self::Password => "take another password if others could read it",
            // It is made with its store, and stays.
            Self::RecoveryKey => "keep every copy of the store from whoever could read it",
            Self::JoinToken => {
                "if others could read it, take it back with `p2p token revoke` on the coordinator and make another"
            }
        }
    }
}

/// What the password is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To open a store that there is.
    Open,
    /// To make one: a person types it twice.
    New,
}

impl PasswordArgs {
    /// Whether the password comes by standard input.
    pub(super) fn take_stdin(&self) -> bool {
        self.password_fd == Some(0)
    }

    /// Gets the password.
    pub(super) fn read(&self, purpose: Purpose) -> Result<Password, CliError> {
        if let Some(path) = &self.password_file {
            return from_private_file(path);
        }
        if let Some(number) = self.password_fd {
            return from_descriptor(number);
        }
        let credential = std::env::var_os(CREDENTIALS).map(|dir| PathBuf::from(dir).join(CREDENTIAL));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return from_file(path);
        }
        if let Some(value) = std::env::var_os(VARIABLE) {
            return Ok(Password::new(value.into_encoded_bytes())?);
        }
        from_terminal(purpose)
    }
}

/// Reads a new password in the place of one that there is: it is not that of the environment.
pub(super) fn read_new(file: Option<PathBuf>, descriptor: Option<u32>) -> Result<Password, CliError> {
    match (file, descriptor) {
        (Some(path), _) => from_private_file(&path),
        (None, Some(number)) => from_descriptor(number),
        (None, None) => from_terminal(Purpose::New),
    }
}

fn from_descriptor(number: u32) -> Result<Password, CliError> {
    if number == 0 {
        return from_reader(io::stdin().lock(), "file descriptor 0".to_owned());
    }
    from_file(format!("/dev/fd/{number}").into())
}

/// A file that this user alone may read: what others can read is no password.
fn from_private_file(path: &Path) -> Result<Password, CliError> {
    refuse_open_to_others(path, Kept::Password)?;
    from_file(path.to_path_buf())
}

/// Reads a secret from a file that this user alone may read, without the newline at its end.
pub(super) fn read_private_file(path: &Path, kept: Kept) -> Result<Zeroizing<Vec<u8>>, CliError> {
    refuse_open_to_others(path, kept)?;
    let what = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_secret(file, what),
        Err(source) => Err(CliError::Unreadable { what, source }),
    }
}

#[cfg(unix)]
fn refuse_open_to_others(path: &Path, kept: Kept) -> Result<(), CliError> {
    use std::os::unix::fs::PermissionsExt as _;
    // Only files have permissions that say who can read what is in them: a pipe has its reader.
    match std::fs::metadata(path) {
        Ok(data) if data.is_file() && data.permissions().mode() & 0o077 != 0 => {
            Err(CliError::OpenToOthers { path: path.to_path_buf(), mode: data.permissions().mode() & 0o777, kept })
        }
        // That it is not there is said on reading it.
        _ => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_open_to_others(_: &Path, _: Kept) -> Result<(), CliError> {
    Ok(())
}

fn from_file(path: PathBuf) -> Result<Password, CliError> {
    let what = path.display().to_string();
    match File::open(path) {
        Ok(file) => from_reader(file, what),
        Err(source) => Err(CliError::Unreadable { what, source }),
    }
}

fn from_reader(reader: impl Read, what: String) -> Result<Password, CliError> {
    let mut secret = read_secret(reader, what)?;
    Ok(Password::new(std::mem::take(&mut *secret))?)
}

/// Reads a secret to the end, without the newline there.
pub(super) fn read_secret(reader: impl Read, what: String) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Reserved in whole, so that growing leaves no copy behind.
    let mut secret = Zeroizing::new(Vec::with_capacity(usize::try_from(LIMIT).unwrap_or_default() + 1));
    match reader.take(LIMIT + 1).read_to_end(&mut secret) {
        Err(source) => return Err(CliError::Unreadable { what, source }),
        Ok(length) if length as u64 > LIMIT => return Err(CliError::TooLong { what, limit: LIMIT }),
        Ok(_) => {}
    }
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    Ok(secret)
}

fn from_terminal(purpose: Purpose) -> Result<Password, CliError> {
    // Where neither is a terminal nobody is there to be asked, even if the process has a controlling one.
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(CliError::NoPassword);
    }
    let ask = |prompt: &str| match rpassword::prompt_password(prompt) {
        Ok(typed) => Ok(Zeroizing::new(typed)),
        Err(source) => Err(CliError::Unreadable { what: "the password from the terminal".to_owned(), source }),
    };
    let mut typed = match purpose {
        Purpose::Open => ask("Password of the node's store: ")?,
        Purpose::New => {
            let first = ask("New password for the node's store: ")?;
            if *first != *ask("The same again: ")? {
                return Err(CliError::PasswordsDiffer);
            }
            first
        }
    };
    Ok(Password::new(std::mem::take(&mut *typed))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_at_the_end_does_not_belong_to_a_secret() {
        for (text, secret) in [("a b", "a b"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a \n", " a "), ("", "")] {
            assert_eq!(&**read_secret(text.as_bytes(), "x".to_owned()).unwrap(), secret.as_bytes());
        }
    }

    #[test]
    fn what_is_far_too_long_is_refused_by_its_name() {
        let error = read_secret(io::repeat(b'a'), "the file x".to_owned()).unwrap_err();
        assert!(error.to_string().starts_with("the file x holds more than 65536 bytes"), "{error}");
    }
}
