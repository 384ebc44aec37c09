//! The README, executed: its shell blocks in order, as a reader would, its program as a program, its calls as calls.
//!
//! The first line of a shell block says where it is run: `# first machine`, `# second machine`, each with a home folder of its own;
//! without such a line in the folder of this project. What differs from what a reader does: both machines are this one, so that
//! they are told to advertise 127.0.0.1; and `tests/run`, which runs this very test, is asked for one short test only. A block
//! that is not understood fails.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod machines;

use std::{fs, path::Path};

use machines::{Machine, root};
use p2p_tests::blocks::{self, Block};

/// The README's program, whose service the calls below are to.
#[allow(dead_code, unreachable_pub, reason = "its main is run by `the_program_is_a_node_and_its_own_command_line`")]
mod program {
    include!(concat!(env!("OUT_DIR"), "/program.rs"));
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// Where a shell block is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Repository,
    First,
    Second,
}

/// The place, and what may stand in a block for it.
fn place(block: Block<'_>) -> Result<Place, String> {
    let place = match block.code.lines().next().unwrap_or_default() {
        first if first.starts_with("# first machine") => Place::First,
        first if first.starts_with("# second machine") => Place::Second,
        _ => Place::Repository,
    };
    let known: &[&str] = if place == Place::Repository { &["cargo", "tests/run"] } else { &["export", "p2p", "curl"] };
    for command in commands(block.code) {
        let word = command.split_whitespace().next().unwrap_or_default();
        if !known.contains(&word) {
            return Err(format!("README.md:{}: no test knows how to run {command:?} here: {place:?}", block.line));
        }
    }
    Ok(place)
}

