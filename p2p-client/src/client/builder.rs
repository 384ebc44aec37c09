//! [`ClientBuilder`]: what a client is told before its first call.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{BearerToken, Client, ClientError, caller::ClientCaller, dial::RootedDial, endpoints::Endpoint};
use crate::wire::{
    net::{Network, TcpNetwork},
    tls::{RootKeyHash, TrustedRoot},
};

/// Makes a [`Client`]. The root of the cluster is a must, by its fingerprint or its certificate; all else may be left out.
#[must_use = "it is a client only after .build()"]
pub struct ClientBuilder {
    endpoints: Vec<Endpoint>,
    root: Option<RootKeyHash>,
    token: Option<BearerToken>,
    network: Arc<dyn Network>,
    /// The first thing that went wrong.
    wrong: Option<ClientError>,
}

impl ClientBuilder {
    pub(super) fn new(url: &str) -> Result<Self, ClientError> {
        let endpoints = vec![Endpoint::new(0, url)?];
        Ok(Self { endpoints, root: None, token: None, network: Arc::new(TcpNetwork), wrong: None })
    }

    /// Another node of the cluster, which is asked when the first cannot be reached. An address that is none is told by
    /// [`build`](Self::build).
    pub fn also(mut self, url: &str) -> Self {
        match Endpoint::new(self.endpoints.len(), url) {
            Ok(endpoint) => self.endpoints.push(endpoint),
            Err(error) => self.note(error),
        }
        self
    }

    /// Trusts the nodes of the cluster whose root has this fingerprint, which `p2p init` prints as `root`: `sha256:` and 64 hexadecimal
    /// digits, or the digits alone.
    pub fn root_fingerprint(mut self, fingerprint: &str) -> Self {
        match fingerprint.parse() {
            Ok(root) => self.root(root),
            Err(error) => self.note(ClientError::Fingerprint(error)),
        }
        self
    }

    /// Trusts the nodes of the cluster whose root has this certificate (PEM).
    pub fn root_pem(mut self, pem: &[u8]) -> Self {
        match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
            Err(error) => self.note(ClientError::Pem { reason: error.to_string() }),
            Ok(found) => match <[_; 1]>::try_from(found) {
                Ok([certificate]) => self = self.root_der(certificate),
                Err(found) => self.note(ClientError::NotOneCertificate { found: found.len() }),
            },
        }
        self
    }

    /// Trusts the nodes of the cluster whose root has this certificate.
    pub fn root_der(mut self, certificate: CertificateDer<'_>) -> Self {
        match TrustedRoot::from_der(certificate.into_owned()) {
            Ok(root) => self.root(root.key_hash()),
            Err(error) => self.note(ClientError::Certificate(error)),
        }
        self
    }

    /// Sends this token with each call; without one the client is anonymous. [`Client::set_token`] replaces it later.
    pub fn token(mut self, token: BearerToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Connects by this network, in the place of the operating system's TCP: for tests, and for programs that go by a proxy.
    pub fn network(mut self, network: impl Network) -> Self {
        self.network = Arc::new(network);
        self
    }

    /// Makes the client, which connects with its first call.
    ///
    /// # Errors
    /// [`ClientError`], of the first thing that was wrong; [`ClientError::NoRoot`] where no root was given.
    pub fn build(self) -> Result<Client, ClientError> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let root = self.root.ok_or(ClientError::NoRoot)?;
        let dial = RootedDial::new(self.network, root);
        Ok(Client { caller: Arc::new(ClientCaller::new(self.endpoints, dial, self.token)) })
    }

    fn root(&mut self, root: RootKeyHash) {
        match self.root {
            Some(other) if other != root => self.note(ClientError::TwoRoots),
            _ => self.root = Some(root),
        }
    }

    fn note(&mut self, wrong: ClientError) {
        self.wrong.get_or_insert(wrong);
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("endpoints", &self.endpoints).field("root", &self.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn fingerprint(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    fn builder() -> ClientBuilder {
        Client::builder("https://10.0.0.5:8001").unwrap()
    }

    fn refusal(builder: ClientBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    fn certificate() -> rcgen::Certificate {
        CertificateParams::default().self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_client_knows_the_nodes_and_shows_no_token() {
        let token = BearerToken::new("secret").unwrap();
        let builder = builder().also("https://node.example").root_fingerprint(&fingerprint("a")).token(token);
        assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
        let client = format!("{:?}", builder.build().unwrap());
        assert!(client.contains("https://10.0.0.5:8001") && client.contains("https://node.example"), "{client}");
        assert!(!client.contains("secret"), "{client}");
    }

    #[test]
    fn plain_http_is_refused_with_the_reason_wherever_it_stands() {
        let first = Client::builder("http://10.0.0.5:8001").unwrap_err();
        assert!(matches!(first, ClientError::Plaintext { .. }), "{first}");
        let said = refusal(builder().also("http://10.0.0.6:8001").root_fingerprint(&fingerprint("a")));
        assert!(said.contains("10.0.0.6") && said.contains("write https://"), "{said}");
    }

    #[test]
    fn without_a_root_or_with_two_there_is_no_client() {
        let said = refusal(builder());
        assert!(said.contains("p2p init") && said.contains(".root_fingerprint("), "{said}");
        let two = builder().root_fingerprint(&fingerprint("a")).root_fingerprint(&fingerprint("b"));
        assert!(refusal(two).contains("two different roots"));
        assert!(builder().root_fingerprint(&fingerprint("a")).root_fingerprint(&"A".repeat(64)).build().is_ok());
        assert!(refusal(builder().root_fingerprint("sha256:12")).contains("it has 2 digits"));
    }

    #[test]
    fn a_root_is_read_from_its_certificate_and_nothing_else() {
        let root = certificate();
        let key_hash = TrustedRoot::from_der(root.der().clone()).unwrap().key_hash();
        let all_ways =
            builder().root_der(root.der().clone()).root_pem(root.pem().as_bytes()).root_fingerprint(&key_hash.to_string());
        assert!(all_ways.build().is_ok(), "all of them say the same");
        let two = format!("{}{}", root.pem(), certificate().pem());
        assert!(refusal(builder().root_pem(two.as_bytes())).contains("holds 2 certificates"));
        assert!(refusal(builder().root_pem(b"no certificate")).contains("holds 0 certificates"));
        assert!(refusal(builder().root_pem(&root.pem().as_bytes()[..80])).contains("cannot be read"));
        assert!(refusal(builder().root_der(vec![1, 2, 3].into())).contains("no root certificate"));
    }
}
