//! `p2p contract`: what the services of a program promise to their callers, kept in a file and compared with later versions.
//!
//! ```text
//! this program (inventory) ┐
//! the node that runs here  ┼-> Contracts ── export ─> a file
//! a file                   ┘        └────── check ──> compare, service by service -> table, exit status
//! ```

use std::{collections::BTreeMap, fs, io, path::PathBuf};

use clap::{Args, Subcommand};
use p2p_client::protocol::{
    ServiceDescriptor,
    compatibility::{Effect, compare},
};
use p2p_runtime::{service::descriptors_of_program, web::ServiceStatus};
use serde::{Deserialize, Serialize};

use super::{
    Invocation,
    error::CliError,
    json,
    output::{self, Format},
    socket::{Ask, Socket, decode},
};

/// The version of the files that are written, and the newest that is read.
const FORMAT: u32 = 1;

/// Keeps what services promise to their callers, and compares it with later versions
///
/// Keep the file that `export` writes with the program's sources, and run `check` against it before a release: it ends with status 1
/// when callers of the old version would fail at hosts of the new one.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} contract export > contracts.json
  {program} contract check contracts.json")]
pub(super) struct ContractArgs {
    #[command(subcommand)]
    command: Contract,
}

#[derive(Subcommand)]
enum Contract {
    Export(ExportArgs),
    Check(CheckArgs),
}

/// Writes what the services of this program take and give, as JSON, to standard output
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} contract export > contracts.json
  {program} contract export --running > contracts.json")]
struct ExportArgs {
    /// What the node that runs in this folder hosts, instead of what this program contains
    #[arg(long)]
    running: bool,
}

/// Says what changed since the file was written, and what it does to callers of the old version
///
/// The exit status is 0 when all changes are compatible, 1 when one is breaking or unclear, 2 when a file or the running
/// node cannot be read.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} contract check contracts.json
  {program} contract check contracts.json --new built-elsewhere.json
  {program} contract check contracts.json --running --output json")]
struct CheckArgs {
    /// The old version, as `contract export` wrote it
    #[arg(value_name = "OLD.JSON")]
    old: PathBuf,

    /// The new version, as `contract export` wrote it [default: what this program contains]
    #[arg(long, value_name = "NEW.JSON", conflicts_with = "running")]
    new: Option<PathBuf>,

    /// Compare with what the node that runs in this folder hosts
    #[arg(long)]
    running: bool,
}

/// What services promise, as a file holds it.
#[derive(Debug, Serialize, Deserialize)]
struct Contracts {
    format: u32,
    services: Vec<ServiceDescriptor>,
}

/// What is read of a file first, whatever the rest looks like.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// One change, as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    service: String,
    /// Empty where the service as a whole changed.
    method: String,
    effect: String,
    #[serde(rename = "change")]
    text: String,
}

/// Does what the subcommand says.
pub(super) async fn run(args: ContractArgs, invocation: &Invocation) -> Result<(), CliError> {
    match args.command {
        Contract::Export(args) => {
            let contracts = if args.running { Contracts::running(invocation).await? } else { Contracts::of_program() };
            output::line(contracts.to_text()?);
            Ok(())
        }
        Contract::Check(args) => {
            let old = Contracts::read(&args.old)?;
            let new = match &args.new {
                Some(path) => Contracts::read(path)?,
                None if args.running => {
                    Contracts::running(invocation).await.map_err(|error| CliError::NotCompared(Box::new(error)))?
                }
                None => Contracts::of_program(),
            };
            report(&changes(&old, &new), invocation.format)
        }
    }
}

impl Contracts {
    fn of_program() -> Self {
        Self { format: FORMAT, services: descriptors_of_program() }
    }

    async fn running(invocation: &Invocation) -> Result<Self, CliError> {
        let answer = Socket::of(invocation).ask(Ask::get("/services")).await?;
        let services: BTreeMap<String, ServiceStatus> = decode(&answer)?;
        Ok(Self { format: FORMAT, services: services.into_values().map(|status| status.descriptor).collect() })
    }

