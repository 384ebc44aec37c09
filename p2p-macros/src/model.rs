//! What was meant: a checked service, ready to be written out.
//!
//! Each check notes its mistake at the user's tokens and goes on, so that all mistakes of a service show in one compile.

pub(crate) mod from_call;
pub(crate) mod message;
mod method;
mod names;
mod narrowing;
mod param;
mod rename;
mod self_type;
mod stream;

use proc_macro2::Span;
use syn::{Attribute, Expr, FnArg, Ident, LitStr, Path, ReturnType, Signature, Type, spanned::Spanned};

pub(crate) use self::{
    method::{Access, Method},
    names::Names,
    narrowing::Narrowing,
    param::{Param, Passing},
    stream::Items,
};
use crate::{
    errors::{Errors, nearest},
    parse::{Function, Item, Kind, ServiceArgs, last_segment_is},
};

/// A service, or a contract.
pub(crate) struct Service {
    pub(crate) names: Names,
    pub(crate) version: Option<String>,
    pub(crate) description: String,
    pub(crate) roles: Vec<RoleWord>,
    /// Those of which code can be made: what is wrong with another is told, and leaves these usable.
    pub(crate) methods: Vec<Method>,
    pub(crate) hooks: Hooks,
}

/// How a service is made and what it does as it starts and stops.
#[derive(Default)]
pub(crate) struct Hooks {
    /// `async fn new(cx: &Context)`, or what `init = …` names.
    pub(crate) constructor: Option<Constructor>,
    /// `async fn initialize(&self)`, and whether it takes the context.
    pub(crate) initialize: Option<Hook>,
    /// `async fn cleanup(&self)`, and whether it takes the context.
    pub(crate) cleanup: Option<Hook>,
    /// `async fn health(&self) -> Health`, and whether it takes the context.
    pub(crate) health: Option<Hook>,
}

/// What makes a service.
pub(crate) enum Constructor {
    /// `async fn new(cx: &Context)` of the type itself; where its return type stands.
    New(Span),
    /// What `init = …` names.
    Init(Path),
}

/// A function that the node calls, and where its return type stands.
#[derive(Clone, Copy)]
pub(crate) struct Hook {
    pub(crate) takes_context: bool,
    pub(crate) returns: Span,
}

/// A role, as an identifier of the enum `Role`.
pub(crate) struct RoleWord(pub(crate) Ident);

impl Service {
    /// Reads a service (`impl Greeter`) or a contract (`trait Kv`).
    pub(crate) fn read(args: &ServiceArgs, item: &Item, type_name: &Ident, errors: &mut Errors) -> Self {
        let is_contract = matches!(item.kind, Kind::Contract { .. });
        let names = Names::of(args, type_name, errors);
        let mut methods = Vec::new();
        let mut hooks = Hooks::default();
        for function in &item.block.functions {
            if is_contract || function.service_method().is_some() {
                methods.extend(Method::read(function, &item.kind, errors));
            } else {
                hooks.note(function, errors);
            }
        }
        if let Some(init) = &args.init {
            hooks.constructor = Some(Constructor::Init(init.clone()));
        }
        check_unique(&mut methods, errors);
        methods.retain(|method| method.is_sound);
        check_not_empty(item, is_contract, type_name, errors);
        let description = args.description.as_ref().map_or_else(|| doc_text(&item.attributes), LitStr::value);
        if let Some(version) = &args.version {
            check_version(version, errors);
        }
        let version = args.version.as_ref().map(LitStr::value);
        Self { names, version, description, roles: roles(&args.roles, errors), methods, hooks }
    }

    /// Whether code is made of this function of a contract.
    pub(crate) fn has(&self, function: &Function) -> bool {
        self.methods.iter().any(|method| method.ident == function.signature.ident)
    }
}

/// Reads `roles = […]`.
pub(crate) fn roles(words: &[Ident], errors: &mut Errors) -> Vec<RoleWord> {
    words.iter().filter_map(|word| errors.take(RoleWord::read(&word.to_string(), word.span()))).collect()
}

impl RoleWord {
    fn read(word: &str, span: Span) -> syn::Result<Self> {
        match word {
            "coordinator" => Ok(Self(Ident::new("Coordinator", span))),
            "worker" => Ok(Self(Ident::new("Worker", span))),
            _ => {
                let hint =
                    nearest(word, &["coordinator", "worker"]).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
                Err(syn::Error::new(span, format!("there is no role `{word}`; {hint}the roles are coordinator and worker")))
            }
        }
    }
}

