//! Does a reader of one version take what a writer of another gives?

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use serde_json::Value;

use crate::protocol::{
    ServiceDescriptor,
    shape::{Field, Rules, Shape, whole},
};

use super::Effect;

/// How deep types are followed. Those that hold themselves end earlier, where both come to what was compared already.
const MAX_DEPTH: usize = 256;
/// How many comparisons are made in all. Variants that look alike are compared each with each, at each level again.
const MAX_STEPS: usize = 10_000;

/// A difference, and what it is of as a path: `.address.port: …`.
pub(super) type Found = (Effect, String);

/// What is read and what is written, where at least one of them has a name.
type Asked = BTreeSet<Rc<(Shape, Shape)>>;

/// Compares what is read with what is written.
pub(super) struct Reading<'a> {
    reader: &'a BTreeMap<String, Value>,
    writer: &'a BTreeMap<String, Value>,
    /// Pairs that are being compared, or were: what they hold of themselves is no new question.
    asked: Asked,
    steps_left: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(reader: &'a ServiceDescriptor, writer: &'a ServiceDescriptor) -> Self {
        Self { reader: &reader.definitions, writer: &writer.definitions, asked: Asked::new(), steps_left: MAX_STEPS }
    }

    /// What of the JSON that `writer` describes is not as `reader` describes it.
    pub(super) fn differences(self, reader: &Value, writer: &Value) -> Vec<Found> {
        self.between(&Shape::of(reader), &Shape::of(writer))
    }

    /// The same, of shapes.
    pub(super) fn between(mut self, reader: &Shape, writer: &Shape) -> Vec<Found> {
        self.compare(reader, writer, "", MAX_DEPTH)
    }

    fn compare(&mut self, reader: &Shape, writer: &Shape, path: &str, depth: usize) -> Vec<Found> {
        if depth == 0 || self.steps_left == 0 {
            return vec![(Effect::Unclear, format!("{path}: its types hold too many others to be compared"))];
        }
        let depth = depth - 1;
        self.steps_left -= 1;
        match (reader, writer) {
            (Shape::Named(_), _) | (_, Shape::Named(_)) => {
                let pair = Rc::new((behind(self.reader, reader).into_owned(), behind(self.writer, writer).into_owned()));
                if !self.asked.insert(pair.clone()) {
                    return Vec::new();
                }
                self.compare(&pair.0, &pair.1, path, depth)
            }
            (Shape::Any, _) | (_, Shape::Never) => Vec::new(),
            (Shape::Opaque(reads), Shape::Opaque(gives)) if reads == gives => Vec::new(),
            (Shape::Opaque(_), _) | (_, Shape::Opaque(_)) => {
                vec![(Effect::Unclear, format!("{path}: its schema changed in a way that cannot be compared"))]
            }
            (_, Shape::OneOf(given)) => given.iter().flat_map(|one| self.compare(reader, one, path, depth)).collect(),
            (Shape::OneOf(taken), _) => self.nearest(taken, writer, path, depth),
            (Shape::List { items: reads, rules }, Shape::List { items: gives, rules: kept }) => {
                let mut found = self.compare(reads, gives, &format!("{path}[]"), depth);
                found.extend(unruled(rules, kept, path));
                found
            }
            (Shape::List { items, .. }, Shape::Tuple(places)) => {
                places.iter().flat_map(|place| self.compare(items, place, &format!("{path}[]"), depth)).collect()
            }
            (Shape::Tuple(reads), Shape::Tuple(gives)) if reads.len() == gives.len() => {
                let pairs = reads.iter().zip(gives).enumerate();
                pairs.flat_map(|(at, (reads, gives))| self.compare(reads, gives, &format!("{path}[{at}]"), depth)).collect()
            }
            (Shape::Object { .. }, Shape::Object { .. }) => self.objects(reader, writer, path, depth),
            _ => plain(reader, writer, path).into_iter().collect(),
        }
    }

    /// Of several shapes that are read, the one that comes nearest to what is written.
    fn nearest(&mut self, taken: &[Shape], writer: &Shape, path: &str, depth: usize) -> Vec<Found> {
        let mut likely: Vec<_> = taken.iter().filter(|one| may_be(&behind(self.reader, one), writer)).collect();
        // Where it can be none, it is told as a whole, unless there is only one that it could have been meant for.
        let with_parts: Vec<_> = taken.iter().filter(|shape| !matches!(shape, Shape::Null | Shape::Literal(_))).collect();
        if likely.is_empty() {
            likely = with_parts;
        }
        let told_as_whole = || vec![(Effect::Breaking, format!("{path}: {} is given, and not known", writer.called()))];
        match likely[..] {
            [] => told_as_whole(),
            [one] => self.compare(one, writer, path, depth),
            _ => {
                let found = self.best_of(&likely, writer, path, depth);
                if worst(&found) == Effect::Breaking { told_as_whole() } else { found }
            }
        }
    }

    /// The differences from the shape that differs least. What was compared for the others only is as if it had not been.
    fn best_of(&mut self, shapes: &[&Shape], writer: &Shape, path: &str, depth: usize) -> Vec<Found> {
        let before = self.asked.clone();
        let mut best: Option<(Vec<Found>, Asked)> = None;
        for one in shapes {
            self.asked.clone_from(&before);
            let found = self.compare(one, writer, path, depth);
            let weight = |found: &Vec<Found>| (worst(found), found.len());
            if found.is_empty() {
                return found;
            }
            if best.as_ref().is_none_or(|(best, _)| weight(&found) < weight(best)) {
                best = Some((found, self.asked.clone()));
            }
        }
        let (found, asked) = best.unwrap_or((Vec::new(), before));
        self.asked = asked;
        found
    }

    fn objects(&mut self, reader: &Shape, writer: &Shape, path: &str, depth: usize) -> Vec<Found> {
        let (
            Shape::Object { fields: reads, others: reads_others, rules },
            Shape::Object { fields: gives, others: gives_others, rules: kept },
        ) = (reader, writer)
        else {
            return Vec::new();
        };
        let mut found: Vec<_> = unruled(rules, kept, path).into_iter().collect();
        for (name, field) in reads {
            match gives.get(name) {
                Some(other) => {
                    found.extend(self.compare(&field.shape, &other.shape, &format!("{path}.{name}"), depth));
                    if field.required && !other.required {
                        found.push((
                            Effect::Unclear,
                            format!("{path}.{name}: it is required, and may be left out where it is given"),
                        ));
                    }
                }
                None => found.push(missing(name, field, path)),
            }
        }
        for (name, field) in gives.iter().filter(|(name, _)| !reads.contains_key(*name)) {
            found.push(match reads_others.as_ref() {
                Shape::Never => {
                    (Effect::Breaking, format!("{path}.{name}: the field is given, and refused where it is not known"))
                }
                Shape::Any => {
                    (Effect::Compatible, format!("{path}.{name}: the field is given, and not looked at by who does not know it"))
                }
                kind => {
                    found.extend(self.compare(kind, &field.shape, &format!("{path}.{name}"), depth));
                    continue;
                }
            });
        }
        // Fields of a struct that the schema does not name are never given; the values of a map are, whatever they are.
        let is_map = gives.is_empty() && !matches!(**reads_others, Shape::Never);
        if !matches!(**gives_others, Shape::Never) && (is_map || !matches!(**gives_others, Shape::Any)) {
            found.extend(self.compare(reads_others, gives_others, &format!("{path}.*"), depth));
        }
        found
    }
}

