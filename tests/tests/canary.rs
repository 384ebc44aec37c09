//! Case 11, of what a service keeps and is given: its secrets and the parameters of calls that fail stand in no log, no answer to anybody else and no file. What
//! whole commands write is searched in `services/tests/command_line/canary.rs`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, path::Path, sync::OnceLock};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use common::{Cluster, Member, log::Log, sees, web::Web, worker_ip};
use p2p_runtime::prelude::Secrets;
use p2p_services::prelude::*;
use serde_json::{Value, json};

const KEPT: &str = "canary one: what a service puts into its namespace";
const GIVEN: &str = "canary two: what a method is given, and keeps there";
const PARAM: &str = "canary three: a parameter of calls that fail";

/// Keeps secrets, and has methods that fail.
#[derive(Default)]
struct Mailer {
    secrets: OnceLock<Secrets>,
    /// Whether it logs what it is given: the control.
    tells: bool,
}

#[service]
impl Mailer {
    async fn initialize(&self, cx: &Context) -> Result<()> {
        let secrets = cx.secrets()?;
        secrets.put("smtp/password", KEPT).await?;
        let _ = self.secrets.set(secrets);
        Ok(())
    }

    /// Keeps a password.
    #[service_method]
    async fn keep(&self, password: String) -> Result<usize> {
        let secrets = self.secrets.get().unwrap();
        secrets.put("imap/password", password).await?;
        Ok(secrets.list("")?.len())
    }

    /// Fails, as the mail server does not answer.
    #[service_method]
    async fn send(&self, password: String, copies: u32) -> Result<()> {
        if self.tells {
            tracing::info!(password, copies, "sending");
        }
        Err(Error::msg("the mail server does not answer"))
    }

    /// Never comes to its end.
    #[service_method]
    async fn wait(&self, password: String) -> Result<usize> {
        std::future::pending::<()>().await;
        Ok(password.len())
    }

    /// For nobody who calls it here.
    #[service_method(role = "coordinator")]
    async fn reset(&self, password: String) -> Result<usize> {
        Ok(password.len())
    }
}

/// The forms in which a secret could stand somewhere.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let numbers = |between: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex, numbers(","), numbers(", ")];
    // Base64 of the middle, for each way in which it can fall on the groups of three bytes.
    forms.extend((0..3).map(|skip| STANDARD_NO_PAD.encode(&bytes[skip..][..(bytes.len() - skip) / 3 * 3])));
    forms.into_iter().map(String::into_bytes).collect()
}

fn is_in(secret: &str, content: &[u8]) -> bool {
    forms(secret).iter().any(|form| content.windows(form.len()).any(|window| window == form))
}

/// The files below a folder in which this secret stands, and how many were looked at.
fn files_with(folder: &Path, secret: &str, looked_at: &mut usize) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_with(&path, secret, looked_at));
        } else if kind.is_file() {
            *looked_at += 1;
            found.extend(is_in(secret, &fs::read(&path).unwrap()).then(|| path.display().to_string()));
        }
    }
    found
}

/// A call that fails, here or on its way.
async fn fails(web: &Web, path: &str, method: &str, params: Value) -> String {
    let (code, said) = web.call_at(path, method, params).await.expect_err(method);
    format!("{code} {said}")
}

