//! The calls that are measured: their values, and the work of their server. They are the same in every design.
//!
//! A caller numbers its calls; the number is the request's `id`, from [`FIRST_ID`] upwards, so that the JSON of each call has the
//! same length. Servers make each answer from its request. A caller looks at the answer's `id` and extent each time; whether
//! the whole answer is right is checked once for each connection, before anything is measured.

use anyhow::{Result, ensure};
use p2p_services::Message;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The first call's number: all that follow have as many digits.
pub(crate) const FIRST_ID: u64 = 1_000_000_000;
/// Bytes of the JSON of an [`EchoReply`].
pub(crate) const ECHO_REPLY_BYTES: usize = 243;
/// Bytes of the JSON of a [`ReportReply`].
pub(crate) const REPORT_REPLY_BYTES: usize = 1024;
/// Rows of the report that is asked for.
const REPORT_ROWS: u32 = 6;

/// Declares a message with all that the designs need of one. This is the one place to give the messages a further derive.
macro_rules! messages {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Message)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type),*
        }
    )*};
}

messages! {
    /// The small call.
    EchoRequest { id: u64, user: String, path: String, fields: Vec<u32> }

    /// What answers it.
    EchoReply {
        id: u64,
        user: String,
        path: String,
        title: String,
        text: String,
        fields: Vec<u32>,
        revision: u32,
        size: u64,
        shared: bool,
    }

    /// [`EchoRequest`] with its keys in another order: for a codec that expects its own order, this one is foreign.
    TurnedRequest { fields: Vec<u32>, path: String, user: String, id: u64 }

    /// [`EchoReply`] with its keys in another order.
    TurnedReply {
        shared: bool,
        size: u64,
        revision: u32,
        fields: Vec<u32>,
        text: String,
        title: String,
        path: String,
        user: String,
        id: u64,
    }

    /// Asks for a page so large that the JSON of the answer has this many bytes.
    PageRequest { id: u64, bytes: u32 }

    /// A page.
    PageReply { id: u64, bytes: u32, text: String }

    /// Asks for a report.
    ReportRequest { id: u64, user: String, rows: u32 }

    /// Messages within messages.
    ReportReply { id: u64, owner: Person, rows: Vec<Row>, summary: String }

    /// Whose report it is.
    Person { name: String, mail: String, age: u32 }

    /// A line of a report.
    Row { name: String, amount: f64, tags: Vec<String>, note: Option<String> }
}

impl EchoRequest {
    /// The call with this number.
    pub(crate) fn new(id: u64) -> Self {
        Self { id, user: "ada.lovelace".to_owned(), path: "/notes/engine".to_owned(), fields: vec![1, 2, 3, 5] }
    }
}

impl PageRequest {
    /// The call with this number, for a page of this many bytes of JSON.
    pub(crate) fn new(id: u64, bytes: u32) -> Self {
        Self { id, bytes }
    }
}

impl ReportRequest {
    /// The call with this number.
    pub(crate) fn new(id: u64) -> Self {
        Self { id, user: "ada.lovelace".to_owned(), rows: REPORT_ROWS }
    }
}

/// The server's work for the small call.
pub(crate) fn echo(request: EchoRequest) -> EchoReply {
    let EchoRequest { id, user, path, fields } = request;
    let size = fields.iter().map(|&field| u64::from(field)).sum::<u64>() * 100;
    let title = format!("Note {id} of {user}");
    let text = format!("The engine has no pretensions to originate anything; read {path}");
    EchoReply {
        id,
        title,
        text,
        revision: u32::try_from(fields.len()).unwrap_or(u32::MAX),
        size,
        shared: size > 0,
        user,
        path,
        fields,
    }
}

/// The server's work for a large body.
pub(crate) fn page(request: &PageRequest) -> PageReply {
    let &PageRequest { id, bytes } = request;
    let frame = r#"{"id":,"bytes":,"text":""}"#.len() + digits(id) + digits(u64::from(bytes));
    let length = (bytes as usize).saturating_sub(frame);
    let line = format!("{id} the quick brown fox jumps over the lazy dog; ");
    let mut text = line.repeat(length.div_ceil(line.len()));
    text.truncate(length);
    PageReply { id, bytes, text }
}

/// The server's work for a nested body.
pub(crate) fn report(request: ReportRequest) -> ReportReply {
    let ReportRequest { id, user, rows } = request;
    let rows = (0..rows).map(|number| row(number, &user)).collect();
    let owner = Person { mail: format!("{user}@example.org"), name: user, age: 36 };
    let summary = format!(
        "Report {id}: the rows above are made from the request, one by one, so that each answer costs its server what a small \
         report costs. {REPORT_PADDING}"
    );
    ReportReply { id, owner, rows, summary }
}

