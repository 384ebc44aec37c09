//! [`ConfigDocument`]: what of the configuration is set, as text that people edit, and checked.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde_json::{Map, Value};

use super::{
    ConfigError, Effect, Mistake, NodeConfig, Setting, Settings,
    original::{Fate, fate, with_unit},
    sections::contradictions,
};

/// The keys that are set, each with a value that fits it. All others have their defaults.
#[derive(Clone, PartialEq)]
pub struct ConfigDocument {
    set: BTreeMap<&'static str, Value>,
    config: NodeConfig,
}

/// Which keys are set, and what the configuration shows of itself: a value as it was read may hold a password.
impl fmt::Debug for ConfigDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> = self.set.keys().collect();
        f.debug_struct("ConfigDocument").field("set", &set).field("config", &self.config).finish()
    }
}

/// A key whose value differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub key: &'static str,
    /// What it was.
    pub from: String,
    /// What it is to be.
    pub to: String,
    /// When it counts.
    pub effect: Effect,
}

impl ConfigDocument {
    /// Reads YAML. Sections may be nested or written with dots (`rate_limit.rpc_requests: 100`), and keys as the original has them.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`] with every mistake that is found.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let map: Map<String, Value> = match serde_saphyr::from_str::<Option<Map<String, Value>>>(text) {
            Ok(map) => map.unwrap_or_default(),
            Err(error) => return Err(ConfigError::Mistakes(vec![Mistake::NotYaml(first_line(&error.to_string()))])),
        };
        let settings = Settings::all();
        let mut leaves = Vec::new();
        flatten("", map, settings, &mut leaves);
        let mut reading = Reading { settings, set: BTreeMap::new(), mistakes: Vec::new() };
        for (key, value) in leaves {
            reading.take(&key, &value);
        }
        reading.finish()
    }

    /// The configuration that it makes.
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Whether a key is set.
    pub fn is_set(&self, key: &str) -> bool {
        self.set.contains_key(key)
    }

    /// The keys that are set and that nothing reads.
    pub fn unread(&self) -> Vec<&'static str> {
        let settings = Settings::all();
        settings
            .iter()
            .filter(|setting| setting.effect == Effect::Unread && self.is_set(setting.key))
            .map(|setting| setting.key)
            .collect()
    }

    /// The same, with a key set to what a command line says.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`].
    pub fn with(&self, key: &str, text: &str) -> Result<Self, ConfigError> {
        // As YAML, so that lists and numbers are what they look like; what is no YAML is text.
        let value = serde_saphyr::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let settings = Settings::all();
        let mut reading = Reading { settings, set: self.set.clone(), mistakes: Vec::new() };
        if let Some(known) = reading.key(key, &value) {
            reading.set.remove(known.0.key);
        }
        reading.mistakes.clear();
        reading.take(key, &value);
        reading.finish()
    }

    /// The same, with a key at its default.
    ///
    /// # Errors
    /// [`ConfigError::Mistakes`] for a key that there is not, or that has no default.
    pub fn without(&self, key: &str) -> Result<Self, ConfigError> {
        let settings = Settings::all();
        let mut reading = Reading { settings, set: self.set.clone(), mistakes: Vec::new() };
        if let Some((setting, _)) = reading.key(key, &Value::Null) {
            reading.set.remove(setting.key);
        }
        reading.finish()
    }

    /// The same, with the values of a configuration that the program has changed.
    pub(super) fn with_values_of(&self, config: &NodeConfig) -> Self {
        let defaults = NodeConfig::new(config.listen, config.advertise.clone());
        let mut set = self.set.clone();
        for setting in Settings::all().iter() {
            let value = setting.write(config);
            if setting.is_required || set.contains_key(setting.key) || value != setting.write(&defaults) {
                set.insert(setting.key, value);
            }
        }
        Self { set, config: config.clone() }
    }

    /// The document of a configuration: what differs from the defaults is set.
    pub(super) fn of(config: &NodeConfig) -> Self {
        Self { set: BTreeMap::new(), config: config.clone() }.with_values_of(config)
    }

    /// What differs in `later`.
    pub fn changes(&self, later: &Self) -> Vec<Change> {
        let differing = |setting: &Setting| {
            let (from, to) = (setting.show(&self.config), setting.show(&later.config));
            let change = Change { key: setting.key, from, to, effect: setting.effect };
            (setting.write(&self.config) != setting.write(&later.config)).then_some(change)
        };
        Settings::all().iter().filter_map(differing).collect()
    }

    /// As YAML: what is set, section by section.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        let mut open = "";
        for setting in Settings::all().iter() {
            let Some(value) = self.set.get(setting.key) else { continue };
            match setting.key.split_once('.') {
                None => line(&mut out, "", setting.key, value),
                Some((section, key)) => {
                    if open != section {
                        let _infallible = writeln!(out, "{section}:");
                        open = section;
                    }
                    line(&mut out, "  ", key, value);
                }
            }
        }
        out
    }

    /// As YAML for an editor: every setting with what it is for, one line a key; those that are not set as comments with their defaults.
    pub fn to_edit(&self) -> String {
        let mut out =
            "# The node's configuration. To set a key, take the \"# \" before it away; to unset it, put it there.\n".to_owned();
        let mut open = "";
        for setting in Settings::all().iter() {
            let section = setting.key.split_once('.').map_or("", |(section, _)| section);
            if open != section || out.lines().count() == 1 {
                out.push('\n');
                open = section;
            }
            let when = match setting.effect {
                Effect::Live => "",
                Effect::Restart => " (from the next start on)",
                Effect::Unread => " (nothing reads it)",
            };
            let _infallible = writeln!(out, "## {}{when}; {}", setting.what, setting.allowed);
            match self.set.get(setting.key) {
                Some(value) => line(&mut out, "", setting.key, value),
                None => line(&mut out, "# ", setting.key, &setting.write(&self.config)),
            }
        }
        out
    }
}

