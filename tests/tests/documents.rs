//! The documents that a node serves: OpenAPI and OpenRPC, as they are read by programs of other people.
//!
//! `UPDATE_GOLDEN=1 cargo test -p p2p-tests --test documents` rewrites the golden documents; read the difference before it is kept.
#![allow(clippy::unwrap_used, reason = "in a test, what cannot be unwrapped is a failure")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use common::{
    Cluster, Member, Plan, sees, soon, token,
    web::{Web, assert_error},
    worker_ip,
};
use p2p_client::protocol::ErrorCode;
use p2p_runtime::identity::TokenOptions;
use serde_json::{Value, json};

/// A service that has everything which a document can tell of one.
mod library {
    use std::collections::BTreeMap;

    use p2p_services::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// A book.
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    pub(crate) struct Book {
        pub(crate) id: u64,
        /// As it stands on the cover.
        pub(crate) full_title: String,
        #[serde(default)]
        pub(crate) pages: Option<u16>,
        pub(crate) kind: Kind,
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "is", rename_all = "snake_case")]
    pub(crate) enum Kind {
        Novel,
        /// Teaches something.
        TextBook {
            subject: String,
        },
    }

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    pub(crate) enum Order {
        /// From A to Z.
        Title,
        Newest,
    }

    /// Holds books, and other shelves.
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Shelf {
        pub(crate) books: Vec<Book>,
        pub(crate) below: Vec<Shelf>,
        pub(crate) labels: BTreeMap<String, (u8, f64)>,
    }

    #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Reader {
        pub(crate) name: String,
    }

    /// Why a book is not lent.
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    pub(crate) enum LendError {
        NoSuchBook,
        Lent { to: Reader },
    }

    impl std::fmt::Display for LendError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            match self {
                Self::NoSuchBook => f.write_str("there is no such book"),
                Self::Lent { to } => write!(f, "it is lent to {}", to.name),
            }
        }
    }

    impl std::error::Error for LendError {}

    pub(crate) struct Library;

    /// Lends books.
    #[service(version = "2.1.0", description = "Lends books.")]
    impl Library {
        /// Finds books.
        ///
        /// Those that fit best come first.
        #[service_method(anonymous, read_only, timeout = "2s")]
        pub(crate) async fn find(
            &self,
            #[arg(rename = "for")] wanted: String,
            #[arg(default = 10)] limit: u32,
            order: Option<Order>,
        ) -> Result<Vec<Book>> {
            let _ = order;
            let book = Book { id: 1, full_title: wanted, pages: None, kind: Kind::Novel };
            Ok(if limit > 0 { vec![book] } else { Vec::new() })
        }

        /// Lends a book.
        #[service_method(scope = "library:lend", idempotent)]
        pub(crate) async fn lend(&self, id: u64, to: &Reader) -> Result<Book, LendError> {
            Err(if id == 1 { LendError::Lent { to: to.clone() } } else { LendError::NoSuchBook })
        }

        /// Puts everything in its place.
        #[service_method(role = "coordinator", detached, rename = "tidy_up")]
        pub(crate) async fn tidy(&self, #[arg(default = false)] again: bool, room: String) -> Result<()> {
            let _ = (again, room);
            Ok(())
        }

        /// A shelf, with all that is below it.
        #[service_method(public)]
        pub(crate) async fn shelf(&self, name: String) -> Result<Shelf> {
            Ok(Shelf { books: Vec::new(), below: Vec::new(), labels: BTreeMap::from([(name, (1, 0.5))]) })
        }

        #[service_method]
        pub(crate) async fn close(&self) -> Result<()> {
            Ok(())
        }

        /// Every book, one after the other.
        #[service_method(anonymous, read_only)]
        pub(crate) async fn walk(&self) -> Result<impl Stream<Item = Book>> {
            Ok(futures::stream::iter([Book { id: 1, full_title: "Emma".to_owned(), pages: None, kind: Kind::Novel }]))
        }
    }
}

/// Another service, with another type that is called `Book`.
mod archive {
    use p2p_services::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    pub(crate) struct Book {
        pub(crate) year: i32,
    }

    pub(crate) struct Archive;

    #[service(version = "0.1.0")]
    impl Archive {
        /// The oldest book.
        #[service_method(anonymous)]
        pub(crate) async fn oldest(&self) -> Result<Book> {
            Ok(Book { year: 868 })
        }
    }
}

/// Where the validators are; installed by the script of this tree, which does nothing where they are there already.
static VALIDATORS: LazyLock<PathBuf> = LazyLock::new(|| {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("validators/install");
    let done = Command::new(&script).env("CARGO_TARGET_DIR", &target).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{} failed; tests/run installs what it needs: {said}", script.display());
    target.join("validators")
});

