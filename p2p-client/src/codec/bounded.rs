//! How deep a value may be nested when it is written: a method may return what nests without bound, and the stack is not without one.
//!
//! serde_json reads no deeper than this, so that nobody could read what is deeper. serde_json writes by a formatter that counts; the
//! code of [`Message`](super::Message)s counts lists, maps and boxes, which every type that can nest in itself passes through.

use std::{cell::Cell, io};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// The deepest nesting of arrays and objects that is written and read.
pub const MAX_DEPTH: usize = 127;
/// How many lists, maps and boxes of messages may be within each other. Several of them may be one level of the JSON; it is bounded for the stack's sake.
const MAX_WITHIN: usize = 512;

thread_local! {
    /// How many are being written now, within each other.
    static WITHIN: Cell<usize> = const { Cell::new(0) };
}

/// Appends a value's JSON, as serde_json writes it.
///
/// # Errors
/// Those of serde_json; [`is_too_deep`] where it is nested too deep.
pub(crate) fn write_by_serde<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Counting::default()))
}

/// Whether a value was not written because it is nested too deep. (Nothing else fails with an error of input and output, where all that is written to is memory.)
pub(crate) fn is_too_deep(error: &serde_json::Error) -> bool {
    error.is_io()
}

/// Drops a result or an item that was not written, and says why, for its caller.
pub(crate) fn unwritten<T: Send + 'static>(what: &str, value: T, error: &serde_json::Error) -> String {
    if is_too_deep(error) {
        drop_deep(value);
        format!("{what} is nested deeper than {MAX_DEPTH} levels, and is not passed on; have the method return less depth")
    } else {
        format!("{what} does not serialise: {error}")
    }
}

/// Drops what is nested too deep to be written. That takes as much stack as to write it, as a rule: it gets a thread that has a lot. Where there is none, it is not
/// dropped, which is better than the end of the whole process.
pub(crate) fn drop_deep<T: Send + 'static>(value: T) {
    const STACK: usize = 256 * 1024 * 1024;
    let value = std::mem::ManuallyDrop::new(value);
    let dropped = std::thread::Builder::new()
        .name("p2p-drop".to_owned())
        .stack_size(STACK)
        .spawn(move || drop(std::mem::ManuallyDrop::into_inner(value)));
    if let Err(error) = dropped {
        tracing::error!(%error, "what a method returned is nested too deep to be sent, and its memory is lost: no thread could be made to drop it");
    }
}

/// Writes a part of a message that may hold more of its own type, if that is not too deep.
#[inline]
pub(super) fn within(write: impl FnOnce() -> serde_json::Result<()>) -> serde_json::Result<()> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            WITHIN.set(WITHIN.get() - 1);
        }
    }

    let depth = WITHIN.get();
    if depth >= MAX_WITHIN {
        return Err(serde_json::Error::io(too_deep()));
    }
    WITHIN.set(depth + 1);
    let _leave = Leave;
    write()
}

#[cold]
fn too_deep() -> io::Error {
    io::Error::other(format!("it is nested deeper than {MAX_DEPTH} levels"))
}

/// Counts the levels, and writes what serde_json writes of its own.
#[derive(Default)]
struct Counting {
    levels: usize,
}

impl Counting {
    fn enter<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: u8) -> io::Result<()> {
        self.levels += 1;
        if self.levels > MAX_DEPTH {
            return Err(too_deep());
        }
        writer.write_all(&[bracket])
    }

    fn leave<W: ?Sized + io::Write>(&mut self, writer: &mut W, bracket: u8) -> io::Result<()> {
        self.levels -= 1;
        writer.write_all(&[bracket])
    }
}

impl Formatter for Counting {
    #[inline]
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter(writer, b'[')
    }

    #[inline]
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave(writer, b']')
    }

    #[inline]
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.enter(writer, b'{')
    }

    #[inline]
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.leave(writer, b'}')
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::Value;

    use super::*;
    use crate::{
        Message,
        codec::{from_json, to_json},
    };

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, level| {
            if level % 2 == 0 { Value::Array(vec![inner]) } else { [("in".to_owned(), inner)].into_iter().collect() }
        })
    }

    fn written(value: &Value) -> serde_json::Result<Vec<u8>> {
        let mut out = Vec::new();
        write_by_serde(value, &mut out).map(|()| out)
    }

    #[test]
    fn what_serde_json_reads_is_written_as_it_writes_it_and_what_it_does_not_read_is_refused() {
        let deepest = nested(MAX_DEPTH);
        assert_eq!(written(&deepest).unwrap(), serde_json::to_vec(&deepest).unwrap());
        assert_eq!(serde_json::from_slice::<Value>(&written(&deepest).unwrap()).unwrap(), deepest);
        let side_by_side = Value::Array(vec![nested(100); 5]);
        assert_eq!(written(&side_by_side).unwrap(), serde_json::to_vec(&side_by_side).unwrap());
        let error = written(&nested(MAX_DEPTH + 1)).unwrap_err();
        assert!(is_too_deep(&error), "{error}");
        let json = serde_json::to_vec(&nested(MAX_DEPTH + 1)).unwrap();
        serde_json::from_slice::<Value>(&json).unwrap_err();
        assert_eq!(
            unwritten("the result", Value::Null, &error),
            "the result is nested deeper than 127 levels, and is not passed on; have the method return less depth"
        );
    }

    #[test]
    fn a_value_of_a_hundred_thousand_levels_is_refused_and_dropped_without_taking_this_threads_stack() {
        let deep = nested(100_000);
        assert!(is_too_deep(&written(&deep).unwrap_err()));
        drop_deep(deep);
    }

    #[derive(Debug, Serialize, Deserialize, Message)]
    struct Tree {
        children: Vec<Tree>,
        next: Option<Box<Tree>>,
    }

    #[test]
    fn a_message_that_holds_its_own_type_is_written_as_deep_as_it_is_read_and_no_deeper_than_the_stack() {
        let tree = |children: Vec<Tree>, next: Option<Tree>| Tree { children, next: next.map(Box::new) };
        let lists = |levels: usize| (0..levels).fold(tree(Vec::new(), None), |inner, _| tree(vec![inner], None));
        let boxes = |levels: usize| (0..levels).fold(tree(Vec::new(), None), |inner, _| tree(Vec::new(), Some(inner)));
        for fits in [lists(62), boxes(125)] {
            let json = to_json(&fits).unwrap();
            assert_eq!(json, serde_json::to_vec(&fits).unwrap());
            from_json::<Tree>(&json).unwrap();
        }
        for deep in [lists(100_000), boxes(100_000)] {
            assert!(is_too_deep(&to_json(&deep).unwrap_err()));
            drop_deep(deep);
        }
        to_json(&lists(62)).unwrap();
    }
}
