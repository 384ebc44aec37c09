//! What the node is measured against: axum's router on hyper-util's server, as `axum::serve` runs it, behind tokio-rustls with the
//! node's own certificate and TLS 1.3. It reads no body, checks nothing and counts nothing.

use std::{path::Path, sync::Arc};

use axum::{Router, http::header::CONTENT_TYPE, routing::post};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use p2p_runtime::node::Enrolment;
use p2p_services::prelude::*;
use rustls::{ServerConfig, server::ResolvesServerCert, sign::CertifiedKey};
use tokio::{
    net::{TcpListener, TcpStream},
    task::spawn_blocking,
};
use tokio_rustls::TlsAcceptor;

use crate::password;

/// Takes the certificate, says so, is told the constant, and serves it from then on.
pub(crate) async fn run(dir: &Path) -> Result<()> {
    let acceptor = acceptor(dir).await?;
    println!("ready");
    let told = spawn_blocking(|| std::io::stdin().lines().next().unwrap_or_else(|| Ok(String::new())));
    let constant: &'static str = told.await??.leak();
    let routes = Router::new().route("/rpc", post(move || async move { ([(CONTENT_TYPE, "application/json")], constant) }));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, acceptor.clone(), routes.clone()));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, routes: Router) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let server = auto::Builder::new(TokioExecutor::new());
    // How a client ends its connection is no matter of the measurement.
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(routes)).await;
}

/// Shows the one certificate.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesServerCert for OneCertificate {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

async fn acceptor(dir: &Path) -> Result<TlsAcceptor> {
    let enrolment = Enrolment::open(dir, password()?).await?;
    let material = enrolment.identity.material();
    let own = material.own().ok_or_else(|| Error::msg("the node has no certificate"))?;
    let mut config = ServerConfig::builder_with_provider(material.provider().clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(OneCertificate(own)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
