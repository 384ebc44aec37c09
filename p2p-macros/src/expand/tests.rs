//! Expansions against golden files: `tests/golden/NAME.rs`. `UPDATE_GOLDEN=1 cargo test -p p2p-macros` rewrites them; read the
//! difference before it is kept, as it is what every user's code turns into.

use std::{env, fs, path::Path};

use proc_macro2::TokenStream;
use quote::quote;

use super::{Entry, message, service};

/// Compares an expansion, as rustfmt would write it, with its golden file.
#[track_caller]
fn assert_golden(name: &str, expansion: TokenStream) {
    let file = syn::parse2(expansion).unwrap_or_else(|error| panic!("the expansion of {name} is no Rust: {error}"));
    let written = prettyplease::unparse(&file);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("rs");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, written).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(written.lines()).position(|(a, b)| a != b).unwrap_or(golden.lines().count()) + 1;
    assert!(
        golden == written,
        "the expansion of {name} is no longer that of {}, first in line {differs}; if that is meant, run it again with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn a_service_with_every_kind_of_parameter_and_of_method_expands_to_its_golden_file() {
    let item = quote! {
        /// Greets people.
        impl Greeter {
            /// Makes it.
            pub async fn new(cx: &Context) -> Result<Self> {
                Ok(Self)
            }

            async fn initialize(&self, cx: &Context) -> Result<()> {
                Ok(())
            }

            async fn cleanup(&self) -> Result<()> {
                Ok(())
            }

            /// Says hello.
            #[service_method(public, idempotent, timeout = "2s")]
            pub async fn greet(
                &self,
                cx: &CallContext,
                name: String,
                #[arg(rename = "times")] r#loop: u32,
                title: Option<String>,
                #[arg(default = '!')] ending: char,
                style: &str,
                guests: &[Guest],
                like: &Greeting,
            ) -> Result<Greeting> {
                Ok(like.clone())
            }

            #[service_method(scope = "greetings:write", detached, track_metrics = false, rename = "wipe")]
            async fn forget_all(&self) -> Result<u64, Forgotten> {
                Err(Forgotten)
            }

            #[service_method(role = "coordinator", read_only)]
            async fn count(&self) -> Counted {
                Ok(0)
            }

            fn not_served(&self) {}
        }
    };
    let args = quote!(version = "1.2.3", roles = [worker]);
    assert_golden("own_service", service(args, &item, Entry::RUNTIME));
}

#[test]
fn methods_under_conditions_are_counted_by_the_compiler_and_expand_to_their_golden_file() {
    let item = quote! {
        impl Machine {
            #[cfg(unix)]
            #[service_method]
            async fn signal(&self, number: i32) -> Result<()> {
                Ok(())
            }

            #[service_method]
            async fn uptime(&self) -> Result<u64> {
                Ok(0)
            }

            async fn health(&self) -> Health {
                Health::healthy()
            }
        }
    };
    assert_golden("methods_under_conditions", service(quote!(version = "1.0.0"), &item, Entry::RUNTIME));
}

#[test]
fn a_contract_expands_to_its_golden_file() {
    let item = quote! {
        /// Keeps values by key.
        pub trait Kv: fmt::Debug
        where
            Self: Keeps<Value>,
        {
            /// What is kept under `key`.
            #[service_method(public, read_only, timeout = "500ms")]
            async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>>;

            async fn put(&self, key: String, value: String) -> Result<(), Full>;
        }
    };
    assert_golden("contract", service(quote!(name = "key_value", version = "2.0.0"), &item, Entry::CLIENT));
}

#[test]
fn a_service_that_streams_expands_to_its_golden_file() {
    let item = quote! {
        impl Counter {
            /// Counts up from a number.
            #[service_method(read_only)]
            pub async fn count(&self, from: u64) -> Result<impl Stream<Item = u64>> {
                Ok(stream::iter(from..))
            }

            #[service_method]
            async fn watch(&self, cx: &CallContext, name: &str) -> Result<impl Stream<Item = Result<Event, Gone>> + use<'_>, Gone> {
                self.events.watch(name)
            }
        }
    };
    assert_golden("streaming_service", service(quote!(), &item, Entry::RUNTIME));
}

#[test]
fn a_contract_that_streams_expands_to_its_golden_file() {
    let item = quote! {
        pub trait Feed {
            async fn entries(&self, since: u64) -> Result<impl Stream<Item = Entry>>;
        }
    };
    assert_golden("streaming_contract", service(quote!(version = "1.0.0"), &item, Entry::CLIENT));
}

#[test]
fn the_host_of_a_contract_expands_to_its_golden_file() {
    let item = quote! {
        impl Kv for MemoryKv {
            async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>> {
                Ok(self.0.lock().get(key).cloned())
            }

            async fn put(&self, key: String, value: String) -> Result<(), Full> {
                Ok(())
            }
        }
    };
    assert_golden("contract_host", service(quote!(roles = [coordinator, worker], init = connect), &item, Entry::SERVICES));
}

#[test]
fn a_generic_host_of_a_contract_is_not_registered_and_expands_to_its_golden_file() {
    let item = quote! {
        impl<T: Store> Kv for Cached<T>
        where
            T: Clone,
        {
            async fn get(&self, cx: &CallContext, key: &str) -> Result<Option<String>> {
                self.0.get(key)
            }
        }
    };
    assert_golden("contract_host_generic", service(quote!(crate = "crate::p2p"), &item, Entry::RUNTIME));
}

