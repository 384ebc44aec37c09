use std::{collections::HashMap, time::Duration};

use axum::{Extension, Router, routing::get};
use http::Request;
use p2p_client::wire::http::{RequestLimits, one_shot};

use super::*;

fn routes() -> HttpHandler {
    let handler = HttpHandler::default();
    handler.set(Router::new().route("/", get(|Extension(ingress): Extension<Ingress>| async move { format!("{ingress:?}") })));
    handler
}

async fn ask(path: &Path) -> String {
    let stream = UnixStream::connect(path).await.unwrap();
    let request = Request::get("/").body(http_body_util::Full::default()).unwrap();
    let response = one_shot(Box::new(stream), request, RequestLimits::default()).await.unwrap();
    String::from_utf8(response.into_body().to_vec()).unwrap()
}

fn serving(socket: UnixSocket) -> (tokio::task::JoinHandle<()>, CancellationToken) {
    let stop = CancellationToken::new();
    (tokio::spawn(serve_unix(socket, routes(), ListenerLimits::default(), stop.clone())), stop)
}

#[tokio::test]
async fn requests_are_marked_as_the_operators_and_the_file_is_for_this_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let socket = UnixSocket::bind(&path).await.unwrap();
    assert_eq!(socket.path(), path);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left in the folder");
    let (task, stop) = serving(socket);
    assert_eq!(ask(&path).await, "UnixSocket");
    stop.cancel();
    task.await.unwrap();
    assert!(!path.exists(), "the file is removed at the end");
}

#[tokio::test]
async fn the_file_of_a_dead_process_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let (_task, _stop) = serving(UnixSocket::bind(&path).await.unwrap());
    assert_eq!(ask(&path).await, "UnixSocket");
}

#[tokio::test]
async fn the_socket_of_a_live_process_is_refused_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let (_task, _stop) = serving(UnixSocket::bind(&path).await.unwrap());
    let error = UnixSocket::bind(&path).await.unwrap_err();
    assert!(matches!(error, UnixSocketError::InUse { .. }));
    assert!(error.to_string().contains("stop that node first"), "{error}");
    assert_eq!(ask(&path).await, "UnixSocket");
}

#[tokio::test]
async fn what_cannot_be_a_socket_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "mine").unwrap();
    let cases: HashMap<PathBuf, &str> = [
        (file.clone(), "it is no socket"),
        (folder.path().join("x".repeat(120)), "too long for a socket"),
        (folder.path().join("missing/node.sock"), "check the folder's permissions"),
    ]
    .into();
    for (path, why) in cases {
        let said = UnixSocket::bind(&path).await.unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_its_headers_slowly_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let (_task, _stop) = serving(UnixSocket::bind(&path).await.unwrap());
    let began = tokio::time::Instant::now();
    let mut stream = UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: ").await.unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10));
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
}
