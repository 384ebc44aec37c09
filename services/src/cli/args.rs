//! The arguments: which commands there are, and what all of them take.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::{
    Invocation, ca::CaArgs, call::CallArgs, cert::CertArgs, client::ClientArgs, config::ConfigArgs, contract::ContractArgs,
    init::InitArgs, join::JoinArgs, logging, node::NodeArgs, output::Format, policy::PolicyArgs, start::StartArgs,
    store::StoreArgs, token::TokenArgs,
};

/// Over which options the help says that every command takes them.
const GLOBAL: &str = "Options of every command";

/// Runs a node of a P2P Core cluster, and administers it
///
/// A node keeps everything in one folder, --dir: the encrypted store with its keys, its state, and the socket over which the other
/// commands talk to it.
#[derive(Parser)]
#[command(
    version = concat!(env!("CARGO_PKG_VERSION"), " (P2P Core)"),
    arg_required_else_help = true,
    after_help = "\
Example, a cluster of two machines:
  {program} init                                on the first; prints the recovery key
  {program} start
  {program} token create                        prints the command for the second
  {program} join 10.0.0.5:8001 --token P2PJ1.…  on the second
  {program} nodes
  {program} call system/get_system_info --on role=worker"
)]
struct Cli {
    /// The node's folder [default: $XDG_STATE_HOME/p2p or ~/.local/state/p2p]
    #[arg(long, global = true, value_name = "DIR", env = "P2P_DIR", help_heading = GLOBAL)]
    dir: Option<PathBuf>,

    /// How to print results
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Table, help_heading = GLOBAL)]
    output: Format,

    /// Log more, on standard error; twice for everything. RUST_LOG overrides it
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = GLOBAL)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

/// One command.
#[derive(Subcommand)]
pub(super) enum Command {
    Init(InitArgs),
    Start(StartArgs),
    Join(JoinArgs),
    Token(TokenArgs),
    Client(ClientArgs),
    Policy(PolicyArgs),
    Node(NodeArgs),
    Ca(CaArgs),
    Cert(CertArgs),
    Store(StoreArgs),
    Config(ConfigArgs),
    Call(CallArgs),
    Contract(ContractArgs),
    /// Lists the nodes of the cluster, as the node in this folder sees them
    #[command(after_help = "Example:\n  {program} nodes\n  {program} nodes --output json")]
    Nodes,
    /// Lists the services that the node in this folder hosts, with their methods
    #[command(after_help = "Example:\n  {program} services\n  {program} services --output json")]
    Services,
    /// Attacks the node in this folder, harmlessly, and shows what it withstood
    ///
    /// Forged certificates and tokens, oversized and malformed requests, and slow connections come over the network to the node's own
    /// address, as from an outsider; its audit log tells of the refusals. The node goes on serving. It takes some 10 s, changes nothing,
    /// and needs no password. The exit status is 1 when an attack succeeded, and 3 when none did but not all could be tried, as the
    /// node puts callers without a name off for now: the rows marked PUT OFF.
    #[command(after_help = "Example:\n  {program} selftest\n  {program} selftest --output json")]
    Selftest,
    /// Stops the node in this folder in good order, and waits until it has stopped
    ///
    /// The node keeps its place in the cluster; `start` brings it back.
    #[command(after_help = "Example:\n  {program} stop --dir /var/lib/p2p")]
    Stop,
    /// Takes the node in this folder out of its cluster for good, and waits until it has stopped
    ///
    /// The other nodes know at once. The node cannot be started again; its folder can be removed.
    #[command(after_help = "Example:\n  {program} leave --dir /var/lib/p2p")]
    Leave,
}

