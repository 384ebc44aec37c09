//! What settings hold, and how people write it: [`SettingValue`] for each kind.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use p2p_client::protocol::{Access, Capability};
use serde_json::{Value, json};
use zeroize::Zeroize;

use crate::{
    identity::Host,
    limits::addresses::{ForwardedBy, Network},
};

/// A kind of value.
pub(super) trait SettingValue: Clone + PartialEq {
    /// What it looks like, for whoever wrote something else.
    const FORM: &'static str;

    /// Reads it; `None` where it is something else.
    fn read(value: &Value) -> Option<Self>;

    /// Writes it as it is read.
    fn write(&self) -> Value;

    /// Shows it to people.
    fn show(&self) -> String {
        show_value(&self.write())
    }
}

/// A value as a command line takes it, and as messages say it: text as it is, anything else as JSON.
pub(super) fn show_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            format!("[{}]", items.iter().map(show_value).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The text of a value: what looks like a number to YAML may be meant as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn parsed<T: FromStr>(value: &Value) -> Option<T> {
    text(value)?.parse().ok()
}

/// A list, in YAML or as words between commas.
fn list<T: FromStr>(value: &Value) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(parsed).collect(),
        Value::Null => Some(Vec::new()),
        other => {
            let text = text(other)?;
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(|word| word.parse().ok()).collect()
        }
    }
}

fn write_list<T: fmt::Display>(items: &[T]) -> Value {
    items.iter().map(ToString::to_string).collect()
}

impl SettingValue for bool {
    const FORM: &'static str = "true or false";

    fn read(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn write(&self) -> Value {
        (*self).into()
    }
}

impl SettingValue for u64 {
    const FORM: &'static str = "a whole number";

    fn read(value: &Value) -> Option<Self> {
        value.as_u64()
    }

    fn write(&self) -> Value {
        (*self).into()
    }
}

impl SettingValue for Duration {
    const FORM: &'static str = "a duration such as 500ms, 5s, 15m, 24h or 7d";

    fn read(value: &Value) -> Option<Self> {
        duration(value.as_str()?)
    }

    fn write(&self) -> Value {
        let ms = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        // A day is 24h to most readers, and a minute 60s to some; but the larger unit is the shorter text.
        let whole = units.into_iter().find(|(_, of)| ms > 0 && ms % of == 0 && (*of < 86_400_000 || ms > *of));
        whole.map_or_else(|| format!("{ms}ms"), |(unit, of)| format!("{}{unit}", ms / of)).into()
    }
}

/// Reads a duration as people write it. A number alone is none: it does not say of what.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(ms).map(Duration::from_millis)
}

/// A number and what follows it, with or without a space in between.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// So many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1,024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// How many bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many bytes, for what is counted in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
        match units.into_iter().find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift) {
            Some((unit, shift)) => write!(f, "{} {unit}", self.0 >> shift),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl FromStr for ByteSize {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, unit) = number_and_unit(text).ok_or(())?;
        let each = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1_000,
            "kib" => 1 << 10,
            "mb" => 1_000_000,
            "mib" => 1 << 20,
            "gb" => 1_000_000_000,
            "gib" => 1 << 30,
            _ => return Err(()),
        };
        number.checked_mul(each).map(Self).ok_or(())
    }
}

impl SettingValue for ByteSize {
    const FORM: &'static str = "a size such as 512 B, 64 KiB or 4 MiB";

    fn read(value: &Value) -> Option<Self> {
        value.as_str()?.parse().ok()
    }

    fn write(&self) -> Value {
        self.to_string().into()
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the usual levels")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    const ALL: [(&'static str, Self); 5] =
        [("error", Self::Error), ("warn", Self::Warn), ("info", Self::Info), ("debug", Self::Debug), ("trace", Self::Trace)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, level)| *level == self).map_or("info", |(name, _)| name)
    }
}

impl SettingValue for LogLevel {
    const FORM: &'static str = "error, warn, info, debug or trace";

