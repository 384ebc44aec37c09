//! The command line: everything that an operator does with a node.
//!
//! ```text
//! arguments ─ args ─> one file a command ─┬─ init, join, start: enrolment, then a node in the foreground (running)
//!                                         ├─ store, config: its entries and files, by the node that runs or without one
//!                                         └─ the others: a request to the node that runs in the folder (socket)
//!                          password: what opens the store       output: what is printed, as a table or as JSON
//! ```
//! What was asked for goes to standard output; what went wrong to standard error, in one line that says what to do next; the log
//! to standard error as well. The exit status is 0, 1 when the command failed, 2 when the command line, or a file
//! that it names for comparing, is wrong.

mod address;
mod args;
mod ca;
mod call;
mod cert;
mod child;
mod client;
mod config;
mod consent;
mod contract;
mod duration;
mod error;
mod init;
mod join;
mod json;
mod leave;
mod logging;
mod node;
mod node_args;
mod nodes;
mod output;
mod password;
mod policy;
mod running;
mod selftest;
mod services;
mod signature;
mod socket;
mod start;
mod stop;
mod store;
mod token;

use std::path::PathBuf;

use p2p_client::service::Result;
use p2p_runtime::node::NodeBuilder;

use args::Command;
use logging::Log;
use output::Format;

/// Does what the program's arguments say. A program whose `main` calls it is a full node and its own command line.
///
/// The node hosts every service that the program contains. In help and messages the program goes by its own name. Use it inside a
/// tokio runtime; it sets up the log, unless the program has done so.
///
/// ```no_run
/// # use p2p_services::prelude::*;
/// #[tokio::main]
/// async fn main() -> Result<()> {
///     p2p_services::cli::run().await
/// }
/// ```
///
/// # Errors
/// None that come back: when the command fails, one line says why and what to do next, and the process ends with status 1; with
/// status 2 when the arguments are wrong.
pub async fn run() -> Result<()> {
    run_with(|node| node).await
}

/// As [`run`], with a hand on the node before it starts: to host service objects that need more than a context, or add components.
///
/// ```no_run
/// # use p2p_services::prelude::*;
/// # struct Greeter { greeting: String }
/// # #[p2p_services::service] impl Greeter {
/// #     /// Says hello.
/// #     #[service_method] async fn greet(&self) -> Result<String> { Ok(self.greeting.clone()) } }
/// # #[tokio::main]
/// # async fn main() -> Result<()> {
/// let greeter = Greeter { greeting: "Hello".to_owned() };
/// p2p_services::cli::run_with(|node| node.serve(greeter)).await
/// # }
/// ```
///
/// # Errors
/// As [`run`].
pub async fn run_with(prepare: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Result<()> {
    let (invocation, command) = args::from_process();
    let done = match command {
        Command::Init(args) => init::run(args, &invocation).await,
        Command::Start(args) => start::run(args, &invocation, prepare).await,
        Command::Join(args) => join::run(args, &invocation, prepare).await,
        Command::Store(args) => store::run(args, &invocation).await,
        Command::Config(args) => config::run(args, &invocation).await,
        Command::Token(args) => token::run(args, &invocation).await,
        Command::Client(args) => client::run(args, &invocation).await,
        Command::Policy(args) => policy::run(args, &invocation).await,
        Command::Node(args) => node::run(args, &invocation).await,
        Command::Ca(args) => ca::run(args, &invocation).await,
        Command::Cert(args) => cert::run(args, &invocation).await,
        Command::Selftest => selftest::run(&invocation).await,
        Command::Call(args) => call::run(args, &invocation).await,
        Command::Contract(args) => contract::run(args, &invocation).await,
        Command::Nodes => nodes::run(&invocation).await,
        Command::Services => services::run(&invocation).await,
        Command::Stop => stop::run(&invocation).await,
        Command::Leave => leave::run(&invocation).await,
    };
    if let Err(error) = done {
        output::error(&invocation.in_own_name(&error.to_string()));
        std::process::exit(error.status());
    }
    Ok(())
}

/// What every command is given: how the program was called.
struct Invocation {
    /// The program's own name.
    program: String,
    /// The node's folder.
    dir: PathBuf,
    /// Whether somebody named the folder.
    dir_was_named: bool,
    /// How to print.
    format: Format,
    /// The log.
    log: Log,
}

impl Invocation {
    /// A command line to go on with, for the same node: `p2p start --dir /var/lib/p2p`.
    fn command(&self, words: &str) -> String {
        let named = if self.dir_was_named { format!(" --dir {}", quoted(&self.dir.to_string_lossy())) } else { String::new() };
        format!("{} {words}{named}", self.program)
    }

    /// The node knows its commands as those of `p2p`; the reader knows them by the name that was typed.
    fn in_own_name(&self, text: &str) -> String {
        text.replace("`p2p ", &format!("`{} ", self.program))
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_to_go_on_with_name_the_program_and_the_folder_that_was_named() {
        let mut invocation = Invocation {
            program: "greeter".to_owned(),
            dir: "/srv/my node".into(),
            dir_was_named: true,
            format: Format::Table,
            log: Log::default(),
        };
        assert_eq!(invocation.command("start"), "greeter start --dir '/srv/my node'");
        invocation.dir_was_named = false;
        assert_eq!(invocation.command("start"), "greeter start");
        assert_eq!(invocation.in_own_name("run `p2p init`; p2p is fine"), "run `greeter init`; p2p is fine");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_change_them() {
        assert_eq!(quoted("/var/lib/p2p"), "/var/lib/p2p");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
