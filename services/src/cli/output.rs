//! What is printed: lines, tables and JSON on standard output, errors on standard error.
//!
//! A reader that goes away (`p2p nodes | head -1`) is no error.

use std::{
    fmt::Display,
    io::{self, Write},
};

use comfy_table::{ContentArrangement, Table, presets};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Prints a line, at once.
pub(super) fn line(text: impl AsRef<str>) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_ref().as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints a line of a list without an end, at once.
///
/// # Errors
/// When its reader is gone: then there is nothing left to do.
pub(super) fn next_line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints one JSON value on a line of its own.
pub(super) fn json_line(value: &serde_json::Value) {
    line(value.to_string());
}

/// Prints why the command failed: one line.
pub(super) fn error(text: &str) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(io::stderr().lock(), "error: {text}");
}

/// Rows below a header, in columns. On a terminal it keeps to the width of that.
pub(super) fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(header.to_vec());
    for row in rows {
        table.add_row(row.to_vec());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values, one pair a line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines: Vec<_> = pairs.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

/// Several in one line: `a, b, c`.
pub(super) fn list(items: impl IntoIterator<Item: Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_columns_below_each_other() {
        let shown = table(["NODE", "ROLE"], [["a".to_owned(), "worker".to_owned()], ["long-name".to_owned(), "x".to_owned()]]);
        assert_eq!(shown, "NODE       ROLE\na          worker\nlong-name  x");
    }

    #[test]
    fn a_list_stands_in_one_line() {
        assert_eq!((list([1, 2, 3]), list([1]), list([""; 0])), ("1, 2, 3".to_owned(), "1".to_owned(), String::new()));
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&[("a", "1".to_owned()), ("name", "2".to_owned())]), "a     1\nname  2");
    }
}