    fn read(value: &Value) -> Option<Self> {
        // The original's levels are those of Python.
        let text = value.as_str()?.to_ascii_lowercase();
        let text = if text == "warning" { "warn" } else { &text };
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, level)| level)
    }

    fn write(&self) -> Value {
        self.name().into()
    }
}

impl SettingValue for SocketAddr {
    const FORM: &'static str = "an address with a port, such as 0.0.0.0:8001 or [::]:8001";

    fn read(value: &Value) -> Option<Self> {
        parsed(value)
    }

    fn write(&self) -> Value {
        self.to_string().into()
    }
}

impl SettingValue for Host {
    const FORM: &'static str = "an IP address such as 192.168.1.20, or a host name, without a port";

    fn read(value: &Value) -> Option<Self> {
        parsed(value)
    }

    fn write(&self) -> Value {
        self.to_string().into()
    }
}

impl SettingValue for Vec<Host> {
    const FORM: &'static str = "a list of IP addresses and host names such as [10.0.0.5, '2001:db8::5']";

    fn read(value: &Value) -> Option<Self> {
        list(value)
    }

    fn write(&self) -> Value {
        write_list(self)
    }
}

impl SettingValue for Vec<Capability> {
    const FORM: &'static str = "a list of labels such as [gpu, eu-west]";

    fn read(value: &Value) -> Option<Self> {
        list(value)
    }

    fn write(&self) -> Value {
        write_list(self)
    }
}

/// Where a node is looked for: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority(String);

impl FromStr for Authority {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let is_one = host.parse::<Host>().is_ok()
            && (host.starts_with('[') || !host.contains(':'))
            && port.parse::<u16>().is_ok_and(|port| port > 0);
        if is_one { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl SettingValue for Vec<String> {
    const FORM: &'static str = "a list of addresses with ports, such as [10.0.0.5:8001]";

    fn read(value: &Value) -> Option<Self> {
        let authorities: Vec<Authority> = list(value)?;
        Some(authorities.into_iter().map(|Authority(text)| text).collect())
    }

    fn write(&self) -> Value {
        write_list(self)
    }
}

impl SettingValue for Vec<Network> {
    const FORM: &'static str = "a list of addresses and networks such as [10.0.0.7, 10.1.0.0/16]";

    fn read(value: &Value) -> Option<Self> {
        list(value)
    }

    fn write(&self) -> Value {
        write_list(self)
    }
}

impl SettingValue for ForwardedBy {
    const FORM: &'static str = "x-forwarded-for or forwarded";

    fn read(value: &Value) -> Option<Self> {
        match value.as_str()?.to_ascii_lowercase().as_str() {
            "x-forwarded-for" => Some(Self::XForwardedFor),
            "forwarded" => Some(Self::Forwarded),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::XForwardedFor => "x-forwarded-for".into(),
            Self::Forwarded => "forwarded".into(),
        }
    }
}

impl SettingValue for Access {
    const FORM: &'static str = "nodes, public, anonymous, role=worker, role=coordinator or scope=NAME";

    fn read(value: &Value) -> Option<Self> {
        let as_written = || serde_json::from_value(value.clone()).ok();
        let (kind, name) = match value.as_str().and_then(|text| text.split_once('=')) {
            Some((kind, name)) => (kind.trim(), name.trim()),
            None => return as_written(),
        };
        if name.is_empty() {
            return None;
        }
        serde_json::from_value(json!({ kind: name })).ok()
    }

    fn write(&self) -> Value {
        match self {
            Self::Scope(name) => format!("scope={name}").into(),
            Self::Role(role) => format!("role={role}").into(),
            other => serde_json::to_value(other).unwrap_or_default(),
        }
    }
}

/// An address that may hold a password, which is not shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretUrl(String);

impl Drop for SecretUrl {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.show())
    }
}

impl SettingValue for SecretUrl {
    const FORM: &'static str = "an address such as redis://localhost:6379";

    fn read(value: &Value) -> Option<Self> {
        value.as_str().filter(|text| text.is_empty() || text.contains("://")).map(|text| Self(text.to_owned()))
    }