/// Whether a value of one shape could be one of the other, by what they are and by what tells variants apart: tags, and fields that
/// only one of them has. It keeps nested enums from being compared each with each.
fn may_be(reader: &Shape, writer: &Shape) -> bool {
    match (reader, writer) {
        (Shape::Object { fields: reads, .. }, Shape::Object { fields: gives, .. }) => {
            reads.iter().all(|(name, field)| match (&field.shape, gives.get(name).map(|other| &other.shape)) {
                (Shape::Literal(a), Some(Shape::Literal(b))) => a == b,
                (_, None) => !field.required,
                _ => true,
            })
        }
        (Shape::Any | Shape::OneOf(_) | Shape::Named(_) | Shape::Opaque(_), _)
        | (_, Shape::Any | Shape::Named(_) | Shape::OneOf(_) | Shape::Opaque(_))
        | (Shape::Number(_), Shape::Integer { .. })
        | (Shape::List { .. }, Shape::Tuple(_)) => true,
        (Shape::Literal(a), Shape::Literal(b)) => a == b,
        (reader, Shape::Literal(json)) => takes_literal(reader, json),
        (reader, writer) => std::mem::discriminant(reader) == std::mem::discriminant(writer),
    }
}

/// A shape, behind its name if it has one.
fn behind<'s>(definitions: &BTreeMap<String, Value>, shape: &'s Shape) -> Cow<'s, Shape> {
    match shape {
        Shape::Named(name) => Cow::Owned(definitions.get(name).map_or_else(|| Shape::Opaque(format!("{name:?}")), Shape::of)),
        plain => Cow::Borrowed(plain),
    }
}

