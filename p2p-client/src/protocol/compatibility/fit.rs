//! What a caller does about differences, call by call.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::protocol::ServiceDescriptor;

use super::{Concerns, Effect, matters};

/// What to do where two versions do not understand each other, whichever of them is older.
const UPDATE: &str = "update the older of the two";

/// How the calls of one method are fitted to a host of another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// They are sent as they are.
    AsItIs,
    /// It depends on which parameters are set.
    ByParams(Vec<Rule>),
    /// None can be served; the text says why.
    Never(String),
}

/// What a parameter has to do with whether a call can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    param: String,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// It cannot be set.
    NotSet(String),
    /// It cannot be left out.
    NotLeftOut(String),
    /// Where it is left out, this JSON is sent: the caller's default, which the host does not share.
    Filled(String),
}

/// A call that its host would not understand. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoFit(String);

impl Fit {
    /// How calls of `method` by who was built from `caller` fit a host that was built from `host`.
    pub fn of(caller: &ServiceDescriptor, host: &ServiceDescriptor, method: &str) -> Self {
        let Some(mine) = caller.method(method) else { return Self::AsItIs };
        let Some(theirs) = host.method(method) else { return Self::Never("it has no such method; update the host".to_owned()) };
        let mut rules = Vec::new();
        for matter in matters(caller, mine, host, theirs) {
            let is_breaking = matter.effect == Effect::Breaking;
            match matter.concerns {
                Concerns::Default(param, json) => rules.push(Rule { param, what: What::Filled(json) }),
                Concerns::All if is_breaking => return Self::Never(format!("{}; {UPDATE}", matter.text)),
                Concerns::Added(param) if is_breaking => {
                    let why = format!("it requires the parameter `{param}`, which this caller does not know; update the caller");
                    return Self::Never(why);
                }
                Concerns::Retyped(param) if is_breaking => {
                    rules.push(Rule { param, what: What::NotSet(format!("{}; {UPDATE}", matter.text)) });
                }
                Concerns::Unfit(param) => {
                    rules.push(Rule { param, what: What::NotLeftOut(format!("{}; {UPDATE}", matter.text)) });
                }
                Concerns::Gone(param) => {
                    let why = format!("it has no parameter `{param}`, which is set here; leave it out, or update the host");
                    rules.push(Rule { param, what: What::NotSet(why) });
                }
                Concerns::Required(param) => {
                    let why = format!("it requires the parameter `{param}`, which is left out here; set it");
                    rules.push(Rule { param, what: What::NotLeftOut(why) });
                }
                Concerns::All | Concerns::Added(_) | Concerns::Retyped(_) | Concerns::Host => {}
            }
        }
        if rules.is_empty() { Self::AsItIs } else { Self::ByParams(rules) }
    }

    /// Fits the params of a call, an object by name, to the host.
    ///
    /// # Errors
    /// [`NoFit`] says what the host would not understand.
    pub fn params<'a>(&self, body: &'a [u8]) -> Result<Cow<'a, [u8]>, NoFit> {
        match self {
            Self::AsItIs => Ok(Cow::Borrowed(body)),
            Self::Never(why) => Err(NoFit(why.clone())),
            Self::ByParams(rules) => by_params(rules, body),
        }
    }
}

fn by_params<'a>(rules: &[Rule], body: &'a [u8]) -> Result<Cow<'a, [u8]>, NoFit> {
    let unreadable = |error: serde_json::Error| NoFit(format!("the params cannot be fitted: {error}"));
    let set: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).map_err(unreadable)?;
    let mut filled = Vec::new();
    for Rule { param, what } in rules {
        let is_set = set.contains_key(param.as_str());
        match what {
            What::NotSet(why) if is_set => return Err(NoFit(why.clone())),
            What::NotLeftOut(why) if !is_set => return Err(NoFit(why.clone())),
            What::Filled(json) if !is_set => filled.push((param, json)),
            What::NotSet(_) | What::NotLeftOut(_) | What::Filled(_) => {}
        }
    }
    if filled.is_empty() {
        return Ok(Cow::Borrowed(body));
    }
    let end = body.iter().rposition(|byte| *byte == b'}').unwrap_or(body.len());
    let mut out = body[..end].to_vec();
    for (at, (name, json)) in filled.into_iter().enumerate() {
        if at > 0 || !set.is_empty() {
            out.push(b',');
        }
        serde_json::to_writer(&mut out, name).map_err(unreadable)?;
        out.push(b':');
        out.extend_from_slice(json.as_bytes());
    }
    out.push(b'}');
    Ok(Cow::Owned(out))
}
