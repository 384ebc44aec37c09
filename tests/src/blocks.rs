//! The fenced code blocks of a Markdown text, so that documents can be executed by tests.

/// One fenced block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// The line of its opening fence, counted from 1.
    pub line: usize,
    /// What follows the opening fence: the language.
    pub language: &'a str,
    /// What stands between the fences.
    pub code: &'a str,
}

/// All fenced blocks of `text`, in order. A block that nobody closes goes on to the end.
///
/// ```
/// let text = "Say:\n```sh\necho hello\n```\n";
/// let blocks = p2p_tests::blocks::of(text);
/// assert_eq!((blocks[0].line, blocks[0].language, blocks[0].code), (2, "sh", "echo hello\n"));
/// ```
pub fn of(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str, usize)> = None;
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if let Some(after) = line.trim().strip_prefix("```") {
            open = match open {
                None => Some((index + 1, after, at + line.len())),
                Some((line, language, start)) => {
                    blocks.push(Block { line, language, code: &text[start..at] });
                    None
                }
            };
        }
        at += line.len();
    }
    blocks.extend(open.map(|(line, language, start)| Block { line, language, code: &text[start..] }));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_with_their_line_and_language() {
        let text = "a\n```rust\nfn main() {}\n```\nb `c` d\n\n```\nx\n\ny\n```\n```sh\nlast";
        let found: Vec<_> = of(text).iter().map(|block| (block.line, block.language, block.code)).collect();
        assert_eq!(found, [(2, "rust", "fn main() {}\n"), (7, "", "x\n\ny\n"), (12, "sh", "last")]);
    }
}