/// Makes calls that fail with a parameter in each, from outside, from the node's own socket and from another node, and gives what was answered.
async fn make_calls_that_fail(cluster: &Cluster, coordinator: &Member, worker: &Member) -> Vec<String> {
    let operator = Web::operator(cluster.dir("worker-1"));
    let outside = Web::anonymous(cluster.host(worker_ip(99)), worker);
    let password = || json!({ "password": PARAM });
    let send = || json!({ "password": PARAM, "copies": 2 });
    let mut said = Vec::new();
    for (path, method, params) in [
        ("/rpc", "mailer/send", send()),
        ("/rpc", "mailer/send", password()),
        ("/rpc", "mailer/send", json!([PARAM, 1, 2, 3])),
        ("/rpc", "mailer/no_such_method", password()),
        ("/rpc", "nobody/send", password()),
        ("/rpc", "mailer/reset", password()),
        ("/rpc?on=worker-9", "mailer/send", send()),
    ] {
        said.push(fails(&operator, path, method, params).await);
    }
    let hasty = operator.clone().header("p2p-timeout-ms", "50");
    said.push(fails(&hasty, "/rpc", "mailer/wait", password()).await);
    for method in ["mailer/send", "mailer/reset", "mailer/no_such_method"] {
        said.push(fails(&outside, "/rpc", method, send()).await);
    }
    let elsewhere = coordinator.proxy();
    for method in ["mailer/send", "mailer/no_such_method"] {
        said.push(format!("{:?}", elsewhere.call(method, send()).await.unwrap_err()));
    }
    // Whoever asks is told what he said where it is not of the type that is wanted. Nobody else is: it has to stand in no log.
    fails(&operator, "/rpc", "mailer/send", json!({ "password": "-", "copies": PARAM })).await;
    elsewhere.call("mailer/send", json!({ "password": "-", "copies": PARAM })).await.unwrap_err();
    for text in [format!("{{\"method\":\"mailer/send\",\"params\":{{\"password\":\"{PARAM}\""), format!("[\"{PARAM}\"]")] {
        said.push(format!("{:?}", operator.rpc(text).await));
    }
    said
}

/// A worker with a mailer, and a coordinator that calls it.
async fn cluster_with_a_mailer(tells: bool) -> (Cluster, Member, Member) {
    let host = |number, builder: p2p_runtime::node::NodeBuilder| match number {
        0 => builder,
        _ => builder.serve(Mailer { tells, ..Mailer::default() }),
    };
    let (cluster, coordinator, mut workers) = Cluster::hosting(1, host).await;
    sees(&coordinator, |members| members.hosting("mailer").count() == 1).await;
    (cluster, coordinator, workers.remove(0))
}

#[tokio::test]
async fn case_11_what_a_service_keeps_and_parameters_of_calls_that_fail_stand_in_no_log_no_answer_and_no_file() {
    let log = Log::capture();
    let (cluster, coordinator, worker) = cluster_with_a_mailer(false).await;
    let kept = Web::operator(cluster.dir("worker-1")).call("mailer/keep", json!({ "password": GIVEN })).await.unwrap();
    assert_eq!(kept, 2, "both stand in its namespace");
    let said = make_calls_that_fail(&cluster, &coordinator, &worker).await;
    for node in [coordinator.node, worker.node] {
        node.stop().await;
    }
    let logged = log.text();
    assert!(logged.contains("TRACE") && logged.contains("mailer/send"), "everything is logged, and calls are named: {logged}");
    for secret in [KEPT, GIVEN, PARAM] {
        let lines: Vec<_> = logged.lines().filter(|line| is_in(secret, line.as_bytes())).collect();
        assert!(lines.is_empty(), "{lines:#?}");
        assert!(!is_in(secret, said.join("\n").as_bytes()), "{said:#?}");
        let mut looked_at = 0;
        assert_eq!(files_with(cluster.folder.path(), secret, &mut looked_at), Vec::<String>::new());
        assert!(looked_at >= 4, "each has a store with a log beside it: {looked_at}");
    }
}

/// There is no check to leave out: nothing in the product prints a parameter. So the control is a service that does, and a file beside the stores.
#[tokio::test]
async fn case_11_control_what_a_service_logs_or_writes_by_itself_is_found_by_the_same_search() {
    let log = Log::capture();
    let (cluster, coordinator, worker) = cluster_with_a_mailer(true).await;
    make_calls_that_fail(&cluster, &coordinator, &worker).await;
    for node in [coordinator.node, worker.node] {
        node.stop().await;
    }
    assert!(is_in(PARAM, log.text().as_bytes()));
    let beside = cluster.dir("worker-1").join("notes");
    for form in forms(KEPT) {
        fs::write(&beside, [&b"before "[..], &form, b" behind"].concat()).unwrap();
        assert_eq!(files_with(&cluster.dir("worker-1"), KEPT, &mut 0), [beside.display().to_string()]);
    }
}