/// What the worst of these differences does.
pub(super) fn worst(found: &[Found]) -> Effect {
    found.iter().map(|(effect, _)| *effect).max().unwrap_or(Effect::Compatible)
}

fn missing(name: &str, field: &Field, path: &str) -> Found {
    if field.required {
        (Effect::Breaking, format!("{path}.{name}: the field is required, and not given"))
    } else {
        (Effect::Compatible, format!("{path}.{name}: the field may be left out, and is not given"))
    }
}

/// Rules of the reader that the writer does not keep to.
fn unruled(reader: &Rules, writer: &Rules, path: &str) -> Option<Found> {
    let differing: Vec<_> =
        reader.iter().filter(|(name, value)| writer.get(*name) != Some(value)).map(|(name, _)| name.as_str()).collect();
    let text = || format!("{path}: {} is asked for where it is read, and not kept to where it is given", differing.join(", "));
    (!differing.is_empty()).then(|| (Effect::Unclear, text()))
}

/// Shapes without parts.
fn plain(reader: &Shape, writer: &Shape, path: &str) -> Option<Found> {
    let differs =
        || Some((Effect::Breaking, format!("{path}: {} is given where {} is expected", writer.called(), reader.called())));
    match (reader, writer) {
        (Shape::Null, Shape::Null) | (Shape::Boolean, Shape::Boolean) => None,
        (Shape::Number(rules), Shape::Number(given) | Shape::Integer { rules: given, .. })
        | (Shape::Text(rules), Shape::Text(given)) => unruled(rules, given, path),
        (Shape::Integer { least, most, rules }, Shape::Integer { least: given_least, most: given_most, rules: given }) => {
            let reaches_down = least.is_none_or(|least| given_least.is_some_and(|given| given >= least));
            let reaches_up = most.is_none_or(|most| given_most.is_some_and(|given| given <= most));
            if reaches_down && reaches_up { unruled(rules, given, path) } else { differs() }
        }
        (Shape::Literal(a), Shape::Literal(b)) if a == b => None,
        (_, Shape::Literal(json)) if takes_literal(reader, json) => None,
        _ => differs(),
    }
}

fn takes_literal(reader: &Shape, json: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(json) else { return false };
    match reader {
        Shape::Text(rules) => value.is_string() && rules.is_empty(),
        Shape::Boolean => value.is_boolean(),
        Shape::Number(rules) => value.is_number() && rules.is_empty(),
        Shape::Integer { least, most, rules } => {
            let fits = |number: i128| least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
            rules.is_empty() && whole(&value).is_some_and(fits)
        }
        _ => false,
    }
}
