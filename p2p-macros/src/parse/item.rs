//! The item under `#[service]`, with method bodies kept as they are: a body that is not finished yet must not take the
//! rest of the service away from the editor.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt, quote};
use syn::{
    Attribute, Generics, Ident, ImplItem, Path, Signature, Token, TraitItem, Type, Visibility, braced,
    parse::{Parse, ParseStream, discouraged::Speculative},
    punctuated::Punctuated,
    token,
};

/// What stands under `#[service]`.
pub(crate) struct Item {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) generics: Generics,
    pub(crate) kind: Kind,
    /// The braces around the block, at their places.
    brace: token::Brace,
    pub(crate) block: Block,
}

/// Which of the three places it is.
pub(crate) enum Kind {
    /// `impl Greeter`
    Own { keyword: Token![impl], object: Type },
    /// `trait Kv`
    Contract { visibility: Visibility, keyword: Token![trait], name: Ident, supertraits: TokenStream },
    /// `impl Kv for MemoryKv`
    Host { keyword: Token![impl], contract: Path, object: Type },
}

/// The functions of an item, and all else between its braces.
#[derive(Default)]
pub(crate) struct Block {
    pub(crate) functions: Vec<Function>,
    pub(crate) others: Vec<TokenStream>,
    /// Functions that are not written to their end, or in a form that no function has.
    pub(crate) unreadable: Vec<Unreadable>,
}

/// A function that could not be read, and why.
pub(crate) struct Unreadable {
    tokens: TokenStream,
    pub(crate) error: syn::Error,
}

/// One function.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// `{ … }`, or `;`
    pub(crate) body: TokenTree,
}

impl Parse for Item {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility: Visibility = input.parse()?;
        if input.peek(Token![impl]) {
            parse_impl(input, attributes)
        } else if input.peek(Token![trait]) {
            parse_trait(input, attributes, visibility)
        } else {
            Err(input.error(
                "#[service] stands on a block of methods:\n\n    #[service]\n    impl Greeter { … }         // a service: what it is and who hosts it\n\n    \
                 #[service]\n    trait Kv { … }             // a contract: only what it is\n\n    \
                 #[service]\n    impl Kv for MemoryKv { … } // the host of a contract",
            ))
        }
    }
}

fn parse_impl(input: ParseStream<'_>, attributes: Vec<Attribute>) -> syn::Result<Item> {
    let keyword = input.parse()?;
    let mut generics: Generics = if input.peek(Token![<]) { input.parse()? } else { Generics::default() };
    let first: Type = input.parse()?;
    let kind = if input.peek(Token![for]) {
        input.parse::<Token![for]>()?;
        let Type::Path(contract) = first else {
            return Err(syn::Error::new_spanned(first, "expected the path of a contract trait"));
        };
        Kind::Host { keyword, contract: contract.path, object: input.parse()? }
    } else {
        Kind::Own { keyword, object: first }
    };
    generics.where_clause = input.parse()?;
    let content;
    let brace = braced!(content in input);
    let block = Block::parse(&content, |input| input.parse::<ImplItem>().map(ToTokens::into_token_stream))?;
    Ok(Item { attributes, generics, kind, brace, block })
}

fn parse_trait(input: ParseStream<'_>, attributes: Vec<Attribute>, visibility: Visibility) -> syn::Result<Item> {
    let keyword = input.parse()?;
    let name = input.parse()?;
    let mut generics: Generics = input.parse()?;
    let mut supertraits = TokenStream::new();
    if input.peek(Token![:]) {
        input.parse::<Token![:]>()?;
        supertraits = Punctuated::<syn::TypeParamBound, Token![+]>::parse_separated_nonempty(input)?.into_token_stream();
    }
    generics.where_clause = input.parse()?;
    let content;
    let brace = braced!(content in input);
    let block = Block::parse(&content, |input| input.parse::<TraitItem>().map(ToTokens::into_token_stream))?;
    Ok(Item { attributes, generics, kind: Kind::Contract { visibility, keyword, name, supertraits }, brace, block })
}

impl Block {
    fn parse(content: ParseStream<'_>, other: impl Fn(ParseStream<'_>) -> syn::Result<TokenStream>) -> syn::Result<Self> {
        let mut block = Self::default();
        while !content.is_empty() {
            if Function::follows(content) {
                block.function(content)?;
            } else {
                block.others.push(other(content)?);
            }
        }
        Ok(block)
    }

    /// One that is being typed must not take the others away from the editor.
    fn function(&mut self, content: ParseStream<'_>) -> syn::Result<()> {
        let ahead = content.fork();
        match ahead.parse() {
            Ok(function) => {
                content.advance_to(&ahead);
                self.functions.push(function);
            }
            Err(error) => self.unreadable.push(Unreadable { tokens: to_end_of_function(content)?, error }),
        }
        Ok(())
    }
}

