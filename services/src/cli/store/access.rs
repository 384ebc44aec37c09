//! Carries commands out: by the node, where one runs in the folder, or on its store.

use std::time::Duration;

use p2p_runtime::{
    storage::{Password, Store, StoreCommand, StoreError, StoreOptions, StoreReply, Unlock},
    web::StoreRequest,
};
use tokio::task::spawn_blocking;

use super::{
    super::{
        Invocation,
        error::CliError,
        password::{PasswordArgs, Purpose},
        socket::{Ask, Socket, decode},
    },
    unlock::Unlocked,
};

/// How long a node may take: a large store is written in seconds.
const TIME: Duration = Duration::from_mins(1);
/// The largest answer: a backup of the largest store in base64.
const MAX_ANSWER: usize = 400 << 20;

/// Reads the password, of a store that there is: nobody types one in vain.
pub(in crate::cli) fn password(args: &PasswordArgs, invocation: &Invocation) -> Result<Password, CliError> {
    refuse_missing(invocation)?;
    args.read(Purpose::Open)
}

/// Makes sure that the folder has a store, or what is left of one.
pub(super) fn refuse_missing(invocation: &Invocation) -> Result<(), CliError> {
    let dir = invocation.dir.clone();
    if Store::exists(&dir)? { Ok(()) } else { Err(StoreError::NotFound { dir }.into()) }
}

/// Carries a command out.
pub(super) async fn carry_out(
    command: StoreCommand,
    unlocked: Unlocked,
    invocation: &Invocation,
) -> Result<StoreReply, CliError> {
    let Unlocked::Password(password) = unlocked else { return offline(command, unlocked, invocation).await };
    let request = StoreRequest { password: password.to_secret(), command };
    let ask = Ask { within: TIME, max_answer: MAX_ANSWER, ..Ask::post_secret("/admin/store", &request)? };
    match Socket::of(invocation).try_ask(ask).await? {
        Some(answer) => decode(&answer),
        None => offline(request.command, Unlocked::Password(password), invocation).await,
    }
}

/// Carries it out on the store of a node that does not run.
async fn offline(command: StoreCommand, unlocked: Unlocked, invocation: &Invocation) -> Result<StoreReply, CliError> {
    let dir = invocation.dir.clone();
    let done = spawn_blocking(move || match (command, unlocked.as_unlock()) {
        // A store that does not open can be checked all the same.
        (StoreCommand::Verify, unlock) => Ok(StoreReply::Verify { found: StoreOptions::new().verify(&dir, unlock)? }),
        (command, Unlock::Password(password)) => command.carry_out_offline(&Store::open(&dir, password)?),
        (command, Unlock::Recovery(key)) => command.carry_out_offline(&Store::open_with_recovery(&dir, key)?),
    });
    Ok(done.await.map_err(|lost| CliError::Argument(lost.to_string()))??)
}

/// The answer was to something else: node and command are of different versions.
pub(super) fn unexpected() -> CliError {
    CliError::BadAnswer("it answers something else".to_owned())
}
