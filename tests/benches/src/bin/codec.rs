//! What it costs to write and read JSON by code made for the type, next to `serde_json`: nanoseconds, in turn, in one run.
//!
//! `cargo run --release -p p2p-bench --bin codec [rounds]`
//!
//! The message is that of a small call's result, some 240 bytes; the params are those of a small call, read into a struct by serde_json. Dispatch
//! may cost at most 200 ns more than that, however the params are written.  Long strings are given in
//! gigabytes a second. Rounds are short and many, and the least disturbed one of each way counts. Both ways write the same bytes
//! and read the same values, which is checked before anything is timed.

use std::{
    error::Error,
    hint::black_box,
    time::{Duration, Instant},
};

use p2p_bench::stats::table;
use p2p_client::{
    Message,
    codec::{Form as _, Generated, Plain, from_json, to_json},
    protocol::RpcError,
    service::{NoDefault, ObjectWriter, ParamForms, ParamSpec, Params},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A result of everyday.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
struct Greeting {
    text: String,
    node: String,
    count: u64,
    tags: Vec<String>,
}

/// A message in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
struct Report {
    from: Greeting,
    load: [f64; 3],
    state: State,
    parts: Vec<Part>,
    note: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
struct Part {
    name: String,
    size: u32,
    ready: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Message)]
#[serde(rename_all = "snake_case")]
enum State {
    Running,
    Failed { code: i32, reason: String },
}

/// One figure of both ways.
struct Row {
    name: &'static str,
    /// The JSON's length, where it is the throughput that is of interest.
    bytes: Option<usize>,
    serde_json: Vec<f64>,
    generated: Vec<f64>,
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(300), |rounds| rounds.parse())?;
    let greeting = greeting();
    let report = report(&greeting);
    let plain = "The quick brown fox jumps over the lazy dog. ".repeat(1 << 20 >> 5)[..1 << 20].to_owned();
    let lines = plain.replace(". ", ".\n");
    println!(
        "a result of {} bytes, a nested one of {}; best of {rounds} rounds\n",
        to_json(&greeting)?.len(),
        to_json(&report)?.len()
    );
    let mut rows = Vec::new();
    rows.extend(both_ways("params: encode", None, rounds, params_by_serde_json, params_generated, &greeting)?);
    rows.extend(params_read(rounds, &greeting)?);
    rows.extend(rows_of(["result: encode", "result: decode"], None, rounds, &greeting)?);
    rows.extend(foreign(rounds, &greeting)?);
    rows.extend(both_ways(
        "result, no message: encode",
        None,
        rounds,
        serde_json::to_vec,
        |value| Plain.encode(value),
        &greeting,
    )?);
    rows.extend(rows_of(["nested: encode", "nested: decode"], None, rounds, &report)?);
    let two_lines = "What was asked for is not here.\nAsk another node.".to_owned();
    rows.extend(rows_of(["two lines: encode", "two lines: decode"], None, rounds, &two_lines)?);
    rows.extend(rows_of(["1 MiB of ASCII: encode", "1 MiB of ASCII: decode"], Some(plain.len()), rounds, &plain)?);
    rows.extend(rows_of(["1 MiB of lines: encode", "1 MiB of lines: decode"], Some(lines.len()), rounds, &lines)?);
    println!(
        "{}",
        table(&["", "serde_json ns", "generated ns", "times", "GB/s", "GB/s"], &rows.iter().map(shown).collect::<Vec<_>>())
    );
    Ok(())
}

fn greeting() -> Greeting {
    Greeting {
        text: "Hello, Ada Lovelace; the engine weaves algebraical patterns just as the loom weaves flowers and leaves".into(),
        node: "worker-17-eu-west".into(),
        count: 1_234_567,
        tags: ["analytical", "engine", "notes", "translated", "1843"].map(String::from).into(),
    }
}

fn report(greeting: &Greeting) -> Report {
    let part = |index: u32| Part { name: format!("part {index}"), size: index * 1000, ready: index.is_multiple_of(2) };
    Report {
        from: greeting.clone(),
        load: [0.25, 1.5, 12.75],
        state: State::Failed { code: -5, reason: "out of cards".into() },
        parts: (0..12).map(part).collect(),
        note: None,
    }
}

/// Encoding and decoding one value both ways.
fn rows_of<T>(names: [&'static str; 2], bytes: Option<usize>, rounds: usize, value: &T) -> Result<Vec<Row>>
where
    T: Message + DeserializeOwned + Serialize + PartialEq,
{
    let json = to_json(value)?;
    let mut rows = Vec::new();
    rows.extend(both_ways(names[0], bytes, rounds, |value| serde_json::to_vec(value), |value| to_json(value), value)?);
    rows.extend(both_ways(
        names[1],
        bytes,
        rounds,
        |json| serde_json::from_slice::<T>(json),
        |json| from_json::<T>(json),
        &json,
    )?);
    Ok(rows)
}

/// The same result with its keys in another order: what falling back costs.
fn foreign(rounds: usize, greeting: &Greeting) -> Result<Vec<Row>> {
    let json = serde_json::to_vec(&serde_json::json!({
        "tags": greeting.tags, "text": greeting.text, "node": greeting.node, "count": greeting.count
    }))?;
    both_ways(
        "result: decode, foreign order",
        None,
        rounds,
        |json: &Vec<u8>| serde_json::from_slice::<Greeting>(json),
        |json| from_json(json),
        &json,
    )
}

fn params_generated(greeting: &Greeting) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    let mut object = ObjectWriter::new(&mut out);
    object.field::<String>(Generated, ",\"name\":", &greeting.node)?;
    object.field::<u64>(Generated, ",\"times\":", &greeting.count)?;
    object.field::<Option<String>>(Generated, ",\"title\":", &None)?;
    object.end();
    Ok(out)
}

fn params_by_serde_json(greeting: &Greeting) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        name: &'a str,
        times: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    }
    serde_json::to_vec(&Borrowed { name: &greeting.node, times: greeting.count, title: None })
}

