//! What the README's shell blocks are run by: the project's folder, and machines that are folders.

use std::{
    env,
    ffi::OsString,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How long something may take that takes seconds where nothing else runs.
const PATIENCE: Duration = Duration::from_mins(1);
/// What a node prints once it serves.
const SERVES: &str = "The node serves.";

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Where programs are built: this test runs from its `deps`.
fn built() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_greeter")).parent().unwrap().to_owned()
}

/// Runs a block in the project's folder, to its end; gives what it printed.
#[track_caller]
pub(crate) fn run_in_project(code: &str) -> String {
    // The script runs this very test: one short test shows that it works, all of them would never end.
    let one = "tests/run --test readme -- --exact every_block_of_the_readme_has_a_way_to_be_run";
    let code = code.replace("tests/run", one);
    let mut shell = shell(&code);
    shell.current_dir(root()).env("CARGO_TARGET_DIR", built().parent().unwrap());
    // What cargo told this test about its own package is not for another cargo.
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
        shell.env_remove(name);
    }
    finish(&mut shell, &code)
}

fn is_of_this_package(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
    package.iter().any(|prefix| name.starts_with(prefix)) || name == "LD_LIBRARY_PATH" || name == "OUT_DIR"
}

fn shell(code: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-euc", code]).stdin(Stdio::null());
    shell
}

#[track_caller]
fn finish(shell: &mut Command, code: &str) -> String {
    let output = shell.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{code}\nended with {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// A machine as far as a node is concerned: a home folder.
pub(crate) struct Machine {
    home: PathBuf,
    program: &'static str,
    node: Option<Running>,
}

impl Machine {
    /// A machine on which nothing runs, and whose node is run and asked by this program.
    pub(crate) fn new(home: &Path, program: &'static str) -> Self {
        std::fs::create_dir_all(home).unwrap();
        Self { home: home.to_owned(), program, node: None }
    }

    /// Whether a node runs on it.
    fn has_node(&self) -> bool {
        self.node.is_some()
    }

    /// Runs a block; gives what it printed. Where it ends in a node, that runs on, and has come to the point at which it serves.
    #[track_caller]
    pub(crate) fn run(&mut self, code: &str) -> String {
        // All machines are this one.
        let lines = code.lines().map(|line| match line.split_whitespace().nth(1) {
            Some("init" | "join") if !line.starts_with('#') => format!("{line} --advertise 127.0.0.1\n"),
            _ => format!("{line}\n"),
        });
        let code: String = lines.collect();
        let last = code.lines().last().unwrap_or_default();
        if !matches!(last.split_whitespace().nth(1), Some("start" | "join")) {
            return finish(&mut self.shell(&code), &code);
        }
        let (node, printed) = Running::start(self.shell(&code), &code);
        self.node = Some(node);
        printed
    }

    /// Stops the node in good order, as its operator would.
    pub(crate) fn stop(mut self) {
        self.ask("stop");
        let status = self.node.take().unwrap().ended();
        assert!(status.success(), "the node ended with {status}");
    }

    #[track_caller]
    fn ask(&self, words: &str) -> String {
        let command = format!("{} {words}", self.program);
        finish(&mut self.shell(&command), &command)
    }

    fn shell(&self, code: &str) -> Command {
        let mut paths = vec![built()];
        paths.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let path: OsString = env::join_paths(paths).unwrap();
        let mut shell = shell(code);
        shell.current_dir(&self.home).env("HOME", &self.home).env("PATH", path);
        for ours in ["P2P_DIR", "P2P_STORE_PASSWORD", "P2P_JOIN_TOKEN", "XDG_STATE_HOME", "CREDENTIALS_DIRECTORY", "RUST_LOG"] {
            shell.env_remove(ours);
        }
        shell
    }
}

/// Waits until every node that runs sees all the others alive, and what they host: a call to all asks those who have said so when it is
/// made.
#[track_caller]
pub(crate) fn wait_until_all_know_all(machines: &[Machine]) {
    let running: Vec<_> = machines.iter().filter(|machine| machine.has_node()).collect();
    let (began, wanted) = (Instant::now(), running.len());
    for machine in &running {
        loop {
            let nodes = machine.ask("nodes --output json");
            if ["\"alive\"", "\"system\":"].iter().all(|word| nodes.matches(word).count() == wanted) {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{wanted} nodes run, and one of them sees: {nodes}");
        }
    }
}

/// A shell whose last command is a node. It is ended with its whole process group, whatever becomes of the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the node, and waits until it says that it serves; gives what it printed until then.
    #[track_caller]
    fn start(mut shell: Command, code: &str) -> (Self, String) {
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let log = thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        let (running, mut printed, deadline) = (Self { child, lines }, String::new(), Instant::now() + PATIENCE);
        while !printed.contains(SERVES) {
            match running.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => printed.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Timeout) => panic!("{code}\ndid not come to serve; it printed:\n{printed}"),
                Err(RecvTimeoutError::Disconnected) => panic!("{code}\nended\n{printed}\n{}", log.join().unwrap()),
            }
        }
        (running, printed)
    }

    /// Waits for its end: its output ends with it.
    fn ended(mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the node does not end"),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.child.wait();
        }
    }
}
