//! Shapes as text: what fingerprints are hashes of.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use super::{Field, Rules, Shape};

/// Writes shapes as a text that is the same for the same shapes. Definitions are numbered as they are first reached: what a
/// type is called does not travel, and so does not count.
pub(in super::super) struct Canonical<'a> {
    definitions: &'a BTreeMap<String, Value>,
    numbers: BTreeMap<String, usize>,
    pub(in super::super) text: String,
}

impl<'a> Canonical<'a> {
    pub(in super::super) fn new(definitions: &'a BTreeMap<String, Value>, text: String) -> Self {
        Self { definitions, numbers: BTreeMap::new(), text }
    }

    /// Writes the shape of a schema.
    pub(in super::super) fn schema(&mut self, schema: &Value) {
        self.shape(&Shape::of(schema));
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Any => self.text.push_str("any"),
            Shape::Never => self.text.push_str("never"),
            Shape::Null => self.text.push_str("null"),
            Shape::Boolean => self.text.push_str("boolean"),
            Shape::Number(rules) => self.ruled("number", rules),
            Shape::Text(rules) => self.ruled("text", rules),
            Shape::Integer { least, most, rules } => {
                let bound = |bound: &Option<i128>| bound.map(|number| number.to_string()).unwrap_or_default();
                self.ruled(&format!("integer {}..{}", bound(least), bound(most)), rules);
            }
            Shape::Literal(json) => self.text.push_str(json),
            Shape::Opaque(json) => {
                let _ = write!(self.text, "?{json}");
            }
            Shape::List { items, rules } => {
                self.ruled("list", rules);
                self.between('[', std::slice::from_ref(items.as_ref()), ']');
            }
            Shape::Tuple(places) => self.between('(', places, ')'),
            Shape::OneOf(choices) => self.between('<', choices, '>'),
            Shape::Object { fields, others, rules } => self.object(fields, others, rules),
            Shape::Named(name) => self.named(name),
        }
    }

    fn ruled(&mut self, kind: &str, rules: &Rules) {
        self.text.push_str(kind);
        for (name, value) in rules {
            let _ = write!(self.text, " {name}={value}");
        }
    }

    fn between(&mut self, open: char, shapes: &[Shape], close: char) {
        self.text.push(open);
        for shape in shapes {
            self.shape(shape);
            self.text.push(',');
        }
        self.text.push(close);
    }

    fn object(&mut self, fields: &BTreeMap<String, Field>, others: &Shape, rules: &Rules) {
        self.ruled("object", rules);
        self.text.push('{');
        for (name, field) in fields {
            let _ = write!(self.text, "{name:?}{}:", if field.required { "" } else { "?" });
            self.shape(&field.shape);
            self.text.push(',');
        }
        self.text.push_str("..");
        self.shape(others);
        self.text.push('}');
    }

    fn named(&mut self, name: &str) {
        if let Some(number) = self.numbers.get(name) {
            let _ = write!(self.text, "#{number}");
            return;
        }
        let shape = self.definitions.get(name).map_or_else(|| Shape::Opaque(format!("{name:?}")), Shape::of);
        // What has no parts is the same whether or not it has a name.
        if !matches!(shape, Shape::Object { .. } | Shape::OneOf(_) | Shape::List { .. } | Shape::Tuple(_) | Shape::Named(_)) {
            return self.shape(&shape);
        }
        let number = self.numbers.len();
        self.numbers.insert(name.to_owned(), number);
        let _ = write!(self.text, "#{number}=");
        self.shape(&shape);
    }
}
