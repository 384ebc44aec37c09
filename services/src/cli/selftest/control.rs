//! The control: a server that has a node's certificate and believes everybody fails what is tried over the network. Without it nobody
//! could tell a check that finds nothing from one that looks for nothing.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use p2p_client::{protocol::Role, wire::tls::TlsMaterial};
use p2p_runtime::identity::{IssuingCa, NodeKey, NodeNames, RootCa};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, version::TLS13},
};

use super::{CHECK_TIME, Check, requests, target::Target, tls, tokens};

/// How long the server waits for a request.
const IDLE: Duration = Duration::from_millis(300);

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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    // The key of RFC 8037, appendix A.2.
    let keys = json!({ "keys": [{ "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] });
    let target = Target { node_id, role: Role::Coordinator, authority, root: root.root().clone(), keys };
    (target, TlsAcceptor::from(Arc::new(config)), listener)
}

/// Answers every request with success.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = [0; 8192];
    while let Ok(Ok(1..)) = timeout(IDLE, stream.read(&mut request)).await {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        if stream.write_all(answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_server_that_believes_everybody_fails_what_is_tried_over_the_network() {
    let (target, acceptor, listener) = gullible().await;
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(acceptor.clone(), stream));
        }
    });
    // It does not wait for the slow ones either, and its TLS is the one library that there is, which knows no 1.2.
    let is_tried = |check: &Check<'_>| !matches!(check.case, Some(24 | 47 | 49));
    let checks =
        tls::checks(&target).into_iter().chain(tokens::checks(&target)).chain(requests::checks(&target)).filter(is_tried);
    let rows = join_all(checks.map(|check| check.row(CHECK_TIME))).await;
    assert_eq!(rows.len(), 12);
    for row in &rows {
        let said = row.finding.text();
        assert_eq!(row.finding.result(), "FAILED", "{}: {said}", row.tried);
        assert!(said.contains("; let no stranger reach its port"), "{}: {said}", row.tried);
    }
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
