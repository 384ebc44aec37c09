//! The table of `docs/configuration.md`, from the settings themselves.

use std::fmt::Write as _;

use super::{
    ConfigDocument, Effect, NodeConfig, Settings,
    original::{Fate, KEYS},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
const BEGIN: &str = "<!-- from the code: begin -->\n";
const END: &str = "<!-- from the code: end -->";

/// The original's keys that are kept with another default than the original's, each with the reason.
const OTHER_DEFAULTS: &[(&str, &str)] = &[
    (
        "coordinator_addresses",
        "`p2p join` writes where it has joined, and nobody has to guess: the original's was `127.0.0.1:8001`",
    ),
    ("redis_url", "none, as nothing is asked there: the original's was `redis://localhost:6379`"),
    (
        "redis_enabled",
        "off, as the cache is in the node's memory in this version, which says so at start where this is on: the original's was on",
    ),
];

/// Why this key's default is not the original's, if it is another one.
fn other_default(key: &str) -> Option<&'static str> {
    OTHER_DEFAULTS.iter().find(|(name, _)| *name == key).map(|(_, why)| *why)
}

fn tables() -> String {
    let mut out = "\n## Keys\n\n| key | default | takes | what for | counts |\n|---|---|---|---|---|\n".to_owned();
    let defaults = NodeConfig::unplaced();
    for setting in Settings::all().iter() {
        let default = match (setting.is_required, setting.show(&defaults).as_str()) {
            (true, _) => "said by `init` or `join`".to_owned(),
            (false, "") => "none".to_owned(),
            (false, shown) => format!("`{shown}`"),
        };
        let counts = match setting.effect {
            Effect::Live => "at once",
            Effect::Restart => "from the next start on",
            Effect::Unread => "never; a node that starts with it says so",
        };
        let _infallible = writeln!(out, "| `{}` | {default} | {} | {} | {counts} |", setting.key, setting.allowed, setting.what);
    }
    out += "\n## The original's keys\n\n| key | what became of it | as |\n|---|---|---|\n";
    for (key, fate) in KEYS {
        let (what, mut why) = match fate {
            Fate::Is(now) | Fate::Of(now, _) if now.replace('.', "_") == *key => ("kept", format!("`{now}`{}", unit(fate))),
            Fate::Is(now) | Fate::Of(now, _) => ("renamed", format!("`{now}`{}", unit(fate))),
            Fate::Only(only, why) => ("refused", format!("unless it is `{only}`, which it always is: {why}")),
            Fate::Refused(why) => ("refused", (*why).to_owned()),
        };
        if let Some(reason) = other_default(key) {
            let _infallible = write!(why, "; default: {reason}");
        }
        let _infallible = writeln!(out, "| `{key}` | {what} | {why} |");
    }
    out.push('\n');
    out
}

fn unit(fate: &Fate) -> String {
    match fate {
        Fate::Of(_, "s") => "; a bare number is in seconds".to_owned(),
        Fate::Of(..) => "; a bare number is in bytes".to_owned(),
        _ => String::new(),
    }
}

#[test]
fn the_table_in_the_documentation_is_that_of_the_code() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", tables());
    if text == wanted {
        return;
    }
    if std::env::var_os("P2P_WRITE_DOCS").is_some() {
        std::fs::write(FILE, wanted).unwrap();
        return;
    }
    panic!("docs/configuration.md is behind the code; run this test with P2P_WRITE_DOCS=1");
}

#[test]
fn the_example_in_the_documentation_can_be_used() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let yaml = text.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    ConfigDocument::parse(yaml).unwrap_or_else(|error| panic!("{error}"));
}

/// The defaults of the original's keys that are kept, in its own spelling.
const ORIGINAL_DEFAULTS: &[(&str, &str)] = &[
    ("coordinator_addresses", "['127.0.0.1:8001']"),
    ("redis_url", "redis://localhost:6379"),
    ("redis_enabled", "true"),
    ("gossip_interval_min", "5"),
    ("gossip_interval_max", "30"),
    ("gossip_compression_enabled", "true"),
    ("compression_enabled", "true"),
    ("compression_threshold", "1024"),
    ("max_gossip_targets", "5"),
    ("rate_limit_enabled", "true"),
    ("rate_limit_rpc_requests", "100"),
    ("rate_limit_rpc_burst", "20"),
    ("rate_limit_health_requests", "300"),
    ("rate_limit_health_burst", "50"),
];

#[test]
fn a_key_of_the_original_has_its_default_or_the_documentation_says_why_not() {
    const BASE: &str = "listen: 0.0.0.0:8001\nadvertise: 10.0.0.5\n";
    let kept = KEYS.iter().filter(|(_, fate)| fate.now().is_some()).map(|(key, _)| *key);
    assert!(kept.eq(ORIGINAL_DEFAULTS.iter().map(|(key, _)| *key)), "each key that is kept has had a default");
    let nothing_said = ConfigDocument::parse(BASE).unwrap();
    for (key, default) in ORIGINAL_DEFAULTS {
        let said = ConfigDocument::parse(&format!("{BASE}{key}: {default}\n")).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(said.config() != nothing_said.config(), other_default(key).is_some(), "{key}");
    }
    assert!(OTHER_DEFAULTS.iter().all(|(key, _)| KEYS.iter().any(|(known, _)| known == key)));
}

#[test]
fn every_key_of_the_original_leads_to_a_setting_or_to_a_reason() {
    for (key, fate) in KEYS {
        match fate {
            Fate::Is(now) | Fate::Of(now, _) => assert!(Settings::all().get(now).is_some(), "{key}"),
            Fate::Only(_, why) | Fate::Refused(why) => assert!(!why.is_empty(), "{key}"),
        }
    }
}