/// The commands of a block: its lines, continued ones as one, without comments.
fn commands(code: &str) -> Vec<String> {
    let joined = code.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split(" # ").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_block_of_the_readme_has_a_way_to_be_run() {
    let text = readme();
    let mut places = Vec::new();
    for block in blocks::of(&text) {
        match block.language {
            "rust" => {} // compiled by build.rs, which knows what to do with all of them
            "sh" => places.push(place(block).unwrap()),
            other => panic!("README.md:{}: no test knows how to run a block of {other:?}", block.line),
        }
    }
    for wanted in [Place::Repository, Place::First, Place::Second] {
        assert!(places.contains(&wanted), "no block is for {wanted:?}; does the README still say `# first machine`?");
    }
}

#[test]
fn a_block_that_nobody_knows_how_to_run_is_noticed() {
    let block = |code| Block { line: 7, language: "sh", code };
    assert_eq!(place(block("cargo run --example x # and so on\n")), Ok(Place::Repository));
    assert_eq!(place(block("# second machine: join\np2p join ADDR \\\n  --token TOKEN\n")), Ok(Place::Second));
    let said = place(block("# first machine\np2p nodes\nrm -rf x\n")).unwrap_err();
    assert!(said.contains("README.md:7") && said.contains("rm -rf x"), "{said}");
}

#[test]
fn every_link_of_the_documents_leads_to_a_file() {
    let mut documents = vec![
        "README.md".into(),
        "CONTRIBUTING.md".into(),
        "CHANGELOG.md".into(),
        "docs/architecture.md".into(),
        "docs/session.md".into(),
        "docs/streams.md".into(),
    ];
    for entry in fs::read_dir(root().join("docs/decisions")).unwrap() {
        documents.push(Path::new("docs/decisions").join(entry.unwrap().file_name()));
    }
    let mut links = 0;
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = root().join(&document).parent().unwrap().join(target.split('#').next().unwrap());
            assert!(file.exists(), "{} links to {target}, which is not there", document.display());
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found; are they still written as [text](target)?");
}

#[test]
fn the_commands_of_the_readme_do_what_it_says() {
    let text = readme();
    let homes = tempfile::tempdir().unwrap();
    let mut machines = ["first", "second"].map(|name| Machine::new(&homes.path().join(name), "p2p"));
    let mut said = String::new();
    for block in blocks::of(&text).into_iter().filter(|block| block.language == "sh") {
        println!("--- README.md:{}\n{}", block.line, block.code);
        let output = match place(block).unwrap() {
            Place::Repository => machines::run_in_project(block.code),
            place => {
                let index = usize::from(place == Place::Second);
                // What was printed on one machine, the reader types on the other.
                let output = machines[index].run(&with_printed(block.code, &said));
                machines::wait_until_all_know_all(&machines);
                output
            }
        };
        println!("{output}");
        for command in commands(block.code) {
            assert!(is_as_promised(&command, &output), "{command} printed:\n{output}");
        }
        said.push_str(&output);
    }
    for machine in machines {
        machine.stop();
    }
}

/// What the reader sees of a command.
fn is_as_promised(command: &str, output: &str) -> bool {
    let all = |wanted: &[&str]| wanted.iter().all(|wanted| output.contains(wanted));
    match command.split_whitespace().take(3).collect::<Vec<_>>()[..] {
        ["cargo", "run", "--example"] if command.contains("fan_out") => {
            all(&["A quorum: ", "worker-2: the disk is full", "1 failed: worker-2", "worker-1: \"buy", "Done."])
        }
        ["cargo", "run", "--example"] if command.contains("streaming") => {
            all(&["  3\n  4\n  5\n", "  0 … (worker-1)", "aborted at 1", "a countdown takes at most 60 s"])
        }
        ["cargo", "run", "--example"] => all(&["Three nodes found each other", "proxy.greeter()", "Done."]),
        // The secret is in a file.
        ["cargo", "build", "--bin"] | ["export", ..] | ["p2p", "client", "create"] => true,
        ["tests/run"] => all(&["1 passed"]),
        ["p2p", "init"] => all(&["recovery key", "root", "127.0.0.1"]),
        ["p2p", "start"] => all(&["(coordinator)", "system", "The node serves."]),
        ["p2p", "token", "create"] => all(&["P2PJ1.", "p2p join 127.0.0.1:"]),
        ["p2p", "join", ..] => all(&["recovery key", "(worker)", "The node serves."]),
        ["p2p", "nodes"] => all(&["coordinator", "worker", "alive", "system"]),
        ["p2p", "services"] => all(&["get_system_info", "get_system_metrics"]),
        ["p2p", "call", "system/get_system_info"] => all(&["hostname", "coordinator-"]),
        ["p2p", "call", "system/get_system_metrics"] => all(&["coordinator-", "worker-", "load_average"]),
        ["curl", "--unix-socket", ..] => all(&["\"jsonrpc\"", "\"result\"", "\"hostname\"", "worker-"]),
        ["p2p", "policy", "explain"] => all(&["allowed: client ci-bot@coordinator-", "clients with a token"]),
        ["curl", "--insecure", ..] if command.contains("/auth/token") => all(&["\"access_token\":\"eyJ", "\"expires_in\":900"]),
        ["curl", "--insecure", ..] => all(&["\"healthy\""]),
        _ => panic!("say in tests/tests/readme/main.rs what {command:?} is to print"),
    }
}

/// A block with the address and the token that were printed before.
fn with_printed(code: &str, said: &str) -> String {
    let mut printed = said.split_whitespace().skip_while(|word| *word != "join").skip(1);
    match (printed.next(), printed.next(), printed.next()) {
        (Some(address), Some("--token"), Some(token)) => code.replace("ADDR", address).replace("TOKEN", token),
        _ => code.to_owned(),
    }
}

#[test]
fn the_program_is_a_node_and_its_own_command_line() {
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_greeter");
    let mut machine = Machine::new(home.path(), program);
    machine.run(&format!("export P2P_STORE_PASSWORD=x-long-password\n{program} init\n{program} start\n"));
    let greeting = machine.run(&format!("{program} call greeter/greet name=Ada\n"));
    assert!(greeting.contains("Hello, Ada! This is coordinator-"), "{greeting}");
    let services = machine.run(&format!("{program} services\n"));
    assert!(services.contains("greeter") && services.contains("system"), "{services}");
    machine.stop();
}

mod calls {
    use std::{net::Ipv4Addr, path::Path, time::Duration};

    use futures::StreamExt;
    use p2p_runtime::{
        identity::{Host, TokenOptions},
        node::{InitOptions, JoinClusterOptions, init, join},
    };
    use p2p_services::prelude::*;

    use super::program::*;

    const HERE: Host = Host::Ip(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
    const ANY_PORT: std::net::SocketAddr = std::net::SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    async fn coordinator(dir: &Path) -> Result<Node> {
        let options = InitOptions {
            dir: dir.to_owned(),
            password: Password::new("for this test")?,
            node_id: None,
            advertise: Some(HERE),
            listen: Some(ANY_PORT),
            capabilities: Vec::new(),
        };
        Ok(Node::builder().enrolment(init(options).await?.enrolment).start().await?)
    }

    async fn worker(dir: &Path, coordinator: &Node) -> Result<Node> {
        let token = coordinator.issuer().unwrap().create_token(TokenOptions::default()).await?;
        let options = JoinClusterOptions {
            node_id: Some("worker-1".parse()?),
            advertise: Some(HERE),
            listen: Some(ANY_PORT),
            capabilities: vec!["gpu".into()],
            ..JoinClusterOptions::new(dir, Password::new("for this test")?, coordinator.authority(), token)
        };
        Ok(Node::builder().enrolment(join(options).await?.enrolment).start().await?)
    }

    #[tokio::test]
    #[allow(unreachable_pub, reason = "what the README shows is for other crates")]
    async fn the_calls_of_the_readme_are_answered() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let coordinator = coordinator(&folder.path().join("coordinator")).await?;
        let worker = worker(&folder.path().join("worker"), &coordinator).await?;
        coordinator.wait_until(|members| members.hosting("greeter").count() == 2).await;
        let proxy = coordinator.proxy();
        let (url, fingerprint) = (&*coordinator.url(), &*coordinator.root_fingerprint().to_string());
        let () = include!(concat!(env!("OUT_DIR"), "/calls.rs"));
        let greeted = proxy.greeter().on("worker-1").greet("Ada").await?;
        assert!(greeted.starts_with("Hello, Ada! This is worker-1"), "{greeted}");
        worker.stop().await;
        coordinator.stop().await;
        Ok(())
    }
}
