//! `p2p call`: calls a method, on any node of the cluster.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    time::Duration,
};

use clap::Args;
use futures::StreamExt;
use p2p_client::{
    protocol::{
        RpcError, StreamLine, Target,
        envelope::{Reply, write_request},
    },
    wire::Lines,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Invocation, duration,
    error::CliError,
    json,
    output::{self, Format},
    socket::{Ask, Reading, Socket, decode},
};

/// How much longer than the call itself its answer is waited for.
const MARGIN: Duration = Duration::from_secs(5);
/// No call takes longer on a node, whatever its limit.
const LONGEST: Duration = Duration::from_hours(1);

/// Calls a method, and prints its result as JSON; the items of a stream line by line, as they come
///
/// The node in this folder makes the call: it serves it itself, or sends it to the node that is meant. A value in name=value is
/// JSON where it reads as JSON, and a string otherwise; write 'name="5"' for the string 5.
#[derive(Args)]
#[command(after_help = "\
Example:
  {program} call system/get_system_info
  {program} call system/get_system_metrics --on all
  {program} call greeter/greet name=Ada --on worker-1 --timeout 5s
  {program} call greeter/greet --json '{\"name\": \"Ada\"}' --on capability=gpu
  cat params.json | {program} call greeter/greet --json -")]
pub(super) struct CallArgs {
    /// The method
    #[arg(value_name = "SERVICE/METHOD")]
    method: String,

    /// Parameters by name
    #[arg(value_name = "NAME=VALUE", value_parser = pair)]
    params: Vec<(String, Box<RawValue>)>,

    /// All parameters as JSON: an object by name or an array by position; @FILE reads a file, - standard input
    #[arg(long, value_name = "JSON", conflicts_with = "params")]
    json: Option<String>,

    /// Where to: a node id, role=ROLE, capability=LABEL, any; all, others, or all,role=ROLE and the like for every node that fits
    #[arg(long, value_name = "TARGET")]
    on: Option<Target>,

    /// How long the call may take; of a method that streams, until the stream is open
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// Calls the method.
pub(super) async fn run(args: CallArgs, invocation: &Invocation) -> Result<(), CliError> {
    let params = params(args.params, args.json.as_deref())?;
    let mut body = Vec::new();
    write_request(&mut body, 1, &args.method, params.get().as_bytes());

    let mut headers = Vec::new();
    if let Some(target) = &args.on {
        headers.push(("p2p-on", target.to_string()));
    }
    if let Some(timeout) = args.timeout {
        headers.push(("p2p-timeout-ms", timeout.as_millis().to_string()));
    }
    // Without a limit of the caller's, the method's own holds, or the node's usual one; the node answers in any case.
    let within = args.timeout.unwrap_or(LONGEST).saturating_add(MARGIN);
    let (socket, ask) = (Socket::of(invocation), Ask { headers, within, ..Ask::post("/rpc", body) });
    let answer = match args.on {
        // Many nodes give one result.
        Some(Target::Many(_)) => socket.ask(ask).await?,
        _ => match socket.open(ask).await? {
            Reading::Items(lines) => return print_items(lines, &socket).await,
            Reading::Answer(answer) => answer,
        },
    };

    let reply: Reply<'_> = serde_json::from_slice(&answer).map_err(|error| CliError::BadAnswer(error.to_string()))?;
    match (reply.error, reply.result, &args.on) {
        (Some(error), _, _) => Err(CliError::Refused { error }),
        (None, Some(result), Some(Target::Many(_))) => report_many(result, invocation.format),
        (None, Some(result), _) => {
            output::line(json::pretty(result.get()));
            Ok(())
        }
        (None, None, _) => Err(CliError::BadAnswer("it has neither result nor error".to_owned())),
    }
}

/// Prints each item of a stream as a line, as it comes. Whoever reads the lines may stop the stream by going away.
async fn print_items(mut lines: Lines, socket: &Socket<'_>) -> Result<(), CliError> {
    while let Some(line) = lines.next().await {
        let line = line.map_err(|source| socket.no_answer(source))?;
        match StreamLine::parse(&line) {
            Some(StreamLine::Item(item)) => {
                if output::next_line(item.get()).is_err() {
                    return Ok(());
                }
            }
            Some(StreamLine::End) => return Ok(()),
            Some(StreamLine::Failed(error)) => return Err(CliError::Refused { error }),
            None => return Err(CliError::BadAnswer("a line is neither an item nor the stream's end".to_owned())),
        }
    }
    Err(CliError::BrokenOff)
}

/// One node's answer to a call to many.
#[derive(Deserialize)]
struct OneAnswer {
    #[serde(default)]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<RpcError>,
}

/// Prints every node's result or error.
fn report_many(result: &RawValue, format: Format) -> Result<(), CliError> {
    let answers: BTreeMap<String, OneAnswer> = decode(result.get().as_bytes())?;
    if format == Format::Json {
        output::line(json::pretty(result.get()));
    }
    let mut failed = 0;
    for (node, answer) in &answers {
        let said = match (&answer.error, &answer.result) {
            (Some(error), _) => {
                failed += 1;
                format!("error: {error}")
            }
            (None, result) => json::pretty(result.as_ref().map_or("null", |result| result.get())),
        };
        if format == Format::Table {
            output::line(format!("{node}: {said}"));
        }
    }
    if failed > 0 { Err(CliError::SomeFailed { failed, asked: answers.len() }) } else { Ok(()) }
}

/// The params' JSON.
fn params(pairs: Vec<(String, Box<RawValue>)>, json: Option<&str>) -> Result<Box<RawValue>, CliError> {
    let text = match json {
        None => return by_name(pairs),
        Some("-") => read(io::stdin().lock(), "standard input".to_owned())?,
        Some(text) => match text.strip_prefix('@') {
            None => text.to_owned(),
            Some(path) => match File::open(path) {
                Ok(file) => read(file, path.to_owned())?,
                Err(source) => return Err(CliError::Unreadable { what: path.to_owned(), source }),
            },
        },
    };
    let wrong = |why: &str| CliError::Argument(format!("--json is no params object or array: {why}"));
    let raw = RawValue::from_string(text).map_err(|error| wrong(&error.to_string()))?;
    if raw.get().starts_with(['{', '[']) { Ok(raw) } else { Err(wrong("it begins with neither { nor [")) }
}

fn by_name(pairs: Vec<(String, Box<RawValue>)>) -> Result<Box<RawValue>, CliError> {
    let mut params = BTreeMap::new();
    for (name, value) in pairs {
        if params.contains_key(&name) {
            return Err(CliError::Argument(format!("the parameter {name:?} is given twice; give it once")));
        }
        params.insert(name, value);
    }
    serde_json::value::to_raw_value(&params).map_err(|error| CliError::Argument(error.to_string()))
}

fn read(mut from: impl Read, what: String) -> Result<String, CliError> {
    let mut text = String::new();
    match from.read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(source) => Err(CliError::Unreadable { what, source }),
    }
}

