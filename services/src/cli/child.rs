//! Programs that the command starts, such as an editor. None of them gets the secrets that the environment of this one holds: they, and
//! what they load, have no use for them.

use std::process::Command;

use super::{join, password};

/// The variables that hold a secret, or say where one lies.
const SECRETS: [&str; 3] = [password::VARIABLE, password::CREDENTIALS, join::VARIABLE];

/// A program to be started, without those variables.
pub(super) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in SECRETS {
        command.env_remove(name);
    }
    command
}
