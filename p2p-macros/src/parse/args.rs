//! The arguments of `#[service(…)]`, `#[service_method(…)]` and `#[arg(…)]`.

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::{
    Attribute, Expr, Ident, LitStr, Meta, Path, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::errors::{Errors, nearest};

/// `#[service(name = "…", version = "…", …)]`
#[derive(Default)]
pub(crate) struct ServiceArgs {
    pub(crate) name: Option<LitStr>,
    pub(crate) version: Option<LitStr>,
    pub(crate) description: Option<LitStr>,
    pub(crate) roles: Vec<Ident>,
    pub(crate) init: Option<Path>,
    pub(crate) proxy: Option<LitStr>,
    pub(crate) accessor: Option<LitStr>,
    pub(crate) mock: Option<LitStr>,
    pub(crate) host: Option<LitStr>,
    pub(crate) krate: Option<LitStr>,
}

const SERVICE_WORDS: [&str; 10] =
    ["name", "version", "description", "roles", "init", "proxy", "accessor", "mock", "host", "crate"];

impl ServiceArgs {
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        for Arg { word, value } in read_list(tokens, "#[service(name = \"greeter\", version = \"1.0.0\")]", errors) {
            match word.to_string().as_str() {
                "name" => args.name = value.text(&word, "name = \"greeter\"", errors),
                "version" => args.version = value.text(&word, "version = \"1.0.0\"", errors),
                "description" => args.description = value.text(&word, "description = \"…\"", errors),
                "proxy" => args.proxy = value.text(&word, "proxy = \"GreeterProxy\"", errors),
                "accessor" => args.accessor = value.text(&word, "accessor = \"greeter\"", errors),
                "mock" => args.mock = value.text(&word, "mock = \"MockGreeter\"", errors),
                "host" => args.host = value.text(&word, "host = \"MemoryAsKv\"", errors),
                "crate" => args.krate = value.text(&word, "crate = \"::p2p_runtime\"", errors),
                "roles" => args.roles = value.words(&word, "roles = [coordinator, worker]", errors),
                "init" => args.init = value.path(&word, "init = connect", errors),
                _ => unknown(&word, "service", &SERVICE_WORDS, errors),
            }
        }
        args
    }
}

/// Who may call, as written.
pub(crate) enum AccessWord {
    Nodes,
    Public,
    Anonymous,
    Scope(LitStr),
    Role(LitStr),
}

/// `#[service_method(public, idempotent, timeout = "2s", …)]`
#[derive(Default)]
pub(crate) struct MethodArgs {
    pub(crate) access: Option<AccessWord>,
    /// Where it is said who may call.
    pub(crate) access_at: Option<Span>,
    pub(crate) idempotent: bool,
    pub(crate) read_only: bool,
    pub(crate) detached: bool,
    pub(crate) track_metrics: Option<bool>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rename: Option<LitStr>,
    /// The words that say anything but who may call.
    pub(crate) others: Vec<Ident>,
}

const METHOD_WORDS: [&str; 11] = [
    "nodes",
    "public",
    "anonymous",
    "scope",
    "role",
    "idempotent",
    "read_only",
    "timeout",
    "detached",
    "track_metrics",
    "rename",
];

/// Those of them that say who may call.
const ACCESS_WORDS: [&str; 5] = ["nodes", "public", "anonymous", "scope", "role"];

const METHOD_FORM: &str = "#[service_method(public, timeout = \"2s\")]";
const ARG_FORM: &str = "#[arg(default = 10)] or #[arg(rename = \"wireName\")]";

impl MethodArgs {
    pub(crate) fn read(attribute: &Attribute, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let tokens = match &attribute.meta {
            Meta::Path(_) => return args,
            Meta::List(list) => list.tokens.clone(),
            Meta::NameValue(pair) => {
                errors.at(pair, format_args!("write #[service_method] or {METHOD_FORM}"));
                return args;
            }
        };
        for Arg { word, value } in read_list(tokens, METHOD_FORM, errors) {
            let name = word.to_string();
            if !ACCESS_WORDS.contains(&name.as_str()) {
                args.others.push(word.clone());
            }
            match name.as_str() {
                "nodes" => args.set_access(AccessWord::Nodes, &word, value.flag(&word, errors), errors),
                "public" => args.set_access(AccessWord::Public, &word, value.flag(&word, errors), errors),
                "anonymous" => args.set_access(AccessWord::Anonymous, &word, value.flag(&word, errors), errors),
                "scope" => {
                    if let Some(scope) = value.text(&word, "scope = \"orders:read\"", errors) {
                        if scope.value().is_empty() || scope.value().contains(char::is_whitespace) {
                            errors.at(&scope, "a scope is one word of a token, such as scope = \"orders:read\"");
                        }
                        args.set_access(AccessWord::Scope(scope), &word, true, errors);
                    }
                }
                "role" => {
                    if let Some(role) = value.text(&word, "role = \"coordinator\"", errors) {
                        args.set_access(AccessWord::Role(role), &word, true, errors);
                    }
                }
                "idempotent" => args.idempotent = value.flag(&word, errors),
                "read_only" => args.read_only = value.flag(&word, errors),
                "detached" => args.detached = value.flag(&word, errors),
                "track_metrics" => args.track_metrics = Some(value.flag(&word, errors)),
                "timeout" => {
                    if let Some(text) = value.text(&word, "timeout = \"2s\"", errors) {
                        args.timeout = errors.take(duration(&text));
                    }
                }
                "rename" => args.rename = value.text(&word, "rename = \"wire_name\"", errors),
                _ => unknown(&word, "service_method", &METHOD_WORDS, errors),
            }
        }
        args
    }

