//! [`TokenAuthority`]: a coordinator's power to make tokens, and the clients that it makes them for.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use p2p_client::{
    protocol::{ClusterId, NodeId, Scopes, UnixMillis},
    wire::tls::PeerIdentity,
};
use tokio::task::spawn_blocking;

use super::{
    DEFAULT_TTL, MAX_TTL,
    bearer::BearerToken,
    claims::{Audience, Claims, Confirmation, TokenId, issuer_name},
    clients::{ClientId, ClientName, ClientOptions, ClientRecord, ClientSecret, ClientTable, check_ttl},
    error::GrantRefused,
    jws,
    keys::SigningKeys,
    revoked::RevokedTokens,
    ring::PublishedKeys,
    seconds,
};
use crate::identity::{
    Clock,
    vault::{Change, Vault, VaultError, json},
};

/// Where the keys stand in the store.
const KEYS: &str = "clients/signing_keys.json";
/// Where the clients stand in the store.
const TABLE: &str = "clients/table.json";
/// How long a removed credential is remembered as revoked: a backup that is restored later than that may bring it back.
const REMOVED_FOR: Duration = Duration::from_hours(365 * 24);

/// A coordinator's power to make tokens. Clones share it.
#[derive(Clone)]
pub(crate) struct TokenAuthority(Arc<Inner>);

struct Inner {
    cluster: ClusterId,
    node_id: NodeId,
    vault: Arc<dyn Vault>,
    revoked: RevokedTokens,
    clock: Clock,
    keys: ArcSwap<SigningKeys>,
    clients: ArcSwap<ClientTable>,
    /// Held from the decision through the durable write.
    writing: Mutex<()>,
}

/// What proves who wants a token.
pub(crate) enum Proof {
    /// A client's secret.
    Secret(ClientName, ClientSecret),
    /// A node's certificate, which the transport has verified. The token is good only with it.
    Certificate(NodeId),
}

/// A token that was made.
#[derive(Debug)]
pub(crate) struct IssuedToken {
    pub(crate) token: BearerToken,
    pub(crate) id: TokenId,
    /// In whose name.
    pub(crate) client: String,
    pub(crate) good_for: Duration,
    pub(crate) scopes: Scopes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is replaced as a whole, so that a panic leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unwritten(error: serde_json::Error) -> GrantRefused {
    VaultError::new(error).into()
}

impl TokenAuthority {
    /// Takes keys and clients from a coordinator's store; makes a first key where there is none.
    pub(crate) fn load(
        vault: Arc<dyn Vault>,
        who: &PeerIdentity,
        revoked: RevokedTokens,
        clock: Clock,
    ) -> Result<Self, GrantRefused> {
        let now = clock();
        let mut keys = match vault.get(KEYS)? {
            Some(stored) => SigningKeys::from_stored(&stored)?,
            None => {
                let keys = SigningKeys::generate(now)?;
                vault.update(vec![keys_change(&keys)?])?;
                keys
            }
        };
        if keys.rotate_if_due(now)? {
            vault.update(vec![keys_change(&keys)?])?;
        }
        let clients = match vault.get(TABLE)? {
            Some(stored) => {
                serde_json::from_slice(&stored).map_err(|error| GrantRefused::Damaged(format!("the clients: {error}")))?
            }
            None => ClientTable::default(),
        };
        Ok(Self(Arc::new(Inner {
            cluster: who.cluster.clone(),
            node_id: who.node_id.clone(),
            vault,
            revoked,
            clock,
            keys: ArcSwap::from_pointee(keys),
            clients: ArcSwap::from_pointee(clients),
            writing: Mutex::default(),
        })))
    }

    /// The keys by which others know this coordinator's tokens.
    pub(crate) fn published(&self) -> PublishedKeys {
        PublishedKeys(self.0.keys.load().published())
    }

    /// Makes the next key if it is time. Whether what is to be made known has changed.
    pub(crate) async fn rotate_if_due(&self) -> Result<bool, GrantRefused> {
        self.blocking(|inner| {
            let _writing = lock(&inner.writing);
            let mut next = inner.keys.load().again()?;
            let changed = next.rotate_if_due((inner.clock)())?;
            if changed {
                inner.keep_keys(next)?;
            }
            Ok(changed)
        })
        .await
    }

    /// Lets all keys go and makes a fresh one: every token of this coordinator ends, once [`published`](Self::published) is made known.
    pub(crate) async fn replace_keys(&self) -> Result<(), GrantRefused> {
        self.blocking(|inner| {
            let _writing = lock(&inner.writing);
            inner.keep_keys(SigningKeys::generate((inner.clock)())?)
        })
        .await
    }

    /// Makes a client. It is durable when this returns; its secret exists only in the result.
    pub(crate) async fn create_client(
        &self,
        name: ClientName,
        options: ClientOptions,
    ) -> Result<(ClientId, ClientSecret), GrantRefused> {
        let id = ClientId { name: name.clone(), keeper: self.0.node_id.clone() };
        let secret = self.blocking(move |inner| inner.change_clients(|clients, now| clients.create(name, options, now))).await?;
        Ok((id, secret))
    }

