//! JSON for people to read: indented, and otherwise to the letter as it came. Numbers keep their digits, fields their order.
//! What a terminal would obey is written as an escape, which means the same.

use std::fmt::Write as _;

/// Indents a JSON text.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                out.push('"');
                copy_string(&mut characters, &mut out);
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|next| *next == ' ' || next.is_control()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(close) => out.push(close),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            ' ' => {}
            space if space.is_control() => {}
            other => out.push(other),
        }
    }
    out
}

/// Copies the rest of a string, with the quote that ends it.
fn copy_string(characters: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(c) = characters.next() {
        // JSON escapes the first of these itself; DEL and the second set of controls may stand in it as they are.
        if c.is_control() {
            // Writing to a text cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
            continue;
        }
        out.push(c);
        match c {
            '"' => return,
            '\\' => out.extend(characters.next()),
            _ => {}
        }
    }
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_numbers_their_digits() {
        let text = r#"{"z":1.0,"a":[],"n":{ },"big":123456789012345678901234567890,"l":[1, "x"]}"#;
        let wanted = "{\n  \"z\": 1.0,\n  \"a\": [],\n  \"n\": {},\n  \"big\": 123456789012345678901234567890,\n  \"l\": [\n    1,\n    \"x\"\n  ]\n}";
        assert_eq!(pretty(text), wanted);
    }

    #[test]
    fn strings_are_left_alone() {
        for text in [r#""a, {b}: [\"c\"] \\""#, r#""""#, "null", "-1e5", r#""ä\n ☃""#] {
            assert_eq!(pretty(text), text);
        }
    }

    #[test]
    fn a_control_character_in_a_string_is_escaped_and_not_lost() {
        for text in ["a\u{7f}b", "\u{9b}31mred", "\u{85}"] {
            let json = serde_json::to_string(text).unwrap();
            let shown = pretty(&json);
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
        assert_eq!(pretty("{\n\t\"a\" :\r\n1}"), "{\n  \"a\": 1\n}");
    }

    #[test]
    fn what_is_indented_already_comes_out_the_same() {
        let once = pretty(r#"{"a":[{"b":1},{"c":[2,[]]}],"d":"e"}"#);
        assert_eq!(pretty(&once), once);
    }
}