/// Brings the report's JSON to [`REPORT_REPLY_BYTES`].
const REPORT_PADDING: &str = "It is as long as it is so that all of it comes to a round number of bytes, which makes its \
    figures easy to set beside those of bodies of other sizes, whether they are smaller or larger.";

fn row(number: u32, user: &str) -> Row {
    let note = number.is_multiple_of(2).then(|| format!("for {user}, in row {number}"));
    let tags = vec![format!("tag-{number}"), "engine".to_owned(), "notes".to_owned()];
    Row { name: format!("row number {number}"), amount: f64::from(number) * 1000.25 + 0.5, tags, note }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Looks whether an answer to the small call belongs to it and is whole.
pub(crate) fn check_echo(id: u64, answered: u64, text: &str) -> Result<()> {
    ensure!(
        answered == id && !text.is_empty(),
        "call {id} got the answer to call {answered}, or an empty one; the design mixes up its calls"
    );
    Ok(())
}

/// Looks whether a page belongs to its call and is whole.
pub(crate) fn check_page(request: &PageRequest, answered: u64, text: &str) -> Result<()> {
    let PageRequest { id, bytes } = request;
    ensure!(
        answered == *id && text.len() + 64 > *bytes as usize,
        "call {id} for {bytes} bytes got the answer to call {answered}, with {} bytes; the design mixes up or cuts its answers",
        text.len()
    );
    Ok(())
}

/// Looks whether a report belongs to its call and is whole.
pub(crate) fn check_report(id: u64, answered: u64, rows: usize) -> Result<()> {
    ensure!(
        answered == id && rows == REPORT_ROWS as usize,
        "call {id} for {REPORT_ROWS} rows got the answer to call {answered}, with {rows}; the design mixes up or cuts its answers"
    );
    Ok(())
}

impl From<TurnedRequest> for EchoRequest {
    fn from(request: TurnedRequest) -> Self {
        let TurnedRequest { fields, path, user, id } = request;
        Self { id, user, path, fields }
    }
}

impl From<EchoRequest> for TurnedRequest {
    fn from(request: EchoRequest) -> Self {
        let EchoRequest { id, user, path, fields } = request;
        Self { fields, path, user, id }
    }
}

impl From<EchoReply> for TurnedReply {
    fn from(reply: EchoReply) -> Self {
        let EchoReply { id, user, path, title, text, fields, revision, size, shared } = reply;
        Self { shared, size, revision, fields, text, title, path, user, id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO_REQUEST_BYTES: usize = 81;

    fn json_bytes(value: &impl Serialize) -> usize {
        serde_json::to_vec(value).unwrap().len()
    }

    #[test]
    fn the_small_call_has_the_sizes_that_the_specification_names() {
        for id in [FIRST_ID, FIRST_ID + 8_999_999_999] {
            let request = EchoRequest::new(id);
            assert_eq!(json_bytes(&request), ECHO_REQUEST_BYTES);
            assert_eq!(json_bytes(&echo(request)), ECHO_REPLY_BYTES);
        }
    }

    #[test]
    fn a_page_has_exactly_the_bytes_that_were_asked_for() {
        for bytes in [64, 1000, 65_536, 1 << 20] {
            assert_eq!(json_bytes(&page(&PageRequest::new(FIRST_ID, bytes))), bytes as usize);
        }
    }

    #[test]
    fn the_report_has_exactly_a_kibibyte() {
        assert_eq!(json_bytes(&report(ReportRequest::new(FIRST_ID))), REPORT_REPLY_BYTES);
    }

    #[test]
    fn the_turned_messages_carry_the_same_values_in_reverse_order() {
        let request = EchoRequest::new(FIRST_ID);
        let turned = TurnedReply::from(echo(TurnedRequest::from(request.clone()).into()));
        let text = serde_json::to_string(&turned).unwrap();
        assert!(text.starts_with(r#"{"shared":"#), "{text}");
        assert_eq!(serde_json::from_str::<EchoReply>(&text).unwrap(), echo(request));
    }

    #[test]
    fn an_answer_to_another_call_is_refused() {
        assert!(check_echo(FIRST_ID, FIRST_ID + 1, "text").is_err());
        assert!(check_echo(FIRST_ID, FIRST_ID, "").is_err());
        assert!(check_page(&PageRequest::new(FIRST_ID, 1 << 16), FIRST_ID, "short").is_err());
        assert!(check_report(FIRST_ID, FIRST_ID, 0).is_err());
    }
}