    /// Removes a client, and revokes all its tokens. `None` where there is none of the name.
    pub(crate) async fn remove_client(&self, name: ClientName) -> Result<Option<ClientRecord>, GrantRefused> {
        let Some(record) = self.client(&name) else { return Ok(None) };
        // Revoked first: should the second step fail, the client is of no use, and can be removed again.
        let now = (self.0.clock)();
        let until = UnixMillis(now.0.saturating_add(u64::try_from(REMOVED_FOR.as_millis()).unwrap_or(u64::MAX)));
        self.0.revoked.revoke(&record.credential, until).await?;
        self.blocking(move |inner| {
            inner.change_clients(|clients, _| {
                // Only the one that was revoked: another may have been made under its name meanwhile.
                let is_the_same = clients.get(&name).is_some_and(|now| now.credential == record.credential);
                Ok(if is_the_same { clients.remove(&name) } else { None })
            })
        })
        .await
    }

    /// One client.
    pub(crate) fn client(&self, name: &ClientName) -> Option<ClientRecord> {
        self.0.clients.load().get(name).cloned()
    }

    /// The clients, each by its name in the cluster.
    pub(crate) fn clients(&self) -> Vec<(ClientId, ClientRecord)> {
        let id = |name: &ClientName| ClientId { name: name.clone(), keeper: self.0.node_id.clone() };
        self.0.clients.load().list().map(|(name, record)| (id(name), record.clone())).collect()
    }

    /// Makes a token. Without `scopes` it has all that the client may have; a node may have any, as it may call what they open.
    pub(crate) fn issue(
        &self,
        proof: &Proof,
        scopes: Option<Scopes>,
        ttl: Option<Duration>,
    ) -> Result<IssuedToken, GrantRefused> {
        let inner = &*self.0;
        let now = (inner.clock)();
        match proof {
            Proof::Certificate(node) => {
                // One for all: what a node can have revoked token by token is bounded by it.
                let credential = TokenId::credential_of_node(node);
                let good_for = check_ttl(ttl.unwrap_or(DEFAULT_TTL), MAX_TTL)?;
                let confirmation = Some(Confirmation { node: node.clone() });
                inner.sign(format!("node:{node}"), &credential, scopes.unwrap_or_default(), good_for, confirmation, now)
            }
            Proof::Secret(name, secret) => {
                let clients = inner.clients.load();
                let record = clients.authenticate(name, secret, now)?;
                if inner.revoked.is_credential_revoked(&record.credential) {
                    return Err(GrantRefused::InvalidClient);
                }
                let scopes = scopes.unwrap_or_else(|| record.scopes.clone());
                if !scopes.is_within(&record.scopes) {
                    return Err(GrantRefused::InvalidScope { allowed: record.scopes.to_string(), wanted: scopes.to_string() });
                }
                let longest = Duration::from_secs(record.token_ttl_s);
                let good_for = check_ttl(ttl.unwrap_or(longest), longest)?;
                let id = ClientId { name: name.clone(), keeper: inner.node_id.clone() };
                inner.sign(id.to_string(), &record.credential, scopes, good_for, None, now)
            }
        }
    }

    /// Runs what blocks on the disk where it may. It runs to its end even if the caller goes away.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, GrantRefused> + Send + 'static,
    ) -> Result<T, GrantRefused> {
        let inner = self.0.clone();
        spawn_blocking(move || work(&inner)).await.map_err(VaultError::new)?
    }
}

impl Inner {
    fn keep_keys(&self, keys: SigningKeys) -> Result<(), GrantRefused> {
        self.vault.update(vec![keys_change(&keys)?])?;
        self.keys.store(Arc::new(keys));
        Ok(())
    }

    fn change_clients<T>(
        &self,
        change: impl FnOnce(&mut ClientTable, UnixMillis) -> Result<T, GrantRefused>,
    ) -> Result<T, GrantRefused> {
        let _writing = lock(&self.writing);
        let mut next = ClientTable::clone(&self.clients.load());
        let done = change(&mut next, (self.clock)())?;
        self.vault.update(vec![Change::Put(TABLE.into(), json(&next)?)])?;
        self.clients.store(Arc::new(next));
        Ok(done)
    }

    fn sign(
        &self,
        client: String,
        credential: &str,
        scopes: Scopes,
        good_for: Duration,
        cnf: Option<Confirmation>,
        now: UnixMillis,
    ) -> Result<IssuedToken, GrantRefused> {
        let (id, iat) = (TokenId::fresh(credential).map_err(|_| GrantRefused::Crypto)?, seconds(now));
        let claims = Claims {
            iss: issuer_name(&self.cluster, &self.node_id),
            sub: client.clone(),
            aud: Audience(self.cluster.to_string()),
            client_id: client.clone(),
            iat,
            nbf: iat,
            exp: iat.saturating_add(good_for.as_secs()),
            jti: id.clone(),
            scope: scopes.clone(),
            cnf,
        };
        let keys = self.keys.load();
        let token = jws::sign(&claims, keys.signer(now).ok_or(GrantRefused::Crypto)?).map_err(unwritten)?;
        Ok(IssuedToken { token, id, client, good_for, scopes })
    }
}

fn keys_change(keys: &SigningKeys) -> Result<Change, GrantRefused> {
    Ok(Change::Put(KEYS.into(), keys.to_stored().map_err(unwritten)?))
}