/// What somebody else's program says of a document.
fn judged(by: &str, document: &Value) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("document.json");
    fs::write(&file, document.to_string()).unwrap();
    let mut command = match by {
        "openapi-spec-validator" => Command::new(VALIDATORS.join("python/bin/openapi-spec-validator")),
        kind => {
            let mut command = Command::new("node");
            command.arg(VALIDATORS.join("judge.mjs")).arg(kind);
            command
        }
    };
    command.arg(&file).output().unwrap()
}

#[track_caller]
fn assert_accepted(by: &str, document: &Value) {
    let Output { status, stdout, stderr } = judged(by, document);
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{by}: {said}\n{document:#}");
}

/// A node that hosts both services, and its operator.
async fn one_node() -> (Cluster, Member, Web) {
    let cluster = Cluster::new();
    let plan = Plan::coordinator().without_probe();
    let enrolment = cluster.init(&plan).await.unwrap();
    let serves =
        |builder: p2p_runtime::node::NodeBuilder| builder.only_given_services().serve(library::Library).serve(archive::Archive);
    let member = cluster.start_with(plan, enrolment, serves).await.unwrap();
    let operator = Web::operator(cluster.dir("coordinator"));
    (cluster, member, operator)
}

/// Compares a document with its golden file.
#[track_caller]
fn assert_golden(name: &str, mut document: Value) {
    // The software's own version changes without the document.
    document["info"]["version"] = "0.0.0".into();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let text = format!("{document:#}\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return fs::write(path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} is not what the node serves now; if that is meant, set UPDATE_GOLDEN=1\n{text}", path.display());
}

#[tokio::test]
async fn the_documents_of_a_service_that_has_everything_are_the_golden_ones() {
    let (_cluster, _node, operator) = one_node().await;
    assert_golden("openapi.json", operator.get("/openapi.json").await.json());
    assert_golden("openapi-3.0.json", operator.get("/openapi-3.0.json").await.json());
    assert_golden("openrpc.json", operator.get("/openrpc.json").await.json());
}

#[tokio::test]
async fn the_documents_are_accepted_by_other_peoples_validators() {
    let (_cluster, _node, operator) = one_node().await;
    let openapi = operator.get("/openapi.json").await.json();
    assert_accepted("openapi-spec-validator", &openapi);
    assert_accepted("openapi", &openapi);
    let older = operator.get("/openapi-3.0.json").await.json();
    assert_accepted("openapi-spec-validator", &older);
    assert_accepted("openapi-3.0", &older);
    assert_accepted("openrpc", &operator.get("/openrpc.json").await.json());
}

#[tokio::test]
async fn the_validators_refuse_documents_that_are_wrong() {
    let (_cluster, _node, operator) = one_node().await;
    let openapi = operator.get("/openapi.json").await.json();
    let mut untitled = openapi.clone();
    untitled["info"].as_object_mut().unwrap().remove("title");
    for by in ["openapi-spec-validator", "openapi"] {
        assert!(!judged(by, &untitled).status.success(), "{by}");
    }
    // What the later version says is nothing that the older one knows.
    let mut later = openapi.clone();
    later["openapi"] = "3.0.3".into();
    for by in ["openapi-spec-validator", "openapi-3.0"] {
        assert!(!judged(by, &later).status.success(), "{by}");
    }
    let mut dangling = openapi;
    dangling["components"]["schemas"].as_object_mut().unwrap().remove("library.Book");
    assert!(!judged("openapi", &dangling).status.success());
    let mut untyped = operator.get("/openapi.json").await.json();
    untyped["paths"]["/rpc/library/lend"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]["type"] = 7.into();
    assert!(!judged("openapi", &untyped).status.success(), "the schemas of errors are looked at");
    let mut itemless = operator.get("/openrpc.json").await.json();
    let walk = itemless["methods"].as_array_mut().unwrap().iter_mut().find(|method| method["name"] == "library/walk").unwrap();
    walk["x-p2p-item"]["$ref"] = "#/components/schemas/library.Nothing".into();
    assert!(!judged("openrpc", &itemless).status.success(), "the schemas of items are looked at");
    let mut openrpc = operator.get("/openrpc.json").await.json();
    openrpc["methods"][0]["paramStructure"] = "by-chance".into();
    assert!(!judged("openrpc", &openrpc).status.success());
}

#[tokio::test]
async fn types_of_one_name_keep_apart_and_methods_say_whom_they_are_for() {
    let (_cluster, _node, operator) = one_node().await;
    let document = operator.get("/openapi.json").await.json();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas["library.Book"]["properties"].get("fullTitle").is_some(), "{document:#}");
    assert!(schemas["archive.Book"]["properties"].get("year").is_some(), "{document:#}");
    let security = |path: &str| document["paths"][path]["post"]["security"].clone();
    assert_eq!(security("/rpc/library/find"), json!([]));
    assert_eq!(security("/rpc/library/lend"), json!([{ "node": [] }, { "token": ["library:lend"] }]));
    assert_eq!(security("/rpc/library/tidy_up"), json!([{ "node": ["coordinator"] }]));
    assert_eq!(security("/rpc/library/shelf"), json!([{ "node": [] }, { "token": [] }]));
    assert_eq!(security("/rpc/library/close"), json!([{ "node": [] }]));
}

