//! Reads and writes the configuration: by the node, where one runs in the folder, or on its store.

use std::time::Duration;

use p2p_runtime::{
    config::{Change, ConfigCommand, ConfigDocument, ConfigReply, Effect},
    storage::{Password, Store},
    web::ConfigRequest,
};
use serde_json::json;
use tokio::task::spawn_blocking;

use super::super::{
    Invocation,
    error::CliError,
    output::{self, Format},
    password::PasswordArgs,
    socket::{Ask, Socket, decode},
    store,
};

/// How long a node may take.
const TIME: Duration = Duration::from_mins(1);

/// The configuration of a node, by whichever way there is to it.
pub(super) struct Access<'a> {
    password: Password,
    invocation: &'a Invocation,
}

/// Whether a node that runs has taken what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Node,
    Store,
}

impl<'a> Access<'a> {
    /// Asks for the password.
    pub(super) fn new(args: &PasswordArgs, invocation: &'a Invocation) -> Result<Self, CliError> {
        Ok(Self { password: store::password(args, invocation)?, invocation })
    }

    /// What is stored, whether it can be used or not.
    pub(super) async fn read(&self) -> Result<String, CliError> {
        Ok(self.carry_out(ConfigCommand::Read).await?.0.text)
    }

    /// Stores another one in the place of what was read, and says what has changed and when it counts.
    pub(super) async fn write(&self, was: String, document: &ConfigDocument) -> Result<(), CliError> {
        let changes = ConfigDocument::parse(&was).map(|was| was.changes(document)).unwrap_or_default();
        let (_, by) = self.carry_out(ConfigCommand::Write { was, text: document.to_yaml() }).await?;
        self.report(&changes, by);
        Ok(())
    }

    async fn carry_out(&self, command: ConfigCommand) -> Result<(ConfigReply, By), CliError> {
        let request = ConfigRequest { password: self.password.to_secret(), command };
        let ask = Ask { within: TIME, ..Ask::post_secret("/admin/config", &request)? };
        if let Some(answer) = Socket::of(self.invocation).try_ask(ask).await? {
            return Ok((decode(&answer)?, By::Node));
        }
        let (dir, password) = (self.invocation.dir.clone(), self.password.to_secret());
        let done = spawn_blocking(move || -> Result<ConfigReply, CliError> {
            let store = Store::open(&dir, &Password::new(password.expose())?)?;
            Ok(request.command.carry_out_offline(&store)?)
        });
        Ok((done.await.map_err(|lost| CliError::Argument(lost.to_string()))??, By::Store))
    }

    fn report(&self, changes: &[Change], by: By) {
        let waits = |change: &Change| by == By::Node && change.effect == Effect::Restart;
        match self.invocation.format {
            Format::Json => {
                let changes: Vec<_> = changes
                    .iter()
                    .map(
                        |change| json!({ "key": change.key, "from": change.from, "to": change.to, "counts": counts(change, by) }),
                    )
                    .collect();
                output::json_line(&json!({ "changed": changes }));
            }
            Format::Table if changes.is_empty() => output::line("Nothing was changed."),
            Format::Table => {
                let rows = changes
                    .iter()
                    .map(|change| [change.key.to_owned(), change.from.clone(), change.to.clone(), counts(change, by).to_owned()]);
                output::line(output::table(["KEY", "WAS", "IS", "COUNTS"], rows));
                if changes.iter().any(waits) {
                    let (stop, start) = (self.invocation.command("stop"), self.invocation.command("start"));
                    output::line(format!("\nFor the rest to count, start the node again: {stop} && {start}"));
                }
            }
        }
    }
}

fn counts(change: &Change, by: By) -> &'static str {
    match (change.effect, by) {
        (Effect::Unread, _) => "never: nothing reads it",
        (Effect::Live, By::Node) => "now",
        (Effect::Restart, By::Node) => "from the next start on",
        (_, By::Store) => "when the node starts",
    }
}
