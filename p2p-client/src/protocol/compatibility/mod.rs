//! Whether a caller and a host that were built from different versions of a service understand each other.
//!
//! ```text
//! two ServiceDescriptors -> compare: differences, method by method -> p2p contract check (for people)
//!                                                                  -> Fit: what a caller does about them, call by call
//! ```
//! Calls go ahead where the fingerprints are equal; only where they are not is any of this looked at. A version may add
//! methods, parameters that can be left out, and fields of results: who does not know them neither sends nor misses them.

mod fit;
mod reading;

use std::fmt;

use super::{
    MethodDescriptor, ParamDescriptor, ServiceDescriptor,
    shape::{Shape, exact_json},
};

pub use fit::{Fit, NoFit};
use reading::{Reading, worst};

/// What a difference does to callers of one version at hosts of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Nothing: they understand each other.
    Compatible,
    /// It depends on the values, or cannot be told from the schemas.
    Unclear,
    /// Some calls, or all, fail.
    Breaking,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Compatible => "compatible",
            Self::Unclear => "unclear",
            Self::Breaking => "breaking",
        })
    }
}

/// One difference between two versions of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The method that differs; `None` where the service as a whole does.
    pub method: Option<String>,
    /// What it does.
    pub effect: Effect,
    /// What differs, in words.
    pub text: String,
}

/// What differs for callers that were built from `caller` at hosts that were built from `host`, method by method in the
/// order of the callers' version.
///
/// ```
/// use p2p_client::protocol::{
///     ServiceDescriptor,
///     compatibility::{Effect, compare},
/// };
/// # fn main() -> serde_json::Result<()> {
/// let old: ServiceDescriptor = serde_json::from_str(
///     r#"{ "format": 1, "name": "kv", "version": "1.0.0", "methods": [
///         { "name": "get", "result": { "type": "string" }, "params": [] }
///     ] }"#,
/// )?;
/// let new: ServiceDescriptor = serde_json::from_str(
///     r#"{ "format": 1, "name": "kv", "version": "1.1.0", "methods": [
///         { "name": "get", "result": { "type": "string" }, "params": [
///             { "name": "at", "schema": { "type": "integer", "default": 0 }, "required": false }
///         ] }
///     ] }"#,
/// )?;
/// let differences = compare(&old, &new);
/// assert_eq!(differences.len(), 1);
/// assert_eq!(differences[0].effect, Effect::Compatible);
/// assert_eq!(differences[0].text, "the parameter `at` is new, and may be left out");
/// # Ok(()) }
/// ```
pub fn compare(caller: &ServiceDescriptor, host: &ServiceDescriptor) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut note = |method: Option<&str>, effect, text: String| {
        found.push(Difference { method: method.map(str::to_owned), effect, text });
    };
    if caller.name != host.name {
        note(None, Effect::Breaking, format!("the service {} is now called {}", caller.name, host.name));
    }
    for method in &caller.methods {
        match host.method(&method.name) {
            None => note(Some(&method.name), Effect::Breaking, "the method is gone".to_owned()),
            Some(other) => {
                for matter in matters(caller, method, host, other) {
                    note(Some(&method.name), matter.effect, matter.text);
                }
            }
        }
    }
    for method in host.methods.iter().filter(|method| caller.method(&method.name).is_none()) {
        note(Some(&method.name), Effect::Compatible, "the method is new".to_owned());
    }
    found
}

/// One difference of a method, with what a call has to do with it.
struct Matter {
    concerns: Concerns,
    effect: Effect,
    text: String,
}

/// Which calls a difference concerns.
enum Concerns {
    /// Every call.
    All,
    /// Calls that set the parameter, which the host lacks.
    Gone(String),
    /// Calls that set the parameter, whose type differs.
    Retyped(String),
    /// Calls that leave the parameter out, which the host requires.
    Required(String),
    /// Every call where the host requires the parameter, which the caller lacks; none where it does not.
    Added(String),
    /// Calls that leave the parameter out, as what they mean equals their own default, which is this JSON.
    Default(String, String),
    /// Calls that leave the parameter out, as what they mean equals their own default, which the host does not take.
    Unfit(String),
    /// None before it is sent: the host decides.
    Host,
}

/// What differs in a method, seen from a caller with one version of it and a host with another.
fn matters(
    caller: &ServiceDescriptor,
    method: &MethodDescriptor,
    host: &ServiceDescriptor,
    other: &MethodDescriptor,
) -> Vec<Matter> {
    let mut found = Vec::new();
    for param in &method.params {
        match other.params.iter().find(|theirs| theirs.name == param.name) {
            None => found.push(gone(param)),
            Some(theirs) => found.extend(changed(caller, param, host, theirs)),
        }
    }
    found.extend(other.params.iter().filter(|theirs| method.params.iter().all(|param| param.name != theirs.name)).map(added));
    found.extend(reordered(method, other));
    found.extend(given(caller, method, host, other));
    found.extend(errors(caller, method, host, other));
    found.extend(promises(method, other));
    found
}

/// What a method gives: one result, or the items of a stream.
fn given(
    caller: &ServiceDescriptor,
    method: &MethodDescriptor,
    host: &ServiceDescriptor,
    other: &MethodDescriptor,
) -> Vec<Matter> {
    let (what, mine, theirs) = match (&method.item, &other.item) {
        (None, None) => ("result", &method.result, &other.result),
        (Some(mine), Some(theirs)) => ("item", mine, theirs),
        (None, Some(_)) => return vec![otherwise("it streams now, where it gave one result")],
        (Some(_), None) => return vec![otherwise("it gives one result now, where it streamed")],
    };
    let found = Reading::new(caller, host).differences(mine, theirs).into_iter();
    found.map(|(effect, text)| Matter { concerns: Concerns::All, effect, text: format!("{what}{text}") }).collect()
}

