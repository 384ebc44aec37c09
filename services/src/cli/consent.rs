//! Asks whoever sits at the terminal whether something is to be done.

use std::io::{self, BufRead, IsTerminal, Write};

use super::error::CliError;

/// Whether whoever sits there types yes to this question. Where nobody sits, nobody has agreed.
///
/// # Errors
/// The terminal cannot be read.
pub(super) fn given(question: &str) -> Result<bool, CliError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    let _ = write!(io::stderr(), "{question} Type yes to do it: ");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| CliError::Unreadable { what: "the answer from the terminal".to_owned(), source })?;
    Ok(answer.trim() == "yes")
}