    fn write(&self) -> Value {
        self.0.clone().into()
    }

    fn show(&self) -> String {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => format!("{scheme}://…@{place}"),
            _ => self.0.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_people_write_them_and_written_in_the_largest_whole_unit() {
        for (text, ms, shown) in [
            ("5s", 5_000, "5s"),
            ("5 s", 5_000, "5s"),
            ("500ms", 500, "500ms"),
            ("2min", 120_000, "2m"),
            ("24h", 86_400_000, "24h"),
            ("7d", 604_800_000, "7d"),
            ("90s", 90_000, "90s"),
            ("0s", 0, "0ms"),
        ] {
            let read = Duration::read(&text.into()).unwrap();
            assert_eq!((read, read.show().as_str()), (Duration::from_millis(ms), shown), "{text}");
        }
        for text in ["5", "s", "-5s", "1.5h", "5weeks", "18446744073709551615d", ""] {
            assert_eq!(Duration::read(&text.into()), None, "{text}");
        }
        for (text, bytes, shown) in [
            ("1 MiB", 1 << 20, "1 MiB"),
            ("64KiB", 65_536, "64 KiB"),
            ("1000 B", 1_000, "1000 B"),
            ("4MB", 4_000_000, "4000000 B"),
            ("0 B", 0, "0 B"),
        ] {
            let read = ByteSize::read(&text.into()).unwrap();
            assert_eq!((read.get(), read.show().as_str()), (bytes, shown), "{text}");
            assert_eq!(ByteSize::read(&read.write()), Some(read));
        }
        for text in ["1", "MiB", "1 MiBs", "-1 B", "99999999999 GiB"] {
            assert_eq!(ByteSize::read(&text.into()), None, "{text}");
        }
        assert_eq!((Duration::read(&json!(5)), ByteSize::read(&json!(5))), (None, None), "of what?");
    }

    #[test]
    fn lists_are_those_of_yaml_or_words_between_commas() {
        let labels = |value: Value| Vec::<Capability>::read(&value).map(|labels| labels.show());
        assert_eq!(labels(json!(["gpu", "eu-west"])).as_deref(), Some("[gpu, eu-west]"));
        assert_eq!(labels(json!("gpu, eu-west")).as_deref(), Some("[gpu, eu-west]"));
        assert_eq!(labels(json!([7])).as_deref(), Some("[7]"));
        assert_eq!(labels(Value::Null).as_deref(), Some("[]"));
        assert_eq!(labels(json!(["two words"])), None);
        for (text, good) in [
            ("10.0.0.5:8001", true),
            ("[fd00::1]:8001", true),
            ("a.example:1", true),
            ("10.0.0.5", false),
            ("a:0", false),
            ("::1:5", false),
        ] {
            assert_eq!(Vec::<String>::read(&json!([text])).is_some(), good, "{text}");
        }
    }

    #[test]
    fn access_is_written_as_words_and_read_in_its_old_form_as_well() {
        for (value, shown) in [
            (json!("public"), "public"),
            (json!("anonymous"), "anonymous"),
            (json!({ "scope": "read" }), "scope=read"),
            (json!("scope=read"), "scope=read"),
            (json!("role=worker"), "role=worker"),
        ] {
            let access = Access::read(&value).unwrap();
            assert_eq!(access.show(), shown);
            assert_eq!(Access::read(&access.write()), Some(access));
        }
        for wrong in [json!("everybody"), json!("scope="), json!("role=king"), json!(1)] {
            assert_eq!(Access::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_password_in_an_address_is_not_shown() {
        let url = SecretUrl::read(&"redis://user:hunter2@cache:6379/0".into()).unwrap();
        assert_eq!((url.show().as_str(), format!("{url:?}").as_str()), ("redis://…@cache:6379/0", "redis://…@cache:6379/0"));
        assert_eq!(SecretUrl::read(&"redis://localhost:6379".into()).unwrap().show(), "redis://localhost:6379");
    }
}