/// A method that answers in another way altogether.
fn otherwise(text: &str) -> Matter {
    Matter { concerns: Concerns::All, effect: Effect::Breaking, text: text.to_owned() }
}

/// A parameter that only the caller knows.
fn gone(param: &ParamDescriptor) -> Matter {
    let text = format!("the parameter `{}` is gone", param.name);
    Matter { concerns: Concerns::Gone(param.name.to_string()), effect: Effect::Breaking, text }
}

/// A parameter that only the host knows.
fn added(param: &ParamDescriptor) -> Matter {
    let name = &param.name;
    let (effect, text) = if param.required {
        (Effect::Breaking, format!("the parameter `{name}` is new, and required"))
    } else {
        (Effect::Compatible, format!("the parameter `{name}` is new, and may be left out"))
    };
    Matter { concerns: Concerns::Added(name.to_string()), effect, text }
}

/// A parameter that both know.
fn changed(
    caller: &ServiceDescriptor,
    mine: &ParamDescriptor,
    host: &ServiceDescriptor,
    theirs: &ParamDescriptor,
) -> Vec<Matter> {
    let name = mine.name.to_string();
    let own_shape = Shape::of(&mine.schema);
    // Nothing is left out, not sent as null.
    let sent = if !mine.required && mine.default().is_none() { own_shape.without_null() } else { own_shape };
    let differences = Reading::new(host, caller).between(&Shape::of(&theirs.schema), &sent);
    let is_retyped = worst(&differences) == Effect::Breaking;
    let typed =
        |(effect, text)| Matter { concerns: Concerns::Retyped(name.clone()), effect, text: format!("parameter `{name}`{text}") };
    let mut found: Vec<_> = differences.into_iter().map(typed).collect();
    let (own, other) = (mine.default().map(exact_json), theirs.default().map(exact_json));
    if let Some(own) = own
        && other.as_ref() != Some(&own)
    {
        let takes_own = || worst(&Reading::new(host, caller).between(&Shape::of(&theirs.schema), &Shape::Literal(own.clone())));
        if is_retyped && takes_own() == Effect::Breaking {
            let text = format!("the default of the parameter `{name}` was {own}, which is not taken any more");
            found.push(Matter { concerns: Concerns::Unfit(name), effect: Effect::Breaking, text });
            return found;
        }
        let now = other.unwrap_or_else(|| "none".to_owned());
        let text = format!("the default of the parameter `{name}` was {own}, and is {now}; callers go on with theirs");
        found.push(Matter { concerns: Concerns::Default(name, own), effect: Effect::Compatible, text });
    } else if !mine.required && theirs.required {
        let text = format!("the parameter `{name}` is required now");
        found.push(Matter { concerns: Concerns::Required(name), effect: Effect::Breaking, text });
    }
    found
}

/// Parameters that stand in other places. Proxies send them by name, and so no call is held back for it.
fn reordered(method: &MethodDescriptor, other: &MethodDescriptor) -> Option<Matter> {
    let place = |name: &str| other.params.iter().position(|theirs| theirs.name == name);
    let has_moved = |(at, param): (usize, &ParamDescriptor)| place(&param.name).is_some_and(|there| there != at);
    // Where one is gone, that is said already, and what follows it has moved for that reason.
    let is_complete = method.params.iter().all(|param| place(&param.name).is_some());
    let moved = is_complete && method.params.iter().enumerate().any(has_moved);
    moved.then(|| Matter {
        concerns: Concerns::Host,
        effect: Effect::Unclear,
        text: "its parameters stand in another order, which callers by position notice".to_owned(),
    })
}

/// What is said of the method beside its types. The host decides about access, and so no call is held back for it.
fn promises(method: &MethodDescriptor, other: &MethodDescriptor) -> Vec<Matter> {
    let mut found = Vec::new();
    if method.access != other.access {
        let text = format!("it was for {}, and is for {} now", method.access, other.access);
        let effect = if method.access.is_within(&other.access) { Effect::Compatible } else { Effect::Breaking };
        found.push(Matter { concerns: Concerns::Host, effect, text });
    }
    if method.idempotent && !other.idempotent {
        let text = "it is no longer idempotent, and callers may still send it again when an answer was lost".to_owned();
        found.push(Matter { concerns: Concerns::Host, effect: Effect::Breaking, text });
    }
    found
}

/// An error that the caller does not know is still an error: it arrives as `UnknownService`.
fn errors(
    caller: &ServiceDescriptor,
    method: &MethodDescriptor,
    host: &ServiceDescriptor,
    other: &MethodDescriptor,
) -> Option<Matter> {
    let text = match (&method.error, &other.error) {
        (Some(mine), Some(theirs)) => {
            let differences = Reading::new(caller, host).differences(mine, theirs);
            let (_, text) = differences.into_iter().find(|(effect, _)| *effect > Effect::Compatible)?;
            format!("error{text}; callers see what they do not know as UnknownService")
        }
        (None, Some(_)) => "it has an error type of its own now; callers see it as UnknownService".to_owned(),
        (Some(_), None) => "it has no error type of its own any more".to_owned(),
        (None, None) => return None,
    };
    Some(Matter { concerns: Concerns::All, effect: Effect::Compatible, text })
}

#[cfg(test)]
mod tests;