#[tokio::test]
async fn what_the_document_says_can_be_called_and_errors_come_with_their_status() {
    let (cluster, node, operator) = one_node().await;
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &node);
    let found = nobody.post("/rpc/library/find", r#"{"for":"Emma"}"#).await;
    assert_eq!(found.status, 200);
    assert_eq!(found.json(), json!([{ "id": 1, "fullTitle": "Emma", "pages": null, "kind": { "is": "novel" } }]));
    let refused = operator.post("/rpc/library/lend", r#"{"id":1,"to":{"name":"Ada"}}"#).await;
    assert_eq!(refused.status, 422);
    assert_eq!(
        refused.json(),
        json!({ "error": { "code": -32000, "message": "it is lent to Ada", "data": { "Lent": { "to": { "name": "Ada" } } } } })
    );
    for (web, path, body, status, code) in [
        (&nobody, "/rpc/library/lend", "{}", 403, ErrorCode::DENIED),
        (&operator, "/rpc/library/lend", "{}", 400, ErrorCode::INVALID_PARAMS),
        (&operator, "/rpc/library/lend", "[", 400, ErrorCode::PARSE),
        (&operator, "/rpc/library/burn", "{}", 404, ErrorCode::METHOD_NOT_FOUND),
        (&operator, "/rpc/library/close?on=role=worker", "{}", 503, ErrorCode::NO_ROUTE),
    ] {
        let answer = web.post(path, body).await;
        assert_eq!((answer.status.as_u16(), answer.error().0), (status, code.0), "{path} {body}: {:?}", answer.body);
    }
}

#[tokio::test]
async fn discovery_is_a_call_and_gives_the_same_document_to_who_may_read_it() {
    let (cluster, node, operator) = one_node().await;
    let document = operator.get("/openrpc.json").await.json();
    assert_eq!(operator.call("rpc.discover", json!([])).await.unwrap(), document);
    let nobody = Web::anonymous(cluster.host(worker_ip(9)), &node);
    let refused = nobody.call("rpc.discover", json!({})).await;
    assert_error(refused, ErrorCode::DENIED, &["an anonymous caller may not call rpc.discover"]);
    let descriptor = nobody.get("/internal/descriptor/library").await;
    let (code, said) = descriptor.error();
    assert_eq!((descriptor.status.as_u16(), code), (403, ErrorCode::DENIED.0));
    assert!(said.contains("an anonymous caller may not call /internal/descriptor"), "{said}");
}

#[tokio::test]
async fn a_node_describes_what_other_nodes_host_and_names_what_it_could_not_ask_for() {
    let (cluster, coordinator, _) = one_node().await;
    let plan = Plan::worker(1).without_probe();
    let made = token(&coordinator, TokenOptions::default()).await;
    let enrolment = soon(cluster.join(&plan, &coordinator.authority(), made)).await.unwrap();
    let worker = cluster.start_with(plan, enrolment, p2p_runtime::node::NodeBuilder::only_given_services).await.unwrap();
    sees(&worker, |members| members.hosting("library").count() == 1).await;
    let operator = Web::operator(cluster.dir("worker-1"));
    let document = operator.get("/openapi.json").await.json();
    assert_eq!(document["paths"].as_object().unwrap().len(), 7, "{document:#}");
    // And what stands there is served here, by passing it on.
    let oldest = operator.post("/rpc/archive/oldest", "{}").await;
    assert_eq!(oldest.json(), json!({ "year": 868 }));

    // A worker that has not asked yet, and cannot.
    let plan = Plan::worker(2).without_probe();
    let made = token(&coordinator, TokenOptions::default()).await;
    let enrolment = soon(cluster.join(&plan, &coordinator.authority(), made)).await.unwrap();
    let late = cluster.start_with(plan, enrolment, p2p_runtime::node::NodeBuilder::only_given_services).await.unwrap();
    sees(&late, |members| members.hosting("library").count() == 1).await;
    cluster.network.partition(late.ip, coordinator.ip);
    let document = Web::operator(cluster.dir("worker-2")).get("/openapi.json").await.json();
    let said = document["info"]["description"].as_str().unwrap();
    assert!(said.ends_with("Missing here, as their hosts could not be asked: archive, library."), "{said}");
    assert_accepted("openapi-spec-validator", &document);
}
