//! No type of this project derives `Debug` over a secret in plain: the sources are read, and what looks like it is asked about.
//! (`p2p-runtime/src/debug_of_secrets.rs` looks at what the types that hold secrets do show.)
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Field, Fields, Ident, Item, ItemMod, Meta, Path as TypePath,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// The packages whose types come to hold secrets.
const PACKAGES: [&str; 3] = ["p2p-client/src", "p2p-runtime/src", "services/src"];
/// Words in the names of fields, and of types around one value, that a secret could have.
const WORDS: [&str; 13] = [
    "secret",
    "secrets",
    "password",
    "passphrase",
    "seed",
    "seeds",
    "token",
    "tokens",
    "credential",
    "key",
    "keys",
    "pkcs8",
    "recovery",
];
/// Types whose `Debug` shows all that they hold.
const PLAIN: [&str; 8] = ["String", "str", "u8", "Bytes", "BytesMut", "HeaderValue", "Value", "Cow"];
/// What is around a value that is wiped, and shows nothing of it.
const WIPED: &str = "Zeroizing";

/// Fields that only look like it, and what they are.
const NO_SECRETS: &[(&str, &str, &str)] = &[
    ("Line", "token_id", "the id of a token, for the audit log"),
    ("ClientIdentity", "token_id", "the id of a token, for the audit log"),
    ("ClientCommand", "token_id", "the id of a token, which an operator takes back"),
    ("ClientTokenId", "0", "the id of a token"),
    ("InvalidTokenId", "0", "what somebody gave as the id of a token"),
    ("InvalidKeyHash", "0", "what somebody gave as the hash of a public key"),
    ("KeyError", "0", "what is wrong with a key, in words of the library that reads it"),
    ("TokenError", "0", "the version that a join token names"),
    ("Effect", "join_tokens", "ids of tokens that were revoked"),
    ("RevokeError", "credential", "the id of a credential, by which it is revoked"),
    ("ClientRecord", "credential", "the id of a credential, by which it is revoked"),
    ("ClientRecord", "secret_sha256", "the hash of 32 random bytes"),
    ("NodeConfig", "seeds", "addresses at which a node finds its cluster"),
    ("Waits", "key", "the name of a setting"),
    ("Change", "key", "the name of a setting"),
    ("Mistake", "key", "the name of a setting"),
];

/// A field that `Debug` would show, and should not: of which type, under which name.
type Finding = (String, String);

/// Goes through a file's types.
#[derive(Default)]
struct Search {
    found: BTreeSet<Finding>,
}

impl Search {
    fn of(source: &str) -> BTreeSet<Finding> {
        let mut search = Self::default();
        search.visit_file(&syn::parse_file(source).unwrap());
        search.found
    }

    fn look_at(&mut self, of: &Ident, fields: &Fields) {
        for (place, field) in fields.iter().enumerate() {
            // A type around one value is named after that.
            let called = field.ident.as_ref().unwrap_or(of);
            if would_show(called, field) {
                let name = field.ident.as_ref().map_or_else(|| place.to_string(), ToString::to_string);
                self.found.insert((of.to_string(), name));
            }
        }
    }
}

impl<'ast> Visit<'ast> for Search {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Struct(item) if derives_debug(&item.attrs) => self.look_at(&item.ident, &item.fields),
            Item::Enum(item) if derives_debug(&item.attrs) => {
                item.variants.iter().for_each(|variant| self.look_at(&item.ident, &variant.fields));
            }
            Item::Mod(ItemMod { attrs, .. }) if is_for_tests(attrs) => return,
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

fn derives_debug(attributes: &[Attribute]) -> bool {
    let derived = |attribute: &Attribute| {
        let words = attribute.parse_args_with(Punctuated::<TypePath, syn::Token![,]>::parse_terminated).unwrap();
        words.iter().any(|word| word.segments.last().is_some_and(|last| last.ident == "Debug"))
    };
    attributes.iter().filter(|attribute| attribute.path().is_ident("derive")).any(derived)
}

/// `#[cfg(test)]`, alone or among others.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let of_tests = |attribute: &Attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let text = list.tokens.to_string();
        text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "test")
    };
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(of_tests)
}

/// Whether a field of this name is of a type that shows a secret.
fn would_show(called: &Ident, field: &Field) -> bool {
    /// The names in a type, whatever is around them.
    #[derive(Default)]
    struct Names(BTreeSet<String>);
    impl Visit<'_> for Names {
        fn visit_ident(&mut self, ident: &Ident) {
            self.0.insert(ident.to_string());
        }
    }
    let mut names = Names::default();
    names.visit_type(&field.ty);
    let is_plain = PLAIN.iter().any(|plain| names.0.contains(*plain));
    is_plain && !names.0.contains(WIPED) && words(&called.to_string()).iter().any(|word| WORDS.contains(&word.as_str()))
}

/// The words of a name: of `token_id` and of `TokenId` they are `token` and `id`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() {
            words.push(String::new());
        }
        if letter != '_' {
            words.last_mut().unwrap().extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name.ends_with("tests") || ["security", "testing", "fuzzing"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn no_type_derives_debug_over_a_secret_in_plain() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for package in PACKAGES {
        sources(&workspace.join(package), &mut files);
    }
    assert!(files.len() > 300, "{} files", files.len());
    let (mut used, mut unknown) = (BTreeSet::new(), Vec::new());
    for file in &files {
        for (of, field) in Search::of(&fs::read_to_string(file).unwrap()) {
            match NO_SECRETS.iter().find(|(known, name, _)| *known == of && *name == field) {
                Some((of, field, _)) => drop(used.insert((*of, *field))),
                None => unknown.push(format!("{of}.{field} in {}", file.display())),
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "these look like secrets, and the derived Debug shows them: give them a type that cannot be printed (storage::Secret, say), or write \
         Debug by hand; where one is no secret, say in NO_SECRETS what it is: {unknown:#?}"
    );
    for (of, field, _) in NO_SECRETS {
        assert!(used.contains(&(*of, *field)), "{of}.{field} is not there any more: take it from the list");
    }
}

#[test]
fn the_control_finds_careless_types_and_no_others() {
    let careless = r"
        #[derive(Clone, Debug)]
        struct Login { name: String, password: String }
        #[derive(std::fmt::Debug)]
        enum Asked { Nothing, By(u8), With { join_token: Option<Box<str>> } }
        #[derive(Debug)]
        pub(crate) struct SigningKey([u8; 32]);
        mod within { #[derive(Debug)] struct Deep { seeds: Vec<[u8; 16]> } }
    ";
    let found = Search::of(careless);
    let found: Vec<_> = found.iter().map(|(of, field)| (of.as_str(), field.as_str())).collect();
    let expected = [("Asked", "join_token"), ("Deep", "seeds"), ("Login", "password"), ("SigningKey", "0")];
    assert_eq!(found, expected);
    let careful = r"
        #[derive(Clone)]
        struct Login { name: String, password: String }
        #[derive(Debug)]
        struct Request { password: Secret, seed: Zeroizing<Vec<u8>>, monkey: String, keyed: Vec<u8>, key: PublicKey }
        #[cfg(test)]
        mod tests { #[derive(Debug)] struct Fixture { token: String } }
    ";
    assert_eq!(Search::of(careful), BTreeSet::new());
}