    fn set_access(&mut self, access: AccessWord, word: &Ident, wanted: bool, errors: &mut Errors) {
        if self.access.is_some() {
            errors.at(word, "a method has one access word: nodes, public, anonymous, scope = \"…\" or role = \"…\"");
        } else if wanted {
            self.access = Some(access);
            self.access_at = Some(word.span());
        }
    }
}

/// `#[arg(default = …)]`
#[derive(Default)]
pub(crate) struct ArgArgs {
    pub(crate) default: Option<Expr>,
    pub(crate) rename: Option<LitStr>,
}

impl ArgArgs {
    pub(crate) fn read(attribute: &Attribute, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let Meta::List(list) = &attribute.meta else {
            errors.at(attribute, format_args!("it says nothing; write {ARG_FORM}"));
            return args;
        };
        for Arg { word, value } in read_list(list.tokens.clone(), ARG_FORM, errors) {
            match word.to_string().as_str() {
                "default" => args.default = value.expression(&word, "default = 10", errors),
                "rename" => args.rename = value.text(&word, "rename = \"wireName\"", errors),
                _ => unknown(&word, "arg", &["default", "rename"], errors),
            }
        }
        args
    }
}

/// `word`, `word = value` or `word(value)`; only the first two are legal, the third is read to be refused well.
struct Arg {
    word: Ident,
    value: Value,
}

enum Value {
    None,
    Is(Expr),
    Called,
}

impl Parse for Arg {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let word = Ident::parse_any(input)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Is(input.parse()?)
        } else if input.peek(syn::token::Paren) {
            input.parse::<proc_macro2::Group>()?;
            Value::Called
        } else {
            Value::None
        };
        Ok(Self { word, value })
    }
}

/// `form` is how the whole attribute is written.
fn read_list(tokens: TokenStream, form: &str, errors: &mut Errors) -> Vec<Arg> {
    let parsed = Punctuated::<Arg, Token![,]>::parse_terminated.parse2(tokens);
    let mut seen: Vec<String> = Vec::new();
    let mut args = Vec::new();
    let parsed = parsed.map_err(|error| syn::Error::new(error.span(), format!("{error}; write {form}")));
    for arg in errors.take(parsed).into_iter().flatten() {
        let name = arg.word.to_string();
        if seen.contains(&name) {
            errors.at(&arg.word, format_args!("`{name}` is given twice; keep one"));
        } else {
            seen.push(name);
            args.push(arg);
        }
    }
    args
}

impl Value {
    fn text(self, word: &Ident, example: &str, errors: &mut Errors) -> Option<LitStr> {
        match self {
            Self::Is(Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })) => Some(text),
            _ => {
                errors.at(word, format_args!("`{word}` takes a text: {example}"));
                None
            }
        }
    }

    /// `word`, `word = true`, `word = false`
    fn flag(self, word: &Ident, errors: &mut Errors) -> bool {
        match self {
            Self::None => true,
            Self::Is(Expr::Lit(syn::ExprLit { lit: syn::Lit::Bool(set), .. })) => set.value,
            _ => {
                errors.at(word, format_args!("`{word}` stands alone: #[service_method({word})]; or is switched: {word} = false"));
                false
            }
        }
    }

    /// `[word, word]`
    fn words(self, word: &Ident, example: &str, errors: &mut Errors) -> Vec<Ident> {
        let words = match self {
            Self::Is(Expr::Array(list)) => list
                .elems
                .iter()
                .map(|one| if let Expr::Path(path) = one { path.path.get_ident().cloned() } else { None })
                .collect(),
            _ => None,
        };
        words.unwrap_or_else(|| {
            errors.at(word, format_args!("`{word}` takes a list of words: {example}"));
            Vec::new()
        })
    }

    fn path(self, word: &Ident, example: &str, errors: &mut Errors) -> Option<Path> {
        match self {
            Self::Is(Expr::Path(path)) => Some(path.path),
            _ => {
                errors.at(word, format_args!("`{word}` takes the path of a function: {example}"));
                None
            }
        }
    }

    fn expression(self, word: &Ident, example: &str, errors: &mut Errors) -> Option<Expr> {
        match self {
            Self::Is(expression) => Some(expression),
            _ => {
                errors.at(word, format_args!("`{word}` takes a value: {example}"));
                None
            }
        }
    }
}

fn unknown(word: &Ident, attribute: &str, known: &[&str], errors: &mut Errors) {
    let hint = match nearest(&word.to_string(), known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it takes: {}", known.join(", ")),
    };
    errors.at(word, format_args!("#[{attribute}] knows no `{word}`; {hint}"));
}

/// `"500ms"`, `"2s"`, `"5m"`, `"1h"`.
fn duration(text: &LitStr) -> syn::Result<Duration> {
    let value = text.value();
    let split = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let parsed = number.parse::<u64>().ok().and_then(|number| match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    });
    match parsed {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(syn::Error::new(text.span(), "not a duration; write a whole number above 0 and ms, s, m or h, such as \"2s\"")),
    }
}
