//! Constant pieces of JSON.

use std::fmt::Write as _;

/// A name as a JSON string, with its quotes, escaped as serde_json does it.
pub(super) fn escaped(name: &str) -> String {
    let mut json = String::from("\"");
    for c in name.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\u{c}' => json.push_str("\\f"),
            '\r' => json.push_str("\\r"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            plain => json.push(plain),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_escaped_where_json_asks_for_it_and_only_there() {
        assert_eq!(escaped("na\"me"), r#""na\"me""#);
        assert_eq!(escaped("\u{1}\n\\/\u{7f}ä"), "\"\\u0001\\n\\\\/\u{7f}ä\"");
    }
}
