//! A node's identity: its key, the chain of certificates that vouches for it, and the root that it trusts.

use std::collections::BTreeSet;

use p2p_client::{
    protocol::{NodeId, Role, UnixMillis},
    wire::tls::{ClientTls, PeerIdentity, TlsError, TlsMaterial, TrustedRoot, Usage, peer_identity},
};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    address::Host,
    attest::Attestor,
    ca::{CertificateHash, IssuingCa, NodeNames, RootCa},
    codec,
    error::IdentityError,
    issuer::{self, IssuedNode},
    key::{NODE_KEY, NodeKey},
    renewal::CertificateInfo,
    rotation::{GrantedAuthority, Roots, load_succession},
    token_table::TokenTable,
    vault::{Change, Vault, json},
};
use crate::transport::tls::ServerTls;

/// Where the chain stands in the store, the root last.
const NODE_CHAIN: &str = "identity/node.json";
/// The version of that entry.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    chain: Vec<Der>,
}

#[derive(Serialize, Deserialize)]
struct Der(#[serde(with = "codec::base64_vec")] Vec<u8>);

/// Keeps the node's chain, the root last.
pub(super) fn chain_change(chain: &[CertificateDer<'_>]) -> Result<Change, IdentityError> {
    let chain = chain.iter().map(|cert| Der(cert.to_vec())).collect();
    Ok(Change::Put(NODE_CHAIN.into(), json(&Stored { version: FORMAT, chain })?))
}

/// Who a node is. Clones share the key and the TLS material.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    key: NodeKey,
    chain: Vec<CertificateDer<'static>>,
    root: TrustedRoot,
    peer: PeerIdentity,
    material: TlsMaterial,
}

impl NodeIdentity {
    /// An identity from its parts. The chain is leaf first, root last.
    ///
    /// # Errors
    /// The key is not the leaf's, or the leaf is no node's.
    pub fn new(key: NodeKey, chain: Vec<CertificateDer<'static>>, root: TrustedRoot) -> Result<Self, IdentityError> {
        let leaf = chain.first().ok_or_else(|| IdentityError::Damaged("its chain is empty".into()))?;
        let peer = peer_identity(leaf)?;
        let material = TlsMaterial::empty();
        material.replace(root.clone(), chain.clone(), &key.as_rustls())?;
        Ok(Self { key, chain, root, peer, material })
    }

    /// Makes a new cluster with this node as its first coordinator: the root, the issuing authority, the node's own
    /// certificate. Everything goes into the store by one write.
    ///
    /// The addresses are not challenged: the coordinator vouches for itself.
    ///
    /// # Errors
    /// [`IdentityError::AlreadyEnrolled`] when the store holds an identity, or making or storing one failed.
    pub fn create_cluster(vault: &dyn Vault, node_id: NodeId, addresses: &[Host], now: UnixTime) -> Result<Self, IdentityError> {
        if let Some(present) = Self::load(vault)? {
            return Err(IdentityError::AlreadyEnrolled(present.peer));
        }
        let root = RootCa::create(now)?;
        let issuing_key = NodeKey::generate()?;
        let issuing_cert = root.issue_authority(&node_id, &issuing_key.public(), now)?;
        let issuing = IssuingCa::from_parts(issuing_key, issuing_cert, root.root().clone())?;
        let key = NodeKey::generate()?;
        let names = NodeNames { node_id: &node_id, role: Role::Coordinator, addresses };
        let chain = issuing.issue(&key.public(), &names, now)?;
        let this = Self::new(key, chain, root.root().clone())?;

        let mut changes = this.changes()?;
        let at = UnixMillis(now.as_secs().saturating_mul(1000));
        let granted = GrantedAuthority {
            node_id: node_id.clone(),
            key: issuing.key().public().thumbprint().into(),
            root: root.key().public().thumbprint().into(),
            at,
            stood_on: BTreeSet::new(),
        };
        changes.extend(issuer::authority_changes(&root, &issuing, &granted)?);
        let record = IssuedNode {
            node_id,
            role: Role::Coordinator,
            key: this.key.public().thumbprint(),
            token: None,
            issued: at,
            written: None,
            certificate: this.chain.first().map(CertificateHash::of),
            previous: None,
            root: Some(root.key().public().thumbprint().into()),
            has_left: false,
            stood_on: BTreeSet::new(),
        };
        changes.push(issuer::tokens_change(&TokenTable::default())?);
        changes.push(issuer::node_change(&record)?);
        vault.update(changes)?;
        Ok(this)
    }

    /// Takes the identity from the store; `None` when the node has none yet.
    ///
    /// # Errors
    /// The store fails, or what it holds is damaged or of a newer version.
    pub fn load(vault: &dyn Vault) -> Result<Option<Self>, IdentityError> {
        let Some(stored) = vault.get(NODE_CHAIN)? else { return Ok(None) };
        let damaged = |e: &dyn std::fmt::Display| IdentityError::Damaged(e.to_string());
        let stored: Stored = serde_json::from_slice(&stored).map_err(|e| damaged(&e))?;
        if stored.version != FORMAT {
            return Err(IdentityError::NewerFormat(stored.version));
        }
        let key = vault.get(NODE_KEY)?.ok_or_else(|| damaged(&"its key is missing"))?;
        let chain: Vec<_> = stored.chain.into_iter().map(|der| CertificateDer::from(der.0)).collect();
        let last = chain.last().cloned().ok_or_else(|| damaged(&"its chain is empty"))?;
        // A node that was not reissued in time shows a chain to a root that it does not trust itself any more.
        let root = match load_succession(vault)? {
            Some(known) => known.current().clone(),
            None => TrustedRoot::from_der(last)?,
        };
        Ok(Some(Self::new(NodeKey::from_pkcs8(&key)?, chain, root)?))
    }

    /// Takes another certificate for the same key into use: into the store first, then into the TLS material, where new handshakes find it. Open
    /// connections go on.
    ///
    /// # Errors
    /// It is not for this node, or the store fails; then the old one stays in use.
    pub fn take_renewed(&self, vault: &dyn Vault, roots: &Roots, chain: &[CertificateDer<'static>]) -> Result<(), IdentityError> {
        let refused = |reason: String| IdentityError::Tls(TlsError::OwnCertificate { reason });
        let (leaf, others) = chain.split_first().ok_or_else(|| refused("its chain is empty".into()))?;
        // The root must not change between what is read of it and what is written.
        roots.steady(|known| {
            for usage in [Usage::Client, Usage::Server] {
                let peer = self.material.verify(leaf, others, usage, UnixTime::now())?;
                if peer != self.peer {
                    return Err(refused(format!("it is for {peer}")));
                }
            }
            let chain = known.present(chain);
            Self::new(self.key.clone(), chain.clone(), known.current().clone())?.save(vault)?;
            Ok(self.material.replace(known.current().clone(), chain, &self.key.as_rustls())?)
        })
    }

    /// What the certificate says that is in use now.
    ///
    /// # Errors
    /// None in practice: an identity has a node's certificate.
    pub fn certificate(&self) -> Result<CertificateInfo, TlsError> {
        let own = self.material.own().ok_or(TlsError::NoOwnCertificate)?;
        CertificateInfo::read(own.cert.first().ok_or(TlsError::NoOwnCertificate)?)
    }

    /// Keeps the identity in the store.
    ///
    /// # Errors
    /// The store fails.
    pub fn save(&self, vault: &dyn Vault) -> Result<(), IdentityError> {
        Ok(vault.update(self.changes()?)?)
    }

    /// What [`NodeIdentity::save`] writes, for those who write more with it.
    ///
    /// # Errors
    /// None in practice: writing JSON of this form does not fail.
    pub fn changes(&self) -> Result<Vec<Change>, IdentityError> {
        Ok(vec![Change::Put(NODE_KEY.into(), self.key.to_pkcs8()), chain_change(&self.chain)?])
    }

    /// The node's names, as its certificate says them.
    pub fn peer(&self) -> &PeerIdentity {
        &self.peer
    }

    /// The root that it trusted when it was made. [`Roots`] knows what has become of that.
    pub fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// The certificates that it was made with: leaf first, root last. [`certificate`](Self::certificate) is about the one in use.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Its key.
    pub fn key(&self) -> &NodeKey {
        &self.key
    }

    /// What its TLS ends share; renewal replaces the content.
    pub fn material(&self) -> &TlsMaterial {
        &self.material
    }

    /// Its calling end.
    pub fn client_tls(&self) -> ClientTls {
        ClientTls::new(self.material.clone())
    }

    /// Its serving end.
    ///
    /// # Errors
    /// None in practice: an identity has a certificate.
    pub fn server_tls(&self) -> Result<ServerTls, TlsError> {
        ServerTls::new(self.material.clone())
    }

    /// What signs in its name.
    pub fn attestor(&self) -> Attestor {
        Attestor::new(self.material.clone())
    }
}
