//! The one serialisable description of a service, from which every document is derived.

use std::{borrow::Cow, collections::BTreeMap, fmt, fmt::Write as _};

use aws_lc_rs::digest::{Context, SHA256};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Access,
    shape::{Canonical, exact_json},
};
use crate::hex;

/// What a service is: its methods, their schemas, docs and access.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceDescriptor {
    /// The version of this format: 1.
    pub format: u32,
    /// The service's name on the wire.
    pub name: Cow<'static, str>,
    /// Its semantic version.
    pub version: Cow<'static, str>,
    /// Its doc comment.
    #[serde(default)]
    pub description: Cow<'static, str>,
    /// Its methods, in the order in which they were written.
    pub methods: Vec<MethodDescriptor>,
    /// The named types that the methods' schemas refer to as `#/$defs/NAME`.
    #[serde(rename = "$defs", default)]
    pub definitions: BTreeMap<String, Value>,
}

/// What a method takes and gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodDescriptor {
    /// The method's name on the wire.
    pub name: Cow<'static, str>,
    /// Its doc comment.
    #[serde(default)]
    pub description: Cow<'static, str>,
    /// Its parameters, in order.
    pub params: Vec<ParamDescriptor>,
    /// The JSON Schema of its result.
    pub result: Value,
    /// The JSON Schema of its items, if it streams. Its result, after the last item, is null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Value>,
    /// The JSON Schema of its own error type, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Who may call it.
    #[serde(default)]
    pub access: Access,
    /// Whether calling it twice does no more than calling it once, so that a lost call may be sent again.
    #[serde(default)]
    pub idempotent: bool,
    /// Whether it changes nothing.
    #[serde(default)]
    pub read_only: bool,
    /// Whether it runs on when its caller goes away.
    #[serde(default)]
    pub detached: bool,
    /// Its own time limit, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// One parameter of a method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParamDescriptor {
    /// Its name on the wire.
    pub name: Cow<'static, str>,
    /// Its JSON Schema.
    pub schema: Value,
    /// Whether a call without it is refused.
    pub required: bool,
}

/// Tells two descriptions of a service apart by what matters to a caller: SHA-256 over a canonical form, cut to 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 16]);

impl JsonSchema for Fingerprint {
    fn schema_name() -> Cow<'static, str> {
        "Fingerprint".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::read(&text).map(Self).ok_or("a fingerprint is 32 hexadecimal digits")
    }
}

impl ServiceDescriptor {
    /// The version of the descriptor format that this crate writes.
    pub const FORMAT: u32 = 1;

    /// The descriptor's fingerprint. It is made of the JSON that methods take and give, not of how schemas describe it:
    /// docs, names of types, the order of methods and the order of keys do not change it.
    pub fn fingerprint(&self) -> Fingerprint {
        let head = format!("p2p-descriptor/{}\n{}\n", self.format, self.name);
        let mut canonical = Canonical::new(&self.definitions, head);
        let mut methods: Vec<_> = self.methods.iter().collect();
        methods.sort_by(|a, b| a.name.cmp(&b.name));
        for method in methods {
            method.write_canonical(&mut canonical);
        }
        let mut digest = Context::new(&SHA256);
        digest.update(canonical.text.as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&digest.finish().as_ref()[..16]);
        Fingerprint(short)
    }

    /// The method with this name.
    pub fn method(&self, name: &str) -> Option<&MethodDescriptor> {
        self.methods.iter().find(|method| method.name == name)
    }
}

impl MethodDescriptor {
    fn write_canonical(&self, out: &mut Canonical<'_>) {
        let _ = write!(out.text, "method {} idempotent={} access={:?}", self.name, self.idempotent, self.access);
        for param in &self.params {
            let _ = write!(out.text, "\n param {} required={} ", param.name, param.required);
            // A proxy leaves out what equals the default: what that is, both ends have to agree on.
            if let Some(default) = param.default() {
                let _ = write!(out.text, "default={} ", exact_json(default));
            }
            out.schema(&param.schema);
        }
        out.text.push_str("\n result ");
        out.schema(&self.result);
        if let Some(item) = &self.item {
            out.text.push_str("\n item ");
            out.schema(item);
        }
        if let Some(error) = &self.error {
            out.text.push_str("\n error ");
            out.schema(error);
        }
        out.text.push('\n');
    }
}

impl ParamDescriptor {
    /// The value that the host takes where the parameter is left out, if it has one: the schema's `default`.
    pub fn default(&self) -> Option<&Value> {
        self.schema.get("default")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(result: Value) -> ServiceDescriptor {
        ServiceDescriptor {
            format: ServiceDescriptor::FORMAT,
            name: "s".into(),
            version: "1.0.0".into(),
            description: "".into(),
            methods: vec![MethodDescriptor {
                name: "m".into(),
                description: "".into(),
                params: vec![],
                result,
                item: None,
                error: None,
                access: Access::Nodes,
                idempotent: false,
                read_only: false,
                detached: false,
                timeout_ms: None,
            }],
            definitions: BTreeMap::new(),
        }
    }

    #[test]
    fn docs_do_not_change_a_fingerprint_but_types_and_fields_named_title_do() {
        let plain = descriptor(json!({"type": "object", "properties": {"title": {"type": "string"}}}));
        let documented = descriptor(
            json!({"description": "d", "properties": {"title": {"type": "string", "description": "x"}}, "type": "object"}),
        );
        let other = descriptor(json!({"type": "object", "properties": {}}));
        assert_eq!(plain.fingerprint(), documented.fingerprint());
        assert_ne!(plain.fingerprint(), other.fingerprint());
    }

    #[test]
    fn whether_a_method_streams_and_what_changes_its_fingerprint() {
        let of = |item: Option<Value>| {
            let mut service = descriptor(json!({"type": "null"}));
            service.methods[0].item = item;
            service.fingerprint()
        };
        let (once, numbers, texts) = (of(None), of(Some(json!({"type": "number"}))), of(Some(json!({"type": "string"}))));
        assert!(once != numbers && numbers != texts && texts != once);
        assert_eq!(numbers, of(Some(json!({"type": "number", "description": "d"}))));
    }

    #[test]
    fn a_fingerprint_survives_its_text_form() {
        let fingerprint = descriptor(json!(true)).fingerprint();
        assert_eq!(Fingerprint::try_from(fingerprint.to_string()), Ok(fingerprint));
        assert!(Fingerprint::try_from("zz".repeat(16)).is_err());
    }
}
