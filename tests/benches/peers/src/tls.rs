//! Mutual TLS 1.3 for the peers: one root, a server's and a client's certificate, keys on P-256 as the nodes of P2P Core have.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// The name in the server's certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

const ROOT: &str = "root.pem";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// Makes the certificates, in PEM files in this folder.
pub(crate) fn create(dir: &Path) -> Result<()> {
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "root of the bench");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;
    fs::write(dir.join(ROOT), root.pem())?;
    for (name, usage) in [(SERVER, ExtendedKeyUsagePurpose::ServerAuth), (CLIENT, ExtendedKeyUsagePurpose::ClientAuth)] {
        let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        fs::write(dir.join(name).with_extension("pem"), params.signed_by(&key, &root)?.pem())?;
        fs::write(dir.join(name).with_extension("key"), key.serialize_pem())?;
    }
    Ok(())
}

/// One end's certificate and key, and the root, as PEM: for libraries that make their own TLS.
pub(crate) struct Pem {
    pub(crate) root: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pem {
    /// The server's.
    pub(crate) fn of_server(dir: &Path) -> Result<Self> {
        Self::read(dir, SERVER)
    }

    /// The client's.
    pub(crate) fn of_client(dir: &Path) -> Result<Self> {
        Self::read(dir, CLIENT)
    }

    fn read(dir: &Path, name: &str) -> Result<Self> {
        let read = |file: &Path| fs::read_to_string(file).with_context(|| format!("reading {}", file.display()));
        Ok(Self {
            root: read(&dir.join(ROOT))?,
            certificate: read(&dir.join(name).with_extension("pem"))?,
            key: read(&dir.join(name).with_extension("key"))?,
        })
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes())?)?;
        Ok(roots)
    }

    fn chain(&self) -> Result<Vec<CertificateDer<'static>>> {
        Ok(vec![CertificateDer::from_pem_slice(self.certificate.as_bytes())?])
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>> {
        Ok(PrivateKeyDer::from_pem_slice(self.key.as_bytes())?)
    }
}

/// The serving end: TLS 1.3 only, and a client without a certificate of the root is refused.
pub(crate) fn server(dir: &Path, alpn: &[&[u8]]) -> Result<TlsAcceptor> {
    let pem = Pem::of_server(dir)?;
    let clients = WebPkiClientVerifier::builder(Arc::new(pem.roots()?)).build()?;
    let mut config = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_client_cert_verifier(clients)
        .with_single_cert(pem.chain()?, pem.key()?)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The calling end's configuration: TLS 1.3 only, with the client's certificate.
pub(crate) fn client_config(dir: &Path) -> Result<ClientConfig> {
    let pem = Pem::of_client(dir)?;
    Ok(ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(pem.roots()?)
        .with_client_auth_cert(pem.chain()?, pem.key()?)?)
}

/// Connects to a server of [`accept`].
pub(crate) async fn connect(dir: &Path, address: &str, alpn: &[&[u8]]) -> Result<client::TlsStream<TcpStream>> {
    let mut config = client_config(dir)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(SERVER_NAME)?, stream).await?)
}

/// Takes the next connection.
pub(crate) async fn accept(listener: &TcpListener, acceptor: &TlsAcceptor) -> Result<server::TlsStream<TcpStream>> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(acceptor.accept(stream).await?)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustls::ProtocolVersion;
    use tokio::io::AsyncReadExt;

    use super::*;

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn both_ends_speak_tls_1_3_and_show_a_certificate() {
        crate::use_one_provider();
        let dir = tempfile::tempdir().unwrap();
        create(dir.path()).unwrap();
        let (listener, address) = listener().await;
        let acceptor = server(dir.path(), &[]).unwrap();
        let (accepted, connected) = tokio::join!(accept(&listener, &acceptor), connect(dir.path(), &address, &[]));
        let (accepted, connected) = (accepted.unwrap(), connected.unwrap());
        assert_eq!(connected.get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert!(accepted.get_ref().1.peer_certificates().is_some());
    }

    #[tokio::test]
    async fn a_client_of_another_root_is_refused() {
        crate::use_one_provider();
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        create(ours.path()).unwrap();
        create(other.path()).unwrap();
        fs::copy(ours.path().join(ROOT), other.path().join(ROOT)).unwrap();
        let (listener, address) = listener().await;
        let acceptor = server(ours.path(), &[]).unwrap();
        let client = async {
            // TLS 1.3 tells the client of the refusal with its first read, when its own handshake is over.
            let mut stream = connect(other.path(), &address, &[]).await?;
            stream.read_u8().await?;
            anyhow::Ok(())
        };
        let (accepted, called) = tokio::join!(accept(&listener, &acceptor), client);
        assert!(accepted.is_err());
        assert!(called.is_err());
    }
}
