//! `p2p config default`: every setting with its default.

use std::net::{IpAddr, Ipv4Addr};

use p2p_runtime::{
    config::{Effect, NodeConfig, Settings},
    identity::Host,
};
use serde_json::json;

use super::super::{
    Invocation,
    output::{self, Format},
};

/// Prints them.
pub(super) fn run(invocation: &Invocation) {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let defaults = NodeConfig::new((nowhere, 0).into(), Host::Ip(nowhere));
    let settings = Settings::all().iter().map(|setting| {
        let value = (!setting.is_required).then(|| setting.show(&defaults));
        (setting, value)
    });
    match invocation.format {
        Format::Json => {
            let all: Vec<_> = settings
                .map(|(setting, value)| {
                    let live = setting.effect == Effect::Live;
                    json!({ "key": setting.key, "default": value, "takes": setting.allowed, "what": setting.what, "live": live })
                })
                .collect();
            output::json_line(&all.into());
        }
        Format::Table => {
            for (setting, value) in settings {
                let line = match value {
                    Some(value) => format!("{}: {value}", setting.key),
                    None => format!("# {} is said by init or join", setting.key),
                };
                output::line(format!("# {}; {}\n{line}", setting.what, setting.allowed));
            }
        }
    }
}
