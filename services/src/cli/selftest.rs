//! `p2p selftest`: attacks the node that runs in the folder, and shows what it withstood.
//!
//! ```text
//! socket ─> Target: who the node is, where it is reached, what it trusts
//!             └─> checks, side by side: tls, tokens, requests (as an outsider, over the network), folder (as its user) ─> rows ─> table
//! ```
//! The numbers of the checks are those of the project's list of security cases. All of it is harmless to a node that is in use: it asks
//! for fewer than 20 things as a nameless caller, and nothing that it asks for would change anything, were it granted. What of the same kind
//! cannot be tried so has a row that says why.

#[cfg(test)]
mod control;
mod finding;
mod folder;
mod requests;
mod target;
mod tls;
mod tokens;

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde_json::json;

use self::{
    finding::{Finding, Found},
    target::Target,
};
use super::{
    Invocation,
    error::CliError,
    json::pretty,
    output::{self, Format},
    socket::Socket,
};

/// The time for one check: a node closes stalled connections within 35 s.
const CHECK_TIME: Duration = Duration::from_secs(45);

/// Something that is tried.
struct Check<'a> {
    /// Its number in the list of security cases, if it is one of those.
    case: Option<u8>,
    tried: &'static str,
    found: BoxFuture<'a, Found>,
}

impl<'a> Check<'a> {
    fn case(case: u8, tried: &'static str, found: impl Future<Output = Found> + Send + 'a) -> Self {
        Self { case: Some(case), tried, found: Box::pin(found) }
    }

    /// One that is in the list, and that this command does not try. (The project's own tests do.)
    fn left_out(case: u8, what: &'static str, why: &'static str) -> Self {
        Self::case(case, what, std::future::ready(Ok(Finding::LeftOut(why))))
    }

    fn other(tried: &'static str, found: impl Future<Output = Found> + Send + 'a) -> Self {
        Self { case: None, tried, found: Box::pin(found) }
    }

    async fn row(self, within: Duration) -> Row {
        let found = tokio::time::timeout(within, self.found).await;
        let finding = match found {
            Ok(Ok(finding)) => finding,
            Ok(Err(reason)) => reason.into(),
            Err(_) => Finding::Failed(format!("the node took longer than {} s; look at its log", within.as_secs())),
        };
        Row { case: self.case, tried: self.tried, finding }
    }
}

/// What was tried, and what came of it.
struct Row {
    case: Option<u8>,
    tried: &'static str,
    finding: Finding,
}

/// Tries everything.
pub(super) async fn run(invocation: &Invocation) -> Result<(), CliError> {
    let socket = Socket::of(invocation);
    let target = Target::find(&socket).await?;
    let checks = tls::checks(&target)
        .into_iter()
        .chain(tokens::checks(&target))
        .chain(requests::checks(&target))
        .chain(folder::checks(&socket, &invocation.dir))
        .collect();
    let rows = all(checks).await;
    output::line(match invocation.format {
        Format::Json => pretty(&json!(rows.iter().map(as_json).collect::<Vec<_>>()).to_string()),
        Format::Table => output::table(["CASE", "TRIED", "THE NODE", "RESULT"], rows.iter().map(as_cells)),
    });
    judge(&rows, || invocation.command("selftest"))
}

/// What all of it comes to. What was put off is no success: nobody knows what the node would have done.
fn judge(rows: &[Row], again: impl FnOnce() -> String) -> Result<(), CliError> {
    let count = |is_it: fn(&Finding) -> bool| rows.iter().filter(|row| is_it(&row.finding)).count();
    let of = count(|finding| !matches!(finding, Finding::LeftOut(_)));
    let put_off = count(|finding| matches!(finding, Finding::PutOff(_)));
    match count(|finding| matches!(finding, Finding::Failed(_))) {
        0 if put_off == 0 => Ok(()),
        0 => Err(CliError::PutOff { put_off, of, again: again() }),
        failed => Err(CliError::NotWithstood { failed, put_off, of, again: again() }),
    }
}

