//! What a method that streams yields: `Result<impl Stream<Item = T>>`, as it is written.

use quote::ToTokens;
use syn::{AssocType, GenericArgument, PathArguments, TraitBound, Type, TypeImplTrait, TypeParamBound, visit::Visit};

use crate::parse::last_segment_is;

use super::param::{borrows, is_impl, ungrouped};

/// The items of a method that streams.
pub(crate) struct Items {
    /// Their type, as written.
    pub(crate) written: Type,
    /// Whether it is written `Result<…>`: an error ends the stream then.
    pub(crate) are_results: bool,
}

/// How a method that streams is written.
pub(super) const FORM: &str =
    "    #[service_method]\n    pub async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> { … }";

/// Looks for `impl Stream` in a return type.
pub(super) fn find(outcome: &Type) -> syn::Result<Option<Items>> {
    let mut opaque = Opaque::default();
    opaque.visit_type(outcome);
    let Some((stream, bound)) = opaque.0.iter().find_map(|found| Some((found, stream_bound(found)?))) else { return Ok(None) };
    let mistake =
        |at: &dyn ToTokens, text: &str| Err(syn::Error::new_spanned(at.to_token_stream(), format!("{text}:\n\n{FORM}")));
    if matches!(ungrouped(outcome), Type::ImplTrait(_)) {
        return mistake(outcome, "a method that streams returns a `Result` of its stream, as every call can fail");
    }
    if opaque.0.len() > 1 {
        return mistake(outcome, "a method opens one stream; make one item type of both, such as an enum");
    }
    match item_type(bound) {
        None => mistake(stream, "a stream says what it yields, as the schema of its items is published"),
        Some(item) if is_impl(item.to_token_stream()) => {
            mistake(item, "the items of a stream are of a type with a name, as its schema is published")
        }
        Some(item) if borrows(item.to_token_stream()) => mistake(
            item,
            "the items of a stream are values of their own, as they may travel; yield the owned form, such as `String`",
        ),
        Some(item) => {
            let are_results = matches!(ungrouped(item), Type::Path(path) if last_segment_is(&path.path, "Result"));
            Ok(Some(Items { written: item.clone(), are_results }))
        }
    }
}

/// Whether a return type holds a stream behind a pointer: `BoxStream<'static, T>`, `Pin<Box<dyn Stream<Item = T>>>`.
pub(super) fn is_boxed(outcome: &Type) -> bool {
    struct Boxed(bool);
    impl<'ast> Visit<'ast> for Boxed {
        fn visit_path(&mut self, path: &'ast syn::Path) {
            self.0 |= last_segment_is(path, "BoxStream") || last_segment_is(path, "LocalBoxStream");
            syn::visit::visit_path(self, path);
        }

        fn visit_type_trait_object(&mut self, object: &'ast syn::TypeTraitObject) {
            let is_stream =
                |bound: &TypeParamBound| matches!(bound, TypeParamBound::Trait(bound) if last_segment_is(&bound.path, "Stream"));
            self.0 |= object.bounds.iter().any(is_stream);
            syn::visit::visit_type_trait_object(self, object);
        }
    }
    let mut boxed = Boxed(false);
    boxed.visit_type(outcome);
    boxed.0
}

/// Whether a parameter is written as a stream.
pub(super) fn is_stream(written: &Type) -> bool {
    let mut opaque = Opaque::default();
    opaque.visit_type(written);
    opaque.0.iter().any(|found| stream_bound(found).is_some())
}

/// The types `impl …` in a type, outermost first; not those within them.
#[derive(Default)]
struct Opaque(Vec<TypeImplTrait>);

impl<'ast> Visit<'ast> for Opaque {
    fn visit_type_impl_trait(&mut self, found: &'ast TypeImplTrait) {
        self.0.push(found.clone());
    }
}

/// `Stream<…>` by its last segment: the trait itself is checked by the compiler, where it is used.
fn stream_bound(opaque: &TypeImplTrait) -> Option<&TraitBound> {
    opaque.bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) if last_segment_is(&bound.path, "Stream") => Some(bound),
        _ => None,
    })
}

fn item_type(bound: &TraitBound) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &bound.path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Item" => Some(ty),
        _ => None,
    })
}