    fn read(path: &PathBuf) -> Result<Self, CliError> {
        let unusable = |why: String| CliError::BadContract { path: path.clone(), why };
        let text = fs::read(path).map_err(|error| unusable(said(&error)))?;
        let Head { format } =
            serde_json::from_slice(&text).map_err(|error| unusable(format!("it is no file of that kind: {error}")))?;
        if format > FORMAT {
            return Err(unusable(format!(
                "it has format {format}, and this program reads formats up to {FORMAT}; use a newer one"
            )));
        }
        let contracts: Self =
            serde_json::from_slice(&text).map_err(|error| unusable(format!("it is no file of that kind: {error}")))?;
        match contracts.services.iter().find(|service| service.format > ServiceDescriptor::FORMAT) {
            Some(service) => {
                let (name, format, known) = (&service.name, service.format, ServiceDescriptor::FORMAT);
                let text = format!(
                    "its service {name} has format {format}, and this program reads formats up to {known}; use a newer one"
                );
                Err(unusable(text))
            }
            None => Ok(contracts),
        }
    }

    fn to_text(&self) -> Result<String, CliError> {
        let compact = serde_json::to_string(self).map_err(|error| CliError::Argument(error.to_string()))?;
        Ok(json::pretty(&compact))
    }

    fn service(&self, name: &str) -> Option<&ServiceDescriptor> {
        self.services.iter().find(|service| service.name == name)
    }
}

fn said(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

/// What changed, service by service; the harmful first.
fn changes(old: &Contracts, new: &Contracts) -> Vec<Change> {
    let change = |service: &ServiceDescriptor, method: Option<String>, effect: Effect, text| {
        (
            effect,
            Change { service: service.name.to_string(), method: method.unwrap_or_default(), effect: effect.to_string(), text },
        )
    };
    let mut found = Vec::new();
    for service in &old.services {
        match new.service(&service.name) {
            None => found.push(change(service, None, Effect::Breaking, "the service is gone".to_owned())),
            Some(now) => found
                .extend(compare(service, now).into_iter().map(|found| change(service, found.method, found.effect, found.text))),
        }
    }
    for service in new.services.iter().filter(|service| old.service(&service.name).is_none()) {
        found.push(change(service, None, Effect::Compatible, "the service is new".to_owned()));
    }
    found.sort_by_key(|(effect, _)| std::cmp::Reverse(*effect));
    found.into_iter().map(|(_, change)| change).collect()
}

fn report(changes: &[Change], format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let list = serde_json::to_string(changes).map_err(|error| CliError::Argument(error.to_string()))?;
            output::line(json::pretty(&list));
        }
        Format::Table if changes.is_empty() => output::line("nothing changed that callers could notice"),
        Format::Table => {
            let row = |it: &Change| [it.effect.clone(), it.service.clone(), it.method.clone(), it.text.clone()];
            output::line(output::table(["EFFECT", "SERVICE", "METHOD", "CHANGE"], changes.iter().map(row)));
        }
    }
    let harmful = changes.iter().filter(|change| change.effect != "compatible").count();
    if harmful > 0 { Err(CliError::Breaking { harmful, changes: changes.len() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contracts(services: &[serde_json::Value]) -> Contracts {
        serde_json::from_value(json!({"format": 1, "services": services})).unwrap()
    }

    #[test]
    fn harmful_changes_stand_first_and_services_that_come_and_go_are_told() {
        let service =
            |name: &str, methods: serde_json::Value| json!({"format": 1, "name": name, "version": "1.0.0", "methods": methods});
        let old = contracts(&[service("a", json!([{"name": "m", "params": [], "result": true}])), service("gone", json!([]))]);
        let new = contracts(&[
            service("a", json!([{"name": "m", "params": [{"name": "p", "schema": true, "required": false}], "result": true}])),
            service("new", json!([])),
        ]);
        let rows: Vec<_> =
            changes(&old, &new).into_iter().map(|change| (change.effect, change.service, change.method, change.text)).collect();
        let row = |effect: &str, service: &str, method: &str, change: &str| {
            (effect.to_owned(), service.into(), method.into(), change.to_owned())
        };
        assert_eq!(
            rows,
            [
                row("breaking", "gone", "", "the service is gone"),
                row("compatible", "a", "m", "the parameter `p` is new, and may be left out"),
                row("compatible", "new", "", "the service is new"),
            ]
        );
        assert!(changes(&old, &old).is_empty());
    }
}