/// The tokens up to a body in braces or a semicolon.
fn to_end_of_function(input: ParseStream<'_>) -> syn::Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() {
        let token: TokenTree = input.parse()?;
        let is_end = match &token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        tokens.append(token);
        if is_end {
            break;
        }
    }
    Ok(tokens)
}

impl Function {
    /// Looks ahead past attributes, visibility and qualifiers for `fn`.
    fn follows(input: ParseStream<'_>) -> bool {
        let ahead = input.fork();
        if ahead.call(Attribute::parse_outer).is_err() || ahead.parse::<Visibility>().is_err() {
            return false;
        }
        while ahead.peek(Token![async]) || ahead.peek(Token![const]) || ahead.peek(Token![unsafe]) || ahead.peek(Token![extern]) {
            let is_extern = ahead.peek(Token![extern]);
            if ahead.parse::<TokenTree>().is_err()
                || (is_extern && ahead.peek(syn::LitStr) && ahead.parse::<TokenTree>().is_err())
            {
                return false;
            }
        }
        ahead.peek(Token![fn])
    }

    /// What it says by `#[service_method]`, if it stands under that.
    pub(crate) fn service_method(&self) -> Option<&Attribute> {
        self.service_methods().next()
    }

    /// All that is written of it by `#[service_method]`, where once is right.
    pub(crate) fn service_methods(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| last_segment_is(attribute.path(), "service_method"))
    }

    /// The conditions under which it is compiled.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
    }

    /// The function as it goes back into the user's item: without our attributes.
    pub(crate) fn without_ours(&self) -> TokenStream {
        let attributes = self.attributes.iter().filter(|attribute| !last_segment_is(attribute.path(), "service_method"));
        let mut signature = self.signature.clone();
        for input in &mut signature.inputs {
            if let syn::FnArg::Typed(argument) = input {
                argument.attrs.retain(|attribute| !last_segment_is(attribute.path(), "arg"));
            }
        }
        let (visibility, body) = (&self.visibility, &self.body);
        quote!(#(#attributes)* #visibility #signature #body)
    }
}

/// Whether a path ends so: `service_method`, `p2p_runtime::service_method`.
pub(crate) fn last_segment_is(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == name)
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input.parse()?;
        let body: TokenTree = input.parse()?;
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl Item {
    /// The user's item as it goes back to the compiler, without our attributes.
    pub(crate) fn without_ours(&self) -> TokenStream {
        self.without_ours_but_with(&TokenStream::new())
    }

    /// The same, with more at the end of its block.
    pub(crate) fn without_ours_but_with(&self, more: &TokenStream) -> TokenStream {
        let Self { attributes, generics, kind, brace, block } = self;
        let functions = block.functions.iter().map(Function::without_ours);
        let unreadable = block.unreadable.iter().map(Unreadable::without_ours);
        let others = &block.others;
        let where_clause = &generics.where_clause;
        let mut tokens = quote!(#(#attributes)*);
        tokens.append_all(match kind {
            Kind::Own { keyword, object } => quote!(#keyword #generics #object #where_clause),
            Kind::Host { keyword, contract, object } => quote!(#keyword #generics #contract for #object #where_clause),
            Kind::Contract { visibility, keyword, name, supertraits } => {
                let colon = (!supertraits.is_empty()).then(|| quote!(:));
                quote!(#visibility #keyword #name #generics #colon #supertraits #where_clause)
            }
        });
        // With the user's own braces, so that errors about the block as a whole stand at the block.
        brace.surround(&mut tokens, |inner| inner.append_all(quote!(#(#others)* #(#functions)* #(#unreadable)* #more)));
        tokens
    }
}

impl Unreadable {
    /// The tokens as they go back into the user's item.
    pub(crate) fn without_ours(&self) -> TokenStream {
        without_our_attributes(self.tokens.clone())
    }
}

/// Tokens less each `#[service_method…]` and `#[arg…]` among them: what stands outside of a block that could be read would only complain
/// again.
pub(crate) fn without_our_attributes(tokens: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if is_our_attribute(&group) && is_pound(kept.last()) => {
                kept.pop();
            }
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), without_our_attributes(group.stream()));
                inner.set_span(group.span());
                kept.push(inner.into());
            }
            token => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

fn is_pound(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == '#')
}

/// `[service_method…]` or `[arg…]`, or with a path before it.
fn is_our_attribute(group: &Group) -> bool {
    let path = group.stream().into_iter().take_while(|token| matches!(token, TokenTree::Ident(_) | TokenTree::Punct(_)));
    group.delimiter() == Delimiter::Bracket
        && matches!(path.last(), Some(TokenTree::Ident(last)) if last == "service_method" || last == "arg")
}