/// `name=value`: JSON where the value reads as JSON, else a string.
fn pair(text: &str) -> Result<(String, Box<RawValue>), String> {
    let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
        return Err(format!("{text:?} is no parameter; write name=value, or all of them with --json"));
    };
    let value = RawValue::from_string(value.to_owned())
        .or_else(|_| serde_json::value::to_raw_value(value))
        .map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_where_it_reads_as_json_and_a_string_otherwise() {
        for (text, name, value) in [
            ("a=5", "a", "5"),
            ("a=12345678901234567890123", "a", "12345678901234567890123"),
            ("a=true", "a", "true"),
            ("a=\"5\"", "a", "\"5\""),
            ("a=[1,2]", "a", "[1,2]"),
            ("a=Ada", "a", "\"Ada\""),
            ("a=x=y", "a", "\"x=y\""),
            ("a=", "a", "\"\""),
            ("a=05", "a", "\"05\""),
        ] {
            let (got_name, got) = pair(text).unwrap();
            assert_eq!((got_name.as_str(), got.get()), (name, value), "{text}");
        }
        for text in ["a", "=5", ""] {
            assert!(pair(text).unwrap_err().contains("name=value"), "{text}");
        }
    }

    #[test]
    fn params_are_an_object_an_array_or_nothing() {
        assert_eq!(params(Vec::new(), None).unwrap().get(), "{}");
        assert_eq!(params(vec![pair("b=1").unwrap(), pair("a=x").unwrap()], None).unwrap().get(), r#"{"a":"x","b":1}"#);
        assert_eq!(params(Vec::new(), Some("[1, 2]")).unwrap().get(), "[1, 2]");
        for wrong in ["5", "{", "", "\"x\"", "null"] {
            let error = params(Vec::new(), Some(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("--json is no params"), "{wrong}: {error}");
        }
        let twice = params(vec![pair("a=1").unwrap(), pair("a=2").unwrap()], None).unwrap_err();
        assert!(twice.to_string().contains("given twice"), "{twice}");
        let missing = params(Vec::new(), Some("@/nowhere/x.json")).unwrap_err();
        assert!(missing.to_string().contains("cannot read /nowhere/x.json"), "{missing}");
    }
}