impl Hooks {
    /// Sees whether a function that is no service method is one that the node calls.
    pub(crate) fn note(&mut self, function: &Function, errors: &mut Errors) {
        let signature = &function.signature;
        let name = signature.ident.to_string();
        let is_new = name == "new" && is_constructor(signature);
        if !is_new && !["initialize", "cleanup", "health"].contains(&name.as_str()) {
            return;
        }
        if let Some(condition) = function.conditions().next() {
            errors.at(
                condition,
                format_args!(
                    "`{name}` is called by the node, which has to know whether it is there; put the condition into its body"
                ),
            );
            return;
        }
        match name.as_str() {
            "initialize" => self.initialize = hook(signature, "Result<()>", errors),
            "cleanup" => self.cleanup = hook(signature, "Result<()>", errors),
            "health" => self.health = hook(signature, "Health", errors),
            _ => self.constructor = Some(Constructor::New(return_type(signature))),
        }
    }
}

/// `async fn new(cx: &Context)`: any other `new` is the user's own, to make what is handed to `.serve(…)`.
fn is_constructor(signature: &Signature) -> bool {
    let takes_context = signature.inputs.len() == 1 && signature.inputs.first().is_some_and(is_context);
    signature.asyncness.is_some() && takes_context
}

/// `cx: &Context`, by its last segment: the type itself is checked by the compiler, where it is used.
fn is_context(input: &FnArg) -> bool {
    let FnArg::Typed(argument) = input else { return false };
    let Type::Reference(reference) = param::ungrouped(&argument.ty) else { return false };
    reference.mutability.is_none()
        && matches!(param::ungrouped(&reference.elem), Type::Path(path) if last_segment_is(&path.path, "Context"))
}

fn hook(signature: &Signature, returns: &str, errors: &mut Errors) -> Option<Hook> {
    let takes_context = signature.inputs.len() == 2 && signature.inputs.last().is_some_and(is_context);
    let takes_no_other = signature.inputs.len() == 1 || takes_context;
    if signature.asyncness.is_none() || signature.receiver().is_none() || !takes_no_other {
        let name = &signature.ident;
        errors.at(name, format_args!("`{name}` is called by the node; write `async fn {name}(&self) -> {returns}`, or with `cx: &Context` after `&self`; or rename it, where the node is not to call it"));
        return None;
    }
    Some(Hook { takes_context, returns: return_type(signature) })
}

/// Where a return type stands, or else the function's name.
fn return_type(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Type(_, written) => written.span(),
        ReturnType::Default => signature.ident.span(),
    }
}

fn check_unique(methods: &mut [Method], errors: &mut Errors) {
    for index in 0..methods.len() {
        let method = &methods[index];
        // One method under opposite conditions is written twice; should both hold, the compiler says so.
        let is_other_form =
            |earlier: &Method| earlier.ident == method.ident && !earlier.conditions.is_empty() && !method.conditions.is_empty();
        let mut before = methods[..index].iter().filter(|earlier| earlier.wire_name == method.wire_name);
        if before.any(|earlier| !is_other_form(earlier)) {
            let text = format!(
                "two methods are called `{}` on the wire; rename one: #[service_method(rename = \"other_name\")]",
                method.wire_name
            );
            errors.at(&method.ident, text);
            methods[index].is_sound = false;
        }
    }
}

/// A service that nobody can call is a forgotten attribute.
fn check_not_empty(item: &Item, is_contract: bool, type_name: &Ident, errors: &mut Errors) {
    let served = item.block.functions.iter().any(|function| is_contract || function.service_method().is_some());
    // One that cannot be read was meant to be one.
    let served = served || !item.block.unreadable.is_empty();
    if !served && is_contract {
        errors.at(type_name, "a contract has at least one method:\n\n    async fn greet(&self, name: String) -> Result<String>;");
    } else if !served {
        errors.at(
            type_name,
            "a service has at least one method that callers can reach; mark it:\n\n    #[service_method]\n    pub async fn greet(&self, name: String) -> Result<String> { … }",
        );
    }
}

/// `1.2.3`, `1.2.3-rc.1`, `1.2.3+build` (semver.org, 2).
fn check_version(version: &LitStr, errors: &mut Errors) {
    let text = version.value();
    let (text, build) = text.split_once('+').map_or((text.as_str(), None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let number = |part: &str| part.parse::<u64>().is_ok_and(|number| number.to_string() == part);
    let label = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let fits = core.split('.').count() == 3
        && core.split('.').all(number)
        && [before, build].into_iter().flatten().all(|labels| labels.split('.').all(label));
    if !fits {
        errors.at(version, "not a semantic version; write MAJOR.MINOR.PATCH, such as version = \"1.0.0\"");
    }
}

/// The text of doc comments, as it was written less the margin.
fn doc_text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The last name of a type's path: `Greeter` of `crate::Greeter`.
pub(crate) fn type_name(object: &Type) -> syn::Result<Ident> {
    match param::ungrouped(object) {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.clone()),
        _ => None,
    }
    .ok_or_else(|| syn::Error::new(object.span(), "#[service] stands on an impl of a named type, such as `impl Greeter`"))
}