fn line(out: &mut String, before: &str, key: &str, value: &Value) {
    let _infallible = writeln!(out, "{before}{key}: {}", yaml(value));
}

/// A value on one line: text as it is where YAML reads it as the same text, else as JSON, which is YAML as well.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._/=-:[] ".contains(c))
                && serde_saphyr::from_str::<Map<String, Value>>(&format!("k: {text}\n"))
                    .is_ok_and(|map| map.get("k") == Some(value));
            if plain { text.clone() } else { value.to_string() }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Joins the keys of sections with those in them.
fn flatten(prefix: &str, map: Map<String, Value>, settings: &Settings, leaves: &mut Vec<(String, Value)>) {
    for (key, value) in map {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Object(inner) if settings.is_section(&key) => flatten(&key, inner, settings, leaves),
            // A section with nothing in it.
            Value::Null if settings.is_section(&key) => {}
            value => leaves.push((key, value)),
        }
    }
}

struct Reading<'a> {
    settings: &'a Settings,
    set: BTreeMap<&'static str, Value>,
    mistakes: Vec<Mistake>,
}

impl<'a> Reading<'a> {
    fn take(&mut self, key: &str, value: &Value) {
        let Some((setting, value)) = self.key(key, value) else { return };
        if self.set.insert(setting.key, value).is_some() {
            self.mistakes.push(Mistake::Twice { key: setting.key });
        }
    }

    /// The setting that a key means, and the value in its terms.
    fn key(&mut self, key: &str, value: &Value) -> Option<(&'a Setting, Value)> {
        if let Some(setting) = self.settings.get(key) {
            return Some((setting, value.clone()));
        }
        let mistake = match fate(key) {
            Some(Fate::Is(now)) => return Some((self.settings.get(now)?, value.clone())),
            Some(Fate::Of(now, unit)) => return Some((self.settings.get(now)?, with_unit(value, unit))),
            Some(Fate::Only(only, _)) if value.as_bool() == Some(only) => return None,
            Some(Fate::Only(_, why) | Fate::Refused(why)) => Mistake::Refused { key: key.to_owned(), why },
            None => Mistake::Unknown { key: key.chars().take(80).collect(), nearest: self.settings.nearest(key) },
        };
        self.mistakes.push(mistake);
        None
    }

    fn finish(mut self) -> Result<ConfigDocument, ConfigError> {
        let mut config = NodeConfig::unplaced();
        for setting in self.settings.iter() {
            match self.set.get_mut(setting.key) {
                Some(value) => match setting.read(&mut config, value) {
                    // In the form in which it is written, so that equal documents are equal texts.
                    Ok(()) => *value = setting.write(&config),
                    Err(mistake) => self.mistakes.push(mistake),
                },
                None if setting.is_required => {
                    self.mistakes.push(Mistake::Missing { key: setting.key, allowed: setting.allowed.clone() });
                }
                None => {}
            }
        }
        if self.mistakes.is_empty() {
            let told = contradictions(&config).into_iter().map(|(key, allowed)| {
                let given = self.settings.get(key).map(|setting| setting.show(&config)).unwrap_or_default();
                Mistake::Wrong { key, given, allowed }
            });
            self.mistakes.extend(told);
        }
        if self.mistakes.is_empty() {
            Ok(ConfigDocument { set: self.set, config })
        } else {
            Err(ConfigError::Mistakes(self.mistakes))
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
