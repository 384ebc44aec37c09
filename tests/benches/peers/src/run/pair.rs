//! A server's and a client's process for one design. Both end with the value.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::{
    cases::Runtime,
    designs::Design,
    load::Sample,
    messages::{Finished, Order, Ready},
};

/// How long a process may take to be ready, and a client to finish beyond the time that it measures.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(3);

/// Both processes.
pub(crate) struct Pair {
    // In this order: a client leaves before its server does.
    client: Process,
    _server: Process,
    _dir: Option<tempfile::TempDir>,
}

impl Pair {
    /// Starts the server and then the client.
    pub(crate) fn start(design: Design, runtime: Runtime, cores: [usize; 2], certificates: &Path) -> Result<Self> {
        let own_dir = (design == Design::P2p).then(tempfile::tempdir).transpose()?;
        let dir = own_dir.as_ref().map_or(certificates, tempfile::TempDir::path);
        let (server_cores, client_cores) = match runtime {
            Runtime::CurrentThread => (&cores[..1], &cores[1..]),
            Runtime::TwoWorkers => (&cores[..], &cores[..]),
        };
        let began = Instant::now();
        let mut server = Process::start("server", design, runtime, server_cores, dir)?;
        let ready: Ready = server.hear(PATIENCE).with_context(|| format!("starting the server of {design}"))?;
        let mut client = Process::start("client", design, runtime, client_cores, dir)?;
        client.tell(&ready)?;
        match client.hear(PATIENCE).with_context(|| format!("starting the client of {design}"))? {
            Finished::Connected => {}
            other => bail!("the client of {design} said {other:?} before it had an order"),
        }
        eprintln!("  {design:<15} started in {:.1} s", began.elapsed().as_secs_f64());
        Ok(Self { client, _server: server, _dir: own_dir })
    }

    /// Has the client measure.
    pub(crate) fn measure(&mut self, order: Order) -> Result<Sample> {
        self.client.tell(&order)?;
        match self.client.hear(order.times.warm_up + order.times.measured + PATIENCE)? {
            Finished::Measured(sample) => Ok(sample),
            Finished::Failed(reason) => bail!(reason),
            Finished::Connected => bail!("the client said that it is ready in the place of what it measured"),
        }
    }
}

/// A process and its lines.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(kind: &str, design: Design, runtime: Runtime, cores: &[usize], dir: &Path) -> Result<Self> {
        let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
        let mut command = Command::new(env::current_exe().context("finding this program")?);
        command.arg(kind).arg(design.to_string()).arg("--runtime").arg(runtime.to_string());
        command.arg("--cores").arg(cores.join(",")).arg("--dir").arg(dir);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("starting this program again")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the process has no output")?;
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, lines })
    }

    fn tell(&mut self, message: &impl serde::Serialize) -> Result<()> {
        let input = self.input.as_mut().context("the process has no input")?;
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        input.write_all(&line).and_then(|()| input.flush()).context("the process has ended; see what it wrote before")
    }

    fn hear<T: DeserializeOwned>(&mut self, patience: Duration) -> Result<T> {
        let line = self.lines.recv_timeout(patience).with_context(|| match self.child.try_wait() {
            Ok(Some(status)) => format!("the process ended with {status}; see what it wrote before"),
            _ => format!("the process said nothing for {} s; it is ended now", patience.as_secs()),
        })?;
        serde_json::from_str(&line).with_context(|| format!("the process said {line:?}"))
    }
}

impl Drop for Process {
    /// Closes its input, which asks it to end; what does not is killed.
    fn drop(&mut self) {
        self.input.take();
        // Its output ends when it does.
        let until = Instant::now() + GRACE;
        while self.lines.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ends_before_it_is_ready_is_an_error_that_says_so() {
        // What is started is this test program, which knows none of the words.
        let error = Pair::start(Design::Tonic, Runtime::CurrentThread, [0, 1], Path::new("nowhere")).err().unwrap();
        assert!(format!("{error:#}").contains("starting the server of tonic: the process ended with"), "{error:#}");
    }
}