/// Makes all checks side by side, and gives their rows by their numbers.
async fn all(checks: Vec<Check<'_>>) -> Vec<Row> {
    let of = checks.len();
    let mut running: FuturesUnordered<_> = checks.into_iter().map(|check| check.row(CHECK_TIME)).collect();
    let mut rows = Vec::with_capacity(of);
    show_progress(0, of);
    while let Some(row) = running.next().await {
        rows.push(row);
        show_progress(rows.len(), of);
    }
    rows.sort_by_key(|row| (row.case.is_none(), row.case, row.tried));
    rows
}

/// Says on a terminal how far it is; the line goes when all is done.
fn show_progress(done: usize, of: usize) {
    let mut to = io::stderr().lock();
    if to.is_terminal() {
        let text = if done < of { format!("\r{done} of {of} checks") } else { "\r\x1b[K".to_owned() };
        // Whoever cannot be told has lost nothing.
        let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
    }
}

fn as_json(row: &Row) -> serde_json::Value {
    json!({ "case": row.case, "tried": row.tried, "node": row.finding.text(), "result": row.finding.result().to_lowercase() })
}

fn as_cells(row: &Row) -> [String; 4] {
    let case = row.case.map_or_else(|| "-".to_owned(), |case| case.to_string());
    [case, row.tried.to_owned(), row.finding.text().to_owned(), row.finding.result().to_owned()]
}

#[cfg(test)]
mod tests {
    use super::{finding::NotTried, *};

    fn held() -> impl Future<Output = Found> + Send {
        std::future::ready(Ok(Finding::held("held")))
    }

    #[tokio::test]
    async fn rows_are_in_the_order_of_their_numbers_and_those_without_come_last() {
        let checks = vec![Check::other("b", held()), Check::case(40, "x", held()), Check::case(7, "y", held())];
        let rows = all(checks).await;
        assert_eq!(rows.iter().map(|row| row.case).collect::<Vec<_>>(), [Some(7), Some(40), None]);
    }

    #[tokio::test]
    async fn what_could_not_be_tried_or_does_not_end_has_failed() {
        let unreachable = Check::case(1, "x", async { Err(NotTried::Because("nobody there".to_owned())) });
        assert_eq!(unreachable.row(CHECK_TIME).await.finding, Finding::failed("it could not be tried: nobody there"));
        let endless = Check::case(1, "x", std::future::pending());
        assert_eq!(endless.row(Duration::ZERO).await.finding, Finding::failed("the node took longer than 0 s; look at its log"));
    }

    #[test]
    fn a_row_says_its_result_to_people_and_to_programs() {
        let row = |finding| Row { case: None, tried: "t", finding };
        assert_eq!(as_cells(&row(Finding::failed("let it in"))), ["-", "t", "let it in", "FAILED"]);
        assert_eq!(as_json(&row(Finding::failed("let it in")))["result"], "failed");
        assert_eq!(as_json(&row(Finding::Skipped("n/a".to_owned())))["result"], "skipped");
        assert_eq!(as_cells(&row(Finding::LeftOut("too loud"))), ["-", "t", "too loud", "not tried"]);
        assert_eq!(as_json(&row(NotTried::TooSoon.into()))["result"], "put off");
    }

    #[test]
    fn what_was_put_off_is_told_with_a_status_of_its_own_and_beside_what_has_failed() {
        let rows = |findings: Vec<Finding>| -> Vec<Row> {
            findings.into_iter().map(|finding| Row { case: None, tried: "t", finding }).collect()
        };
        let judged = |findings| judge(&rows(findings), || "p2p selftest".to_owned());
        let skipped = || Finding::Skipped("n/a".to_owned());
        judged(vec![Finding::held("held"), skipped(), Finding::LeftOut("too loud")]).unwrap();
        let put_off = || Finding::from(NotTried::TooSoon);
        let error =
            judged(vec![Finding::held("held"), put_off(), put_off(), skipped(), Finding::LeftOut("too loud")]).unwrap_err();
        assert_eq!(error.status(), 3);
        assert_eq!(
            error.to_string(),
            "2 of 4 not tried: the node puts callers without a name off for now, as the rows marked PUT OFF say; try again in a minute: \
             `p2p selftest`"
        );
        let error = judged(vec![Finding::failed("let it in"), put_off()]).unwrap_err();
        assert_eq!(error.status(), 1);
        assert_eq!(
            error.to_string(),
            "1 of 2 checks failed, and 1 not tried; do what the rows marked FAILED say, then run `p2p selftest`, in a minute at the earliest"
        );
    }
}
