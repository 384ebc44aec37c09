//! A pseudo-terminal, at which a test sits while a command runs.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Instant,
};

use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use crate::harness::{Ended, PATIENCE};

/// A command whose standard input and error are a terminal; its results go to a pipe.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Runs the command in a session of its own, whose controlling terminal this is: passwords are asked for there, wherever input and
    /// output go.
    pub(crate) fn run_in_session(command: &Command) -> Self {
        let mut leader = Command::new("setsid");
        leader.arg("--ctty").arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => leader.env(name, value),
                None => leader.env_remove(name),
            };
        }
        Self::run(leader)
    }

    /// Runs the command.
    pub(crate) fn run(mut command: Command) -> Self {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&near).unwrap();
        unlockpt(&near).unwrap();
        let far = rustix::fs::open(ptsname(&near, Vec::new()).unwrap(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        command.stdin(far.try_clone().unwrap()).stderr(far).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        // The last handles of this process to the far end: the screen ends with the command.
        drop(command);
        let keyboard = File::from(near);
        let mut reader = keyboard.try_clone().unwrap();
        let (show, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(read @ 1..) = reader.read(&mut bytes) {
                if show.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, keyboard, screen, shown: String::new() }
    }

    /// Waits until this is on the screen; gives all that is.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) -> &str {
        let end = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            let Ok(bytes) = self.screen.recv_timeout(end.saturating_duration_since(Instant::now())) else {
                panic!("no {text:?} on the screen: {}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        &self.shown
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, text: &str) {
        self.keyboard.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// Types a line once nothing that is typed is shown any more. (Whoever asks for a secret says so first, and then sees to that.)
    pub(crate) fn type_secret(&mut self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while tcgetattr(&self.keyboard).unwrap().local_modes.contains(LocalModes::ECHO) {
            assert!(Instant::now() < end, "what is typed would be shown: {}", self.shown);
            std::thread::yield_now();
        }
        self.type_line(text);
    }

    /// Waits until the command has ended; its standard error is what is on the screen.
    pub(crate) fn ended(mut self) -> Ended {
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let status = self.child.wait().unwrap();
        for bytes in &self.screen {
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
        Ended { status, stdout, stderr: std::mem::take(&mut self.shown) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