/// Params as generated code reads them: straight, and as it falls back to slots.
fn params_read(rounds: usize, greeting: &Greeting) -> Result<Vec<Row>> {
    const NAMES: &[ParamSpec] = &[
        ParamSpec { name: std::borrow::Cow::Borrowed("name") },
        ParamSpec { name: std::borrow::Cow::Borrowed("times") },
        ParamSpec { name: std::borrow::Cow::Borrowed("title") },
    ];
    type Values = (String, u64, Option<String>);
    /// What a program reads that has a struct for them.
    #[derive(Deserialize)]
    struct Owned {
        name: String,
        times: u64,
        title: Option<String>,
    }
    let json = String::from_utf8(params_generated(greeting)?)?;
    let by_struct = |json: &String| {
        serde_json::from_slice::<Owned>(json.as_bytes()).map(|Owned { name, times, title }| -> Values { (name, times, title) })
    };
    let split = |json: &String| -> std::result::Result<Values, p2p_client::service::ParamError> {
        let mut slots = Params::new(Some(json)).split(NAMES)?;
        Ok((slots.take(0)?, slots.take(1)?, slots.take(2)?))
    };
    let straight = |json: &String| {
        Params::new(Some(json)).straight(|params| {
            Some((
                params.take::<String>(Generated, ",\"name\":")?,
                params.take::<u64>(Generated, ",\"times\":")?,
                params.take::<Option<String>>(Generated, ",\"title\":")?,
            ))
        })
    };
    // As generated code asks for them: straight where that can be, else from slots.
    let forms = || (NoDefault(Generated, ",\"name\":"), NoDefault(Generated, ",\"times\":"), NoDefault(Generated, ",\"title\":"));
    let dispatched = |json: &String| -> std::result::Result<Values, RpcError> { forms().read(Params::new(Some(json)), NAMES) };
    // As a program writes them that is no proxy: what falling back costs, beside what was tried before.
    let foreign = format!("{{\"times\":{},\"name\":{}}}", greeting.count, serde_json::to_string(&greeting.node)?);
    let mut rows = both_ways("params: decode", None, rounds, by_struct, |json| straight(json).ok_or("not read straight"), &json)?;
    rows.extend(both_ways("params: decode, dispatched", None, rounds, by_struct, dispatched, &json)?);
    rows.extend(both_ways("params: decode, in slots", None, rounds, by_struct, split, &json)?);
    rows.extend(both_ways("params: decode, foreign order", None, rounds, by_struct, dispatched, &foreign)?);
    Ok(rows)
}

/// Times two ways to the same end, in turn.
fn both_ways<I, O: PartialEq, E: Into<Box<dyn Error>>, F: Into<Box<dyn Error>>>(
    name: &'static str,
    bytes: Option<usize>,
    rounds: usize,
    serde_json: impl Fn(&I) -> std::result::Result<O, E>,
    generated: impl Fn(&I) -> std::result::Result<O, F>,
    input: &I,
) -> Result<Vec<Row>> {
    if serde_json(input).map_err(Into::into)? != generated(input).map_err(Into::into)? {
        return Err(format!("{name}: the two ways differ").into());
    }
    let calls = calls_of_a_round(|| drop(black_box(serde_json(black_box(input)))));
    let mut row = Row { name, bytes, serde_json: Vec::new(), generated: Vec::new() };
    for _ in 0..rounds {
        row.serde_json.push(nanos(calls, || drop(black_box(serde_json(black_box(input))))));
        row.generated.push(nanos(calls, || drop(black_box(generated(black_box(input))))));
    }
    Ok(vec![row])
}

/// So many calls that a round takes some half a millisecond.
fn calls_of_a_round(call: impl Fn()) -> u32 {
    // The first calls are slower than all that follow.
    (0..100).for_each(|_| call());
    let (mut calls, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_micros(500) {
        call();
        calls += 1;
    }
    calls.max(1)
}

fn nanos(calls: u32, call: impl Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..calls {
        call();
    }
    began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
}

fn shown(row: &Row) -> Vec<String> {
    let best = |nanos: &[f64]| nanos.iter().copied().fold(f64::INFINITY, f64::min);
    let (serde_json, generated) = (best(&row.serde_json), best(&row.generated));
    let rate = |nanos: f64| match row.bytes.and_then(|bytes| u32::try_from(bytes).ok()) {
        Some(bytes) => format!("{:.1}", f64::from(bytes) / nanos),
        None => String::new(),
    };
    vec![
        row.name.to_owned(),
        format!("{serde_json:.0}"),
        format!("{generated:.0}"),
        format!("{:.1}×", serde_json / generated),
        rate(serde_json),
        rate(generated),
    ]
}