#[test]
fn a_service_with_a_mistake_expands_to_itself_and_the_mistake() {
    let item = quote! {
        impl Greeter {
            /// Says hello.
            #[service_method(pubic)]
            pub async fn greet(&self, #[arg(default = "Ada")] name: String) -> Result<String> {
                Ok(name)
            }
        }
    };
    assert_golden("mistake", service(quote!(), &item, Entry::RUNTIME));
}

#[test]
fn async_trait_on_the_host_of_a_contract_is_refused_by_its_last_segment_and_taken_away() {
    let item = quote! {
        #[async_trait::async_trait]
        impl Kv for Memory {
            async fn get(&self) -> Result<()> {
                Ok(())
            }
        }
    };
    let said = service(quote!(), &item, Entry::RUNTIME).to_string();
    assert!(said.contains("#[async_trait] is not needed here"), "{said}");
    assert!(said.contains("Hosted") && !said.contains("# [async_trait"), "{said}");
}

/// The compiler's own parser lets none through; other tools do.
#[test]
fn a_host_of_what_is_no_path_is_told_that_a_contract_is_a_trait() {
    let said = service(quote!(), &quote!(impl (u8) for Memory {}), Entry::RUNTIME).to_string();
    assert!(said.contains("expected the path of a contract trait") && said.contains("for Memory"), "{said}");
}

#[test]
fn a_host_that_narrows_its_contract_expands_to_its_golden_file() {
    let item = quote! {
        impl Kv for MemoryKv {
            #[service_method(nodes)]
            async fn get(&self, key: &str) -> Result<Option<String>> {
                Ok(None)
            }

            #[cfg(unix)]
            #[service_method(scope = "kv:write")]
            async fn put(&self, key: String, value: String) -> Result<(), Full> {
                Ok(())
            }
        }
    };
    assert_golden("contract_host_narrower", service(quote!(), &item, Entry::RUNTIME));
}

/// What an editor is given while a method is typed; the compiler's own parser never lets it through.
#[test]
fn a_method_that_is_being_typed_leaves_the_others_and_what_is_made_of_them_to_the_editor() {
    let typed = quote! {
        /// Says hello.
        #[service_method(public)]
        pub async fn greet(&self, #[arg(default = 1)] name:) -> Result<String> {
            Ok(name)
        }

        #[service_method]
        pub async fn wave(&self, to: &str) -> ;

        #[service_method]
        pub async fn meet(&self, name: String) -> Result<u8> {
            Ok(1)
        }
    };
    let services = [
        service(quote!(), &quote!(impl Greeter { #typed }), Entry::RUNTIME).to_string(),
        service(quote!(), &quote!(pub trait Greeter { #typed async fn part(&self) -> Result<()>; }), Entry::CLIENT).to_string(),
    ];
    for said in services {
        for kept in
            ["struct GreeterProxy", "trait GreeterProxyExt", "struct MockGreeter", "pub async fn greet", "pub async fn wave"]
        {
            assert!(said.contains(kept), "{kept} in {said}");
        }
        assert_eq!(said.matches("compile_error").count(), if said.contains("fn part") { 3 } else { 2 }, "{said}");
        assert!(!said.contains("# [service_method") && !said.contains("# [arg"), "{said}");
    }
    let said = service(quote!(), &quote!(impl Greeter { #typed }), Entry::RUNTIME).to_string();
    assert!(said.contains("pub fn meet (& self , name :") && said.contains("fn on_meet") && said.contains("Hosted"), "{said}");
}

#[test]
fn a_message_that_is_a_struct_expands_to_its_golden_file() {
    let item = quote! {
        /// What `greet` answers.
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct Greeting {
            pub text: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub said_by: Option<NodeId>,
            #[serde(default = "once", alias = "count")]
            times: u32,
            #[serde(skip)]
            cached: bool,
            pub parts: Vec<Part>,
        }
    };
    assert_golden("message_struct", message(&item, Entry::CLIENT));
}

#[test]
fn a_message_that_is_an_enum_expands_to_its_golden_file() {
    let item = quote! {
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Progress {
            NotStarted,
            Running(Percent),
            Between(u64, u64),
            Failed {
                code: i32,
                #[serde(rename = "why")]
                reason: Option<String>,
            },
        }
    };
    assert_golden("message_enum", message(&item, Entry::RUNTIME));
}

#[test]
fn a_message_in_a_form_that_is_not_the_default_of_serde_is_left_to_it_and_expands_to_its_golden_file() {
    let item = quote! {
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Shape {
            Circle { radius: f64 },
            Dot,
        }
    };
    assert_golden("message_by_serde", message(&item, Entry::SERVICES));
}

#[test]
fn a_generic_message_asks_that_its_parameters_are_messages_and_expands_to_its_golden_file() {
    let item = quote! {
        #[derive(Serialize, Deserialize)]
        pub struct Page<T> {
            pub items: Vec<T>,
            pub next: Option<Cursor>,
        }
    };
    assert_golden("message_generic", message(&item, Entry::CLIENT));
}
