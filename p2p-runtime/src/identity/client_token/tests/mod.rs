//! Tokens from their making to their use, with the time in the tests' hands.

mod life;
mod security;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use p2p_client::{
    protocol::{NodeId, UnixMillis},
    wire::tls::PeerIdentity,
};
use serde_json::{Value, json};

use super::{
    BearerRefused, BearerToken, ClientId, ClientOptions, ClientSecret, GrantRefused, IssuedToken, KeyRing, Proof, RevokedTokens,
    TokenAuthority, TokenVerifier,
    keys::{SigningKey, SigningKeys},
};
use crate::identity::{
    Clock, Ledger, codec,
    tests::{cluster, worker},
    vault::{Vault, tests::MemoryVault},
};

/// A cluster of one coordinator, and of nodes that verify.
struct World {
    now: Arc<AtomicU64>,
    vault: Arc<MemoryVault>,
    who: PeerIdentity,
    authority: TokenAuthority,
    ledger: Ledger,
    /// The coordinator's own.
    verifier: TokenVerifier,
}

impl World {
    fn new() -> Self {
        let (identity, vault) = cluster();
        let now = Arc::new(AtomicU64::new(UnixMillis::now().0));
        let who = identity.peer().clone();
        let ledger = Ledger::load(vault.clone(), identity.material().clone(), clock(&now)).unwrap();
        let revoked = RevokedTokens::new(ledger.clone());
        let authority = TokenAuthority::load(vault.clone(), &who, revoked.clone(), clock(&now)).unwrap();
        let verifier = TokenVerifier::new(who.cluster.clone(), KeyRing::default(), revoked, clock(&now));
        let world = Self { now, vault, who, authority, ledger, verifier };
        world.announce(&world.verifier);
        world
    }

    /// Another node of the cluster, which has heard of the coordinator's keys.
    fn another_node(&self) -> TokenVerifier {
        self.another_node_with_ledger().0
    }

    /// The same, with its record of what was revoked.
    fn another_node_with_ledger(&self) -> (TokenVerifier, Ledger) {
        let worker = worker(&self.vault, "w");
        let ledger = Ledger::load(Arc::new(MemoryVault::default()), worker.material().clone(), clock(&self.now)).unwrap();
        let revoked = RevokedTokens::new(ledger.clone());
        let node = TokenVerifier::new(self.who.cluster.clone(), KeyRing::default(), revoked, clock(&self.now));
        self.announce(&node);
        (node, ledger)
    }

    /// Revokes a token of which the rest is good.
    async fn revoke(&self, token: &IssuedToken) -> Result<(), GrantRefused> {
        let until = UnixMillis(self.verifier.now().0 + 900_000);
        self.verifier.revoked().revoke(token.id.as_str(), until).await
    }

    fn announce(&self, to: &TokenVerifier) {
        to.ring().announced(&self.who.node_id, || self.authority.published(), to.now());
    }

    fn pass(&self, time: Duration) {
        self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), SeqCst);
    }

    async fn client(&self, name: &str, scopes: &str) -> (ClientId, ClientSecret) {
        let options = ClientOptions { scopes: scopes.parse().unwrap(), ..ClientOptions::default() };
        self.authority.create_client(name.parse().unwrap(), options).await.unwrap()
    }

    /// A fresh client's token, with these scopes.
    async fn token(&self, scopes: &str) -> IssuedToken {
        let name = format!("client-{}", self.authority.clients().len());
        let (id, secret) = self.client(&name, scopes).await;
        self.authority.issue(&Proof::Secret(id.name, secret), None, None).unwrap()
    }

    /// The key that signs now: what only the coordinator has.
    fn with_signer<T>(&self, use_it: impl FnOnce(&SigningKey) -> T) -> T {
        let keys = SigningKeys::from_stored(&self.vault.get("clients/signing_keys.json").unwrap().unwrap()).unwrap();
        use_it(keys.signer(UnixMillis(self.now.load(SeqCst))).unwrap())
    }

    /// A token of this header and these claims with a good signature, as if the coordinator had made it.
    fn forged(&self, header: &Value, claims: &Value) -> BearerToken {
        let signed = unsigned(header, claims);
        let signature = self.with_signer(|key| key.sign(signed.as_bytes()));
        BearerToken::new(format!("{signed}.{}", codec::encode(&signature)))
    }

    /// The header and the claims of a good token.
    async fn good(&self) -> (Value, Value) {
        let (header, claims, _) = parts(&self.token("orders:read").await.token);
        (header, claims)
    }

    fn verify(&self, token: &BearerToken) -> Result<String, BearerRefused> {
        self.verifier.verify(token, None).map(|verified| verified.client.name.clone())
    }
}

fn clock(now: &Arc<AtomicU64>) -> Clock {
    let now = now.clone();
    Arc::new(move || UnixMillis(now.load(SeqCst)))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", codec::encode(header.to_string().as_bytes()), codec::encode(claims.to_string().as_bytes()))
}

/// Header, claims and signature of a token.
fn parts(token: &BearerToken) -> (Value, Value, Vec<u8>) {
    let parts: Vec<_> = token.reveal().split('.').map(|part| codec::decode(part).unwrap()).collect();
    let [header, claims, signature] = &*parts else { panic!("{} parts", parts.len()) };
    (serde_json::from_slice(header).unwrap(), serde_json::from_slice(claims).unwrap(), signature.clone())
}

/// The same object with a member more, another, or without it.
fn with(mut object: Value, name: &str, value: impl Into<Option<Value>>) -> Value {
    match value.into() {
        Some(value) => drop(object.as_object_mut().unwrap().insert(name.to_owned(), value)),
        None => drop(object.as_object_mut().unwrap().remove(name)),
    }
    object
}

fn node(id: &str) -> NodeId {
    id.parse().unwrap()
}

fn text(text: &str) -> Value {
    json!(text)
}
