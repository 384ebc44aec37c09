//! What a service and what is generated for it are called, and which names can stand on the wire.

use proc_macro2::Span;
use quote::format_ident;
use syn::{Ident, LitStr, ext::IdentExt};

use crate::{errors::Errors, parse::ServiceArgs};

/// What the generated items are called.
pub(crate) struct Names {
    /// On the wire.
    pub(crate) service: String,
    /// `GreeterProxy`
    pub(crate) proxy: Ident,
    /// `GreeterProxyExt`
    pub(crate) extension: Ident,
    /// `greeter` in `proxy.greeter()`
    pub(crate) accessor: Ident,
    /// `MockGreeter`
    pub(crate) mock: Ident,
}

/// What every proxy has methods of: its own, and those of traits that are in scope everywhere or often.
const RESERVED_SERVICES: [&str; 9] = ["call", "open", "caller", "within", "clone", "into", "try_into", "to_owned", "borrow"];

impl Names {
    pub(super) fn of(args: &ServiceArgs, type_name: &Ident, errors: &mut Errors) -> Self {
        let type_text = type_name.unraw().to_string();
        let service = args.name.as_ref().map_or_else(|| snake_case(&type_text), LitStr::value);
        let service_span = args.name.as_ref().map_or(type_name.span(), LitStr::span);
        let service_fits = check_wire_name(&service, service_span, errors);
        let proxy = match &args.proxy {
            Some(text) => identifier(text, "proxy = \"GreeterProxy\"", errors),
            None => Ident::new(&format!("{type_text}Proxy"), type_name.span()),
        };
        let accessor = match &args.accessor {
            Some(text) => identifier(text, "accessor = \"greeter\"", errors),
            // What cannot be on the wire can be no identifier either; that was said already.
            None if service_fits => plain_or_raw(&service, type_name.span()),
            None => Ident::new("invalid", type_name.span()),
        };
        if RESERVED_SERVICES.contains(&accessor.to_string().as_str()) {
            let span = args.accessor.as_ref().map_or(service_span, LitStr::span);
            let text = format!(
                "`proxy.{accessor}()` is a method that every proxy has; call the service something else: #[service(name = \"my_{accessor}\")], \
                 or only its method on proxies: #[service(accessor = \"my_{accessor}\")]"
            );
            errors.push(syn::Error::new(span, text));
        }
        let mock = match &args.mock {
            Some(text) => identifier(text, "mock = \"MockGreeter\"", errors),
            None => Ident::new(&format!("Mock{type_text}"), type_name.span()),
        };
        Self { service, extension: format_ident!("{proxy}Ext"), proxy, accessor, mock }
    }
}

/// An identifier that was written as a text.
fn identifier(text: &LitStr, example: &str, errors: &mut Errors) -> Ident {
    text.parse().unwrap_or_else(|_| {
        errors.at(text, format_args!("not the name of a Rust item; write {example}"));
        Ident::new("invalid", text.span())
    })
}

/// `greeter`, or `r#match` where the name is a keyword.
fn plain_or_raw(name: &str, span: Span) -> Ident {
    match syn::parse_str::<Ident>(name) {
        Ok(_) => Ident::new(name, span),
        // The only keywords that cannot be raw are `self`, `super`, `crate` and `Self`, and no wire name survives as one of them.
        Err(_) if ["self", "super", "crate"].contains(&name) => format_ident!("{name}_", span = span),
        Err(_) => Ident::new_raw(name, span),
    }
}

/// Notes a mistake unless `name` can be that of a service or method on the wire.
pub(super) fn check_wire_name(name: &str, span: Span, errors: &mut Errors) -> bool {
    let legal = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !legal {
        let text =
            format!("`{name}` cannot be a name on the wire; use 1 to 63 of a-z, 0-9 and _, a letter first, such as \"greeter\"");
        errors.push(syn::Error::new(span, text));
    }
    legal
}

/// Notes a mistake unless `name` can be that of a parameter on the wire, where other languages write `camelCase` as well.
pub(super) fn check_param_name(name: &str, span: Span, errors: &mut Errors) {
    let legal = name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !legal {
        let text = format!(
            "`{name}` cannot be a parameter's name on the wire; use 1 to 63 of A-Z, a-z, 0-9 and _, no digit first, such as #[arg(rename = \"fullName\")]"
        );
        errors.push(syn::Error::new(span, text));
    }
}

/// `HTTPServer2` becomes `http_server2`.
fn snake_case(camel: &str) -> String {
    let chars: Vec<char> = camel.chars().collect();
    let mut snake = String::new();
    for (index, c) in chars.iter().enumerate() {
        let after_lower = index > 0 && !chars[index - 1].is_uppercase() && chars[index - 1] != '_';
        let before_lower = index > 0 && chars[index - 1] != '_' && chars.get(index + 1).is_some_and(|next| next.is_lowercase());
        if c.is_uppercase() && (after_lower || before_lower) {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_become_service_names() {
        for (camel, snake) in [
            ("Greeter", "greeter"),
            ("KeyValue", "key_value"),
            ("HTTPServer", "http_server"),
            ("Kv2Store", "kv2_store"),
            ("A", "a"),
        ] {
            assert_eq!(snake_case(camel), snake);
        }
    }

    #[test]
    fn no_service_is_called_as_what_every_proxy_has_a_method_of() {
        for name in RESERVED_SERVICES {
            let mut errors = Errors::default();
            Names::of(&ServiceArgs::default(), &Ident::new(name, Span::call_site()), &mut errors);
            let said = errors.into_tokens().unwrap_or_default().to_string();
            assert!(said.contains(&format!("`proxy.{name}()` is a method that every proxy has")), "{name}: {said}");
        }
        let mut errors = Errors::default();
        Names::of(&ServiceArgs::default(), &Ident::new("Opener", Span::call_site()), &mut errors);
        assert!(errors.is_empty());
    }

    #[test]
    fn a_service_whose_name_is_a_keyword_gets_a_raw_accessor() {
        assert_eq!(plain_or_raw("greeter", Span::call_site()), "greeter");
        assert_eq!(plain_or_raw("match", Span::call_site()), "r#match");
        assert_eq!(plain_or_raw("crate", Span::call_site()), "crate_");
    }
}
