//! `#[derive(Message)]`: a type's own JSON writer and reader.
//!
//! Both follow one plan: what is constant stands in literals, as long as can be; between them stand the values, each by the form that its
//! type has (`p2p_client::codec`).

use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{DeriveInput, Ident, Path, Type};

use crate::{
    errors::Errors,
    model::message::{Absent, Body, Field, Message, Parts, Variant},
};

use super::{
    Entry, at,
    forms::{self, form},
    json::escaped,
    text,
};

/// What `#[derive(Message)]` makes of a type; on mistakes, the mistakes.
pub(crate) fn message(input: &TokenStream, entry: Entry) -> TokenStream {
    let input = match syn::parse2::<DeriveInput>(input.clone()) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let mut errors = Errors::default();
    let message = Message::read(input, &mut errors);
    let root = entry.root(message.krate.as_ref(), &mut errors);
    errors.into_tokens().unwrap_or_else(|| implementation(&message, &root))
}

fn implementation(message: &Message, root: &Path) -> TokenStream {
    let ident = &message.ident;
    let (write, read) = match &message.body {
        Body::BySerde => (quote!(#root::Plain.write(self, __out)), quote!(#root::Plain.read(__reader))),
        Body::Struct(parts) => (write_struct(parts, root), read_struct(parts, root)),
        Body::Enum(variants) => (write_enum(variants, root), read_enum(variants, root)),
    };
    let mut generics = message.generics.clone();
    let params: Vec<Ident> = generics.type_params().map(|param| param.ident.clone()).collect();
    if !params.is_empty() {
        let bounds = &mut generics.make_where_clause().predicates;
        bounds.extend(params.iter().map(|param| -> syn::WherePredicate { syn::parse_quote!(#param: #root::Message) }));
        // serde's own bounds may be others.
        bounds.push(syn::parse_quote!(Self: #root::Serialize + #root::DeserializeOwned));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let imports = forms::imports(root);
    quote! {
        const _: () = {
            #imports

            #[allow(deprecated, unreachable_code, unused_variables, clippy::all, clippy::pedantic)]
            #[automatically_derived]
            impl #impl_generics #root::Message for #ident #type_generics #where_clause {
                fn write(
                    &self,
                    __out: &mut ::std::vec::Vec<u8>,
                ) -> #root::JsonResult<()> {
                    #write
                }

                fn read(__reader: &mut #root::Reader<'_>) -> ::core::option::Option<Self> {
                    #read
                }
            }
        };
    }
}

fn write_struct(parts: &Parts, root: &Path) -> TokenStream {
    let pattern = pattern(&quote!(Self), parts);
    let mut writing = Writing::new(root);
    writing.parts(parts);
    let written = writing.finish();
    quote! {
        let #pattern = self;
        #written
        ::core::result::Result::Ok(())
    }
}

fn write_enum(variants: &[Variant], root: &Path) -> TokenStream {
    if variants.is_empty() {
        return quote!(match *self {});
    }
    let arms = variants.iter().map(|Variant { ident, wire_name, parts }| {
        let pattern = pattern(&quote!(Self::#ident), parts);
        let name = escaped(wire_name);
        let mut writing = Writing::new(root);
        if matches!(parts, Parts::Unit) {
            writing.literal(&name);
        } else {
            writing.literal(&format!("{{{name}:"));
            writing.parts(parts);
            writing.literal("}");
        }
        let written = writing.finish();
        quote!(#pattern => { #written })
    });
    quote! {
        match self { #(#arms)* }
        ::core::result::Result::Ok(())
    }
}

/// The plan of a writer: statements, and the constant text that comes next.
struct Writing<'a> {
    root: &'a Path,
    statements: TokenStream,
    pending: String,
}

/// What is known, where a member is written or read, of those before it in the object.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    None,
    Perhaps,
    Some,
}

impl<'a> Writing<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, statements: TokenStream::new(), pending: String::new() }
    }

    fn literal(&mut self, text: &str) {
        self.pending.push_str(text);
    }

    fn statement(&mut self, statement: TokenStream) {
        self.flush();
        self.statements.extend(statement);
    }

    fn flush(&mut self) {
        if let [byte] = *self.pending.as_bytes() {
            let byte = Literal::byte_character(byte);
            self.statements.extend(quote!(__out.push(#byte);));
        } else if !self.pending.is_empty() {
            let bytes = Literal::byte_string(self.pending.as_bytes());
            self.statements.extend(quote!(__out.extend_from_slice(#bytes);));
        }
        self.pending.clear();
    }

    fn finish(mut self) -> TokenStream {
        self.flush();
        self.statements
    }

    fn parts(&mut self, parts: &Parts) {
        match parts {
            Parts::Unit => self.literal("null"),
            Parts::One(_, ty) => self.value(ty, 0),
            Parts::Tuple(types) => {
                self.literal("[");
                for (index, ty) in types.iter().enumerate() {
                    self.literal(if index > 0 { "," } else { "" });
                    self.value(ty, index);
                }
                self.literal("]");
            }
            Parts::Named(fields) => self.fields(fields),
        }
    }

    fn value(&mut self, ty: &Type, index: usize) {
        let (form, value) = (form(ty, self.root), value(index));
        self.statement(quote_spanned!(at(ty)=> #form.write(#value, __out)?;));
    }

    fn fields(&mut self, fields: &[Field]) {
        self.literal("{");
        let mut before = Before::None;
        for (index, field) in fields.iter().enumerate() {
            let Some(name) = &field.wire_name else { continue };
            let key = format!(",{}:", escaped(name));
            match &field.skip_if {
                Some(skip_if) => {
                    let mut inner = Writing::new(self.root);
                    inner.key(&key, before);
                    inner.value(&field.ty, index);
                    let (written, value) = (inner.finish(), value(index));
                    self.statement(quote!(if !#skip_if(#value) { #written }));
                    before = if before == Before::Some { Before::Some } else { Before::Perhaps };
                }
                None => {
                    self.key(&key, before);
                    self.value(&field.ty, index);
                    before = Before::Some;
                }
            }
        }
        self.literal("}");
    }

    /// Writes a key, with a comma where there is a member before it.
    fn key(&mut self, key: &str, before: Before) {
        let (root, with_comma) = (self.root, text(key));
        match before {
            // A member that may be left out stands alone: what is written before it was settled by then.
            Before::None => self.literal(&key[1..]),
            Before::Some => self.literal(key),
            Before::Perhaps => self.statement(quote!(#root::write_key(__out, #with_comma);)),
        }
    }
}

fn read_struct(parts: &Parts, root: &Path) -> TokenStream {
    let mut reading = Reading::new(root);
    reading.parts(parts);
    reading.finish(&quote!(Self), parts)
}

fn read_enum(variants: &[Variant], root: &Path) -> TokenStream {
    let arms = variants.iter().map(|Variant { ident, wire_name, parts }| {
        let name = text(wire_name);
        let holds = !matches!(parts, Parts::Unit);
        let mut reading = Reading::new(root);
        if holds {
            reading.parts(parts);
            reading.statement(quote!(__reader.close("}")?;));
        }
        let read = reading.finish(&quote!(Self::#ident), parts);
        quote!((#name, #holds) => { #read })
    });
    quote! {
        let (__name, __holds) = __reader.variant()?;
        match (&*__name, __holds) {
            #(#arms)*
            _ => ::core::option::Option::None,
        }
    }
}

/// The plan of a reader.
struct Reading<'a> {
    root: &'a Path,
    statements: TokenStream,
}

impl<'a> Reading<'a> {
    fn new(root: &'a Path) -> Self {
        Self { root, statements: TokenStream::new() }
    }

    fn statement(&mut self, statement: TokenStream) {
        self.statements.extend(statement);
    }

    fn finish(self, path: &TokenStream, parts: &Parts) -> TokenStream {
        let statements = self.statements;
        let made = made(path, parts);
        quote!(#statements ::core::option::Option::Some(#made))
    }

    fn parts(&mut self, parts: &Parts) {
        match parts {
            Parts::Unit => self.statement(quote!(__reader.literal("null")?;)),
            Parts::One(_, ty) => self.value(ty, 0),
            Parts::Tuple(types) => {
                self.statement(quote!(__reader.open("[")?;));
                for (index, ty) in types.iter().enumerate() {
                    if index > 0 {
                        self.statement(quote!(__reader.literal(",")?;));
                    }
                    self.value(ty, index);
                }
                self.statement(quote!(__reader.close("]")?;));
            }
            Parts::Named(fields) => self.fields(fields),
        }
    }

    fn value(&mut self, ty: &Type, index: usize) {
        let (read, value) = (read(ty, self.root), value(index));
        self.statement(quote_spanned!(at(ty)=> let #value: #ty = #read;));
    }

    fn fields(&mut self, fields: &[Field]) {
        let sent = || fields.iter().filter_map(|field| Some((field, field.wire_name.as_ref()?)));
        let mut before = Before::None;
        // The brace and the first key are one comparison, where the first is always there.
        if sent().next().is_none_or(|(first, _)| first.is_optional()) {
            self.statement(quote!(__reader.open("{")?;));
            if sent().next().is_some() {
                self.statement(quote!(let mut __first = true;));
            }
            before = Before::Perhaps;
        }
        for (index, field) in fields.iter().enumerate() {
            match &field.wire_name {
                Some(name) => self.field(field, index, &escaped(name), &mut before),
                None => {
                    let (value, ty, absent) = (value(index), &field.ty, absent(field, self.root));
                    self.statement(quote_spanned!(at(ty)=> let #value: #ty = #absent;));
                }
            }
        }
        self.statement(quote!(__reader.close("}")?;));
    }

    fn field(&mut self, field: &Field, index: usize, name: &str, before: &mut Before) {
        let (opening, key) = (text(&format!("{{{name}:")), text(&format!(",{name}:")));
        if !field.is_optional() {
            self.statement(match before {
                Before::None => quote!(__reader.open(#opening)?;),
                Before::Some => quote!(__reader.literal(#key)?;),
                Before::Perhaps => quote!(if !__reader.key(#key, &mut __first) { return ::core::option::Option::None; }),
            });
            self.value(&field.ty, index);
            *before = Before::Some;
            return;
        }
        let there = match before {
            Before::Some => quote!(__reader.accept(#key)),
            Before::None | Before::Perhaps => quote!(__reader.key(#key, &mut __first)),
        };
        let (value, ty, read, absent) = (value(index), &field.ty, read(&field.ty, self.root), absent(field, self.root));
        self.statement(quote_spanned!(at(ty)=> let #value: #ty = if #there { #read } else { #absent };));
    }
}

/// Reads the value that stands next.
fn read(ty: &Type, root: &Path) -> TokenStream {
    let form = form(ty, root);
    quote_spanned!(at(ty)=> #form.read(__reader)?)
}

/// The value of a field that is not there.
fn absent(field: &Field, root: &Path) -> TokenStream {
    let (ty, member) = (&field.ty, &field.member);
    match &field.absent {
        Absent::Nothing => quote!(#root::absent::<#ty>()?),
        Absent::Default => quote_spanned!(at(ty)=> ::core::default::Default::default()),
        Absent::Path(path) => quote!(#path()),
        Absent::OfWhole => quote!(<Self as ::core::default::Default>::default().#member),
    }
}

/// The name of the value at a place. It can hide nothing of the user's.
fn value(index: usize) -> Ident {
    format_ident!("__value_{index}")
}

/// Takes a struct or a variant apart.
fn pattern(path: &TokenStream, parts: &Parts) -> TokenStream {
    match parts {
        Parts::Named(fields) => {
            let bound = fields.iter().enumerate().map(|(index, field)| {
                let (member, value) = (&field.member, value(index));
                if field.wire_name.is_some() { quote!(#member: #value) } else { quote!(#member: _) }
            });
            quote!(#path { #(#bound),* })
        }
        parts => made(path, parts),
    }
}

/// Makes a struct or a variant.
fn made(path: &TokenStream, parts: &Parts) -> TokenStream {
    match parts {
        Parts::Unit => quote!(#path {}),
        Parts::One(member, _) => {
            let value = value(0);
            quote!(#path { #member: #value })
        }
        Parts::Tuple(types) => {
            let members = (0..types.len()).map(syn::Index::from);
            let values = (0..types.len()).map(value);
            quote!(#path { #(#members: #values),* })
        }
        Parts::Named(fields) => {
            let members = fields.iter().map(|field| &field.member);
            let values = (0..fields.len()).map(value);
            quote!(#path { #(#members: #values),* })
        }
    }
}
