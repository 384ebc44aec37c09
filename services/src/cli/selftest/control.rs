//! The control: a server that has a node's certificate and believes everybody, and is in no hurry, fails all that is tried over the network; one
//! that speaks an older TLS fails that; and a folder that anybody may use fails the rest. Without it nobody could tell a check that finds nothing from
//! one that looks for nothing.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures::future::join_all;
use p2p_client::{protocol::Role, wire::tls::TlsMaterial};
use p2p_runtime::identity::{IssuingCa, NodeKey, NodeNames, RootCa};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixListener},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, version::TLS13},
};

use super::{
    super::{
        Invocation,
        logging::Log,
        output::Format,
        socket::{Socket, socket_in},
    },
    CHECK_TIME, Check, Row, folder, requests,
    target::Target,
    tls, tokens,
};

/// How long the server waits for a request.
const IDLE: Duration = Duration::from_millis(300);
/// How long slow connections may last here: shorter than that.
const PATIENCE: Duration = Duration::from_millis(100);

/// A server of its own cluster, that asks for no certificates and gives tickets.
async fn gullible() -> (Target, TlsAcceptor, TcpListener) {
    let (now, node_id) = (UnixTime::now(), "head".parse().unwrap());
    let (root, authority_key, key) = (RootCa::create(now).unwrap(), NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
    let authority = root.issue_authority(&node_id, &authority_key.public(), now).unwrap();
    let authority = IssuingCa::from_parts(authority_key, authority, root.root().clone()).unwrap();
    let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses: &[] };
    let chain = authority.issue(&key.public(), &names, now).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec()));
    let config = ServerConfig::builder_with_provider(TlsMaterial::empty().provider().clone()).with_protocol_versions(&[&TLS13]);
    let mut config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    // The key of RFC 8037, appendix A.2.
    let keys = json!({ "keys": [{ "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let target = Target { node_id, role: Role::Coordinator, authority, root: root.root().clone(), keys };
    (target, TlsAcceptor::from(Arc::new(config)), listener)
}

/// Serves a connection.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    match stream.get_ref().1.alpn_protocol() {
        // A PING's answer (RFC 9113, section 6.7): all that came before it was read.
        Some(b"h2") => answer(stream, b"\0\0\x08\x06\x01\0\0\0\0selftest").await,
        _ => answer(stream, SUCCESS).await,
    }
}

const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Answers whatever comes with this.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let mut request = [0; 8192];
    while let Ok(Ok(1..)) = timeout(IDLE, stream.read(&mut request)).await {
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

async fn rows(checks: impl IntoIterator<Item = Check<'_>>) -> Vec<Row> {
    let rows = join_all(checks.into_iter().map(|check| check.row(CHECK_TIME))).await;
    rows.into_iter().filter(|row| row.finding.result() != "not tried").collect()
}

/// All of them have failed, and say what to do.
#[track_caller]
fn assert_failed(rows: &[Row], how_many: usize, what_to_do: &str) {
    assert_eq!(rows.len(), how_many);
    for row in rows {
        let said = row.finding.text();
        assert_eq!(row.finding.result(), "FAILED", "{}: {said}", row.tried);
        assert!(said.contains(what_to_do), "{}: {said}", row.tried);
    }
}

#[tokio::test]
async fn a_server_that_believes_everybody_fails_what_is_tried_over_the_network() {
    let (target, acceptor, listener) = gullible().await;
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    });
    // Its TLS is the one library that there is, which knows no 1.2.
    let handshakes = tls::checks(&target).into_iter().filter(|check| check.case != Some(24));
    let requests = requests::at_once(&target).into_iter().chain(requests::slow(&target, PATIENCE));
    let rows = rows(handshakes.chain(tokens::checks(&target)).chain(requests)).await;
    assert_failed(&rows, 16, "; let no stranger reach its port");
    let of = |case| rows.iter().find(|row| row.case == Some(case)).map(|row| row.finding.text()).unwrap();
    assert!(
        of(15).starts_with("took it") && of(16).starts_with("took it") && of(36).starts_with("took it"),
        "{} {}",
        of(15),
        of(36)
    );
    assert!(of(18).starts_with("gave session tickets ("), "{}", of(18));
    serving.abort();
}

#[tokio::test]
async fn a_server_that_goes_on_with_tls_1_2_fails_that() {
    let (target, ..) = gullible().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target { authority: listener.local_addr().unwrap().to_string(), ..target };
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // The beginning of a server hello, in a record of TLS 1.2.
        answer(stream, &[22, 3, 3, 0, 1, 2]).await;
    });
    let old = tls::checks(&target).into_iter().filter(|check| check.case == Some(24));
    assert_failed(&rows(old).await, 1, "went on with the handshake; let no stranger reach its port");
    serving.abort();
}

/// A folder whose lock nobody holds, with a file that others may read, and a node's socket at which any password is good.
fn careless(dir: &Path) -> UnixListener {
    for (name, mode) in [("store.lock", 0o600), ("store.p2p", 0o644)] {
        fs::write(dir.join(name), "").unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let listener = UnixListener::bind(socket_in(dir)).unwrap();
    fs::set_permissions(socket_in(dir), Permissions::from_mode(0o600)).unwrap();
    listener
}

#[tokio::test]
async fn a_folder_that_anybody_may_use_fails_what_is_tried_there() {
    let dir = tempfile::tempdir().unwrap();
    let listener = careless(dir.path());
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, SUCCESS));
        }
    });
    let invocation = Invocation {
        program: "p2p".to_owned(),
        dir: dir.path().to_owned(),
        dir_was_named: true,
        format: Format::Table,
        log: Log::default(),
    };
    let socket = Socket::of(&invocation);
    let rows = rows(folder::checks(&socket, dir.path())).await;
    assert_failed(&rows, 3, "; ");
    let of = |case| rows.iter().find(|row| row.case == case).map(|row| row.finding.text()).unwrap();
    assert!(of(Some(7)).starts_with("opened the store"), "{}", of(Some(7)));
    assert!(of(Some(9)).starts_with("does not hold the lock"), "{}", of(Some(9)));
    assert!(of(None).starts_with("lets others use store.p2p;"), "{}", of(None));
    serving.abort();
}
