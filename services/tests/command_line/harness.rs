//! Runs the real `p2p` command: once to its end, or as a node in the foreground.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// What every store in these tests opens with, unless a test is about passwords.
pub(crate) const PASSWORD: &str = "correct horse";
/// How long anything may take that is not itself measured: the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// What a command that ran to its end left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Its standard output, of a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert!(self.status.success(), "{}\n{}{}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// Its standard output as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The error of a command that failed with this status: the one line that begins with `error: `.
    #[track_caller]
    pub(crate) fn error(&self, status: i32) -> String {
        assert_eq!(self.status.code(), Some(status), "{}{}", self.stdout, self.stderr);
        let errors: Vec<_> = self.stderr.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        errors[0].to_owned()
    }
}

/// The command, with nothing of the developer's own settings.
pub(crate) fn p2p() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_p2p")))
}

/// Takes the developer's own settings away, and gives the usual password.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for name in [
        "P2P_DIR",
        "P2P_JOIN_TOKEN",
        "CREDENTIALS_DIRECTORY",
        "XDG_STATE_HOME",
        "XDG_RUNTIME_DIR",
        "RUST_LOG",
        "VISUAL",
        "EDITOR",
    ] {
        command.env_remove(name);
    }
    command.env("P2P_STORE_PASSWORD", PASSWORD).stdin(Stdio::null());
    command
}

/// Runs a command to its end, with this on its standard input.
pub(crate) fn run_with_input(mut command: Command, input: &[u8]) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read it all is judged by what it says.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status,
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Ended {
    run_with_input(command, b"")
}

/// A folder for each node of a test; it goes with the test.
pub(crate) struct Folders(TempDir);

impl Folders {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The folder of the node with this name.
    pub(crate) fn of(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.of(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    /// `p2p … --dir FOLDER`
    pub(crate) fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = p2p();
        command.args(words).arg("--dir").arg(self.of(name));
        command
    }

    /// Runs `p2p … --dir FOLDER` to its end.
    pub(crate) fn run(&self, name: &str, words: &[&str]) -> Ended {
        run(self.command(name, words))
    }

    /// Makes a cluster, whose coordinator takes any free port on loopback.
    #[track_caller]
    pub(crate) fn init(&self, name: &str) -> Value {
        let words = ["init", "--node-id", name, "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0", "--output", "json"];
        self.run(name, &words).json()
    }

    /// Starts an enrolled node, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(&self, name: &str) -> Running {
        let mut node = Running::spawn(self.command(name, &["start", "--output", "json"]));
        node.wait_for("ready");
        node
    }

    /// Makes a token at a coordinator.
    #[track_caller]
    pub(crate) fn token(&self, coordinator: &str) -> String {
        self.run(coordinator, &["token", "create", "--quiet"]).ok().trim().to_owned()
    }

    /// `p2p join …` for a worker on loopback.
    pub(crate) fn join_command(&self, name: &str, authority: &str, token: &str) -> Command {
        let words = ["--node-id", name, "--advertise", "127.0.0.1", "--listen", "127.0.0.1:0", "--output", "json"];
        let mut command = self.command(name, &["join", authority]);
        command.args(words).env("P2P_JOIN_TOKEN", token);
        command
    }

    /// Joins, and waits until the node serves.
    #[track_caller]
    pub(crate) fn join(&self, name: &str, coordinator: &str, authority: &str) -> Running {
        let token = self.token(coordinator);
        let mut node = Running::spawn(self.join_command(name, authority, &token));
        node.wait_for("ready");
        node
    }

    /// What a node says of the others, by their ids.
    #[track_caller]
    pub(crate) fn status_of(&self, viewer: &str, node: &str) -> Option<String> {
        let nodes = self.run(viewer, &["nodes", "--output", "json"]).json();
        let found = nodes.as_array().unwrap().iter().find(|info| info["node_id"] == node)?;
        Some(found["status"].as_str().unwrap().to_owned())
    }

    /// Asks until a node says this of another, and gives the time that it took.
    #[track_caller]
    pub(crate) fn wait_for_status(&self, viewer: &str, node: &str, wanted: &str, within: Duration) -> Duration {
        let began = Instant::now();
        loop {
            let seen = self.status_of(viewer, node);
            if seen.as_deref() == Some(wanted) {
                return began.elapsed();
            }
            assert!(began.elapsed() < within, "{viewer} sees {node} as {seen:?}, not as {wanted}, after {within:?}");
        }
    }
}

/// A node in the foreground. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
    log: Option<JoinHandle<String>>,
    /// The line with which it said that it serves.
    pub(crate) ready: Value,
}

impl Running {
    /// Runs the command, which is to print events as JSON.
    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (say, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let _ = say.send(event);
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = Vec::new();
            let _ = stderr.read_to_end(&mut log);
            String::from_utf8_lossy(&log).into_owned()
        });
        Self { child, events, log: Some(log), ready: Value::Null }
    }

    /// Waits for an event; gives it and those before it.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, event: &str) -> Vec<Value> {
        let mut seen = Vec::new();
        while let Ok(next) = self.events.recv_timeout(PATIENCE) {
            seen.push(next.clone());
            if next["event"] == event {
                self.ready = next;
                return seen;
            }
        }
        self.signal("KILL");
        let log = self.log.take().unwrap().join().unwrap();
        panic!("no {event:?}; there were {seen:?}\n{log}");
    }

    /// Where it is reached.
    #[track_caller]
    pub(crate) fn authority(&self) -> String {
        self.ready["address"].as_str().unwrap().to_owned()
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Waits until it has ended, and gives its status and its log.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        (status, self.log.take().unwrap().join().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A stopped process is killed as well; one that has ended already is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell's command line, for what only a shell can do.
pub(crate) fn shell(line: &str, arguments: &[&OsStr]) -> Command {
    let mut command = without_settings(Command::new("sh"));
    command.arg("-c").arg(line).arg(env!("CARGO_BIN_EXE_p2p")).args(arguments);
    command
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o7777
}