/// Reads the process's arguments and sets up the log. Ends the process where the arguments are wrong, or ask for help.
pub(super) fn from_process() -> (Invocation, Command) {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let program = arguments.first().map(PathBuf::from).and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let program = program.unwrap_or_else(|| "p2p".to_owned());
    let mut command = command(&program);
    let cli = command.try_get_matches_from_mut(arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { dir, output, verbose, command: chosen } = cli.unwrap_or_else(|error| error.exit());
    let dir_was_named = dir.is_some();
    let Some(dir) = dir.or_else(default_dir) else {
        let text = "there is no home folder to keep the node in; name its folder with --dir";
        command.error(clap::error::ErrorKind::MissingRequiredArgument, text).exit();
    };
    let log = logging::set_up(verbose, matches!(chosen, Command::Start(_) | Command::Join(_)));
    (Invocation { program, dir, dir_was_named, format: output, log }, chosen)
}

/// The commands, in the name of this program.
fn command(program: &str) -> clap::Command {
    fn named(program: &str, command: clap::Command) -> clap::Command {
        let examples = command.get_after_help().map(|help| help.to_string().replace("{program}", program));
        let command = command.mut_subcommands(|each| named(program, each));
        match examples {
            Some(examples) => command.after_help(examples),
            None => command,
        }
    }
    named(program, Cli::command().display_name(program.to_owned()))
}

/// Where a node lives unless somebody says: where the XDG base directory specification puts state.
fn default_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Some(state?.join("p2p"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(command: &clap::Command) -> Vec<&clap::Command> {
        let below = command.get_subcommands().filter(|each| each.get_name() != "help").flat_map(all);
        std::iter::once(command).chain(below).collect()
    }

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        command("p2p").debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_the_programs_own_name() {
        let command = command("greeter");
        for command in all(&command) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{}: {help}", command.get_name());
            assert!(help.contains("\n  greeter ") && !help.contains("{program}"), "{}: {help}", command.get_name());
        }
    }

    /// How the audit log is told of what a command does.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Told {
        /// By the node that runs, whose route does it.
        ByNode,
        /// The same; where none runs, by the next start.
        ByNodeOrAtStart,
        /// By the next start: no node may run.
        AtStart,
        /// By the coordinator that lets the node in.
        ByCoordinator,
        /// There is no node yet to tell anything.
        Nowhere,
        /// It changes nothing. A node that runs tells of those that read its store, all the same.
        Reads,
    }

    /// Each command. `tests/tests/audit_table.rs` has the lines of the routes, `tests/command_line/offline.rs` those of the next start.
    const TOLD: &[(&str, Told)] = {
        use Told::{AtStart, ByCoordinator, ByNode, ByNodeOrAtStart, Nowhere, Reads};
        &[
            ("init", Nowhere),
            ("start", Reads),
            ("join", ByCoordinator),
            ("token create", ByNodeOrAtStart),
            ("token list", Reads),
            ("token revoke", ByNode),
            ("client create", ByNode),
            ("client list", ByNode),
            ("client remove", ByNode),
            ("client revoke", ByNode),
            ("client replace-keys", ByNode),
            ("policy explain", Reads),
            ("node pending", Reads),
            ("node approve", ByNode),
            ("node deny", ByNode),
            ("node revoke", ByNode),
            ("node revoked", Reads),
            ("ca show", Reads),
            ("ca rotate", ByNode),
            ("ca share", ByNode),
            ("cert show", Reads),
            ("cert renew", ByNode),
            ("store ls", Reads),
            ("store cat", Reads),
            ("store put", ByNodeOrAtStart),
            ("store rm", ByNodeOrAtStart),
            ("store verify", Reads),
            ("store recover", AtStart),
            ("store passwd", ByNodeOrAtStart),
            ("store backup", Reads),
            ("store restore", AtStart),
            ("config show", Reads),
            ("config set", ByNodeOrAtStart),
            ("config unset", ByNodeOrAtStart),
            ("config edit", ByNodeOrAtStart),
            ("config default", Reads),
            ("call", Reads),
            ("contract export", Reads),
            ("contract check", Reads),
            ("nodes", Reads),
            ("services", Reads),
            ("selftest", Reads),
            ("stop", ByNode),
            ("leave", ByNode),
        ]
    };

    fn leaves(command: &clap::Command, before: &str) -> Vec<String> {
        let below: Vec<_> = command.get_subcommands().filter(|each| each.get_name() != "help").collect();
        let name = |each: &clap::Command| format!("{before}{}", each.get_name());
        let leaves_of = |each: &&clap::Command| {
            if each.has_subcommands() { leaves(each, &format!("{} ", name(each))) } else { vec![name(each)] }
        };
        below.iter().flat_map(leaves_of).collect()
    }

    #[test]
    fn of_every_command_it_is_said_how_the_audit_log_is_told_of_it() {
        let there_are = leaves(&command("p2p"), "");
        for name in &there_are {
            assert!(TOLD.iter().any(|(told, _)| told == name), "{name}: say how the audit log is told of it");
        }
        for (name, _) in TOLD {
            assert!(there_are.iter().any(|is| is == name), "there is no command {name}");
        }
    }

    #[test]
    fn no_command_takes_a_password_or_a_recovery_key_as_an_argument_but_where_to_read_it() {
        let (command, secrets) = (command("p2p"), ["password", "recovery-key", "recovery", "passphrase", "secret", "key-file"]);
        let mut files = Vec::new();
        for command in all(&command) {
            for argument in command.get_arguments() {
                let names = argument.get_long_and_visible_aliases().unwrap_or_default();
                for name in names.into_iter().chain([argument.get_id().as_str()]).map(|name| name.replace('_', "-")) {
                    let is_secret = secrets.iter().any(|secret| name.contains(secret));
                    let is_file = name.ends_with("-file") || name.ends_with("-fd");
                    assert!(!is_secret || is_file, "{} --{name}", command.get_name());
                    files.extend((is_secret && is_file).then_some(name));
                }
            }
        }
        for name in ["password-file", "new-password-file", "recovery-key-file"] {
            assert!(files.iter().any(|file| file == name), "control: {name} among {files:?}");
        }
    }

    #[test]
    fn every_argument_says_what_it_is() {
        let command = command("p2p");
        for command in all(&command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
