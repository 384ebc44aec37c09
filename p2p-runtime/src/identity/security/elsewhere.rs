//! More than one coordinator: what one knows of a node holds at all of them. Here stand the coordinators; of what they are asked for, each has a file.

mod copies;
mod names;
mod waits;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::{BoxFuture, ready};
use p2p_client::protocol::{NodeId, Role, UnixMillis};
use rustls_pki_types::CertificateDer;
use tokio::sync::{Barrier, watch};

use crate::identity::{
    Change, Issuer, IssuerOptions, JoinToken, Ledger, NodeKey, NotedElsewhere, OtherCoordinators, Refused, TokenOptions, Vault,
    challenge::tests::World,
    coordinators::{attempt, joiner_in},
    issuer::{ISSUING_CERT, ISSUING_KEY},
    join::{Issued, Seed},
    renewal::{RENEW_VERSION, RenewReply, RenewRequest},
    tests::{another_authority, cluster, ledger, worker},
    vault::tests::MemoryVault,
};

/// Whoever asks after this has not lost an answer.
const MORE_THAN_LOST: Duration = Duration::from_hours(13);

/// Asks the others by looking into their stores.
#[derive(Default)]
struct ByStore {
    stores: Mutex<Vec<Arc<MemoryVault>>>,
    is_silent: AtomicBool,
    /// Where there is one, what was found is given once as many have looked.
    together: Mutex<Option<Arc<Barrier>>>,
    /// How often they were asked.
    asked: watch::Sender<usize>,
}

impl OtherCoordinators for ByStore {
    fn records_of<'a>(&'a self, node_id: &'a NodeId) -> BoxFuture<'a, Result<Vec<NotedElsewhere>, Refused>> {
        self.asked.send_modify(|asked| *asked += 1);
        if self.is_silent.load(Ordering::SeqCst) {
            let coordinator = "coordinator-3".parse().unwrap();
            return Box::pin(ready(Err(Refused::Unanswered { coordinator, node_id: node_id.clone() })));
        }
        let path = format!("ca/nodes/{node_id}.json");
        let stores = self.stores.lock().unwrap();
        let found = stores.iter().filter_map(|store| store.get(&path).unwrap());
        let coordinator: NodeId = "another".parse().unwrap();
        let noted = |record| NotedElsewhere { coordinator: coordinator.clone(), record };
        let found = found.map(|record| noted(serde_json::from_slice(&record).unwrap())).collect();
        let together = self.together.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(together) = together {
                together.wait().await;
            }
            Ok(found)
        })
    }
}

struct Coordinator {
    issuer: Issuer,
    vault: Arc<MemoryVault>,
    others: Arc<ByStore>,
    clock: Arc<AtomicU64>,
}

/// Two coordinators, each with an authority of its own, which ask each other; what is revoked both know at once.
struct Two {
    first: Coordinator,
    second: Coordinator,
    ledger: Ledger,
    world: Arc<World>,
}

impl Two {
    async fn new() -> Self {
        let (identity, store) = cluster();
        let (ledger, world) = (ledger(&identity, &store), Arc::new(World::default()));
        let ca = another_authority(&store, &ledger).await;
        let theirs = Arc::new(MemoryVault::default());
        let certificate = ca.certificate().to_vec();
        let authority =
            vec![Change::Put(ISSUING_KEY.into(), ca.key().to_pkcs8()), Change::Put(ISSUING_CERT.into(), certificate.into())];
        theirs.update(authority).unwrap();
        let first = Coordinator::open("coordinator", store.clone(), &ledger, &world);
        let second = Coordinator::open("coordinator-2", theirs.clone(), &ledger, &world);
        let two = Self { first, second, ledger, world };
        two.meet();
        two
    }

    fn meet(&self) {
        *self.first.others.stores.lock().unwrap() = vec![self.second.vault.clone()];
        *self.second.others.stores.lock().unwrap() = vec![self.first.vault.clone()];
    }

    /// Each takes the other one for dead.
    fn part(&self) {
        for coordinator in [&self.first, &self.second] {
            coordinator.others.stores.lock().unwrap().clear();
        }
    }

    fn pass(&self, time: Duration) {
        for coordinator in [&self.first, &self.second] {
            coordinator.clock.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
        }
    }

    /// A worker of this name joins.
    async fn join(&self, at: &Coordinator, token: &JoinToken, name: &str, key: &NodeKey) -> Result<Issued, Refused> {
        let joiner = joiner_in(&self.world, token, name, Role::Worker, &["10.0.0.9"], key.clone());
        attempt(&at.issuer, &joiner).await
    }
}

/// Asks for another certificate, for no addresses.
fn renewal(key: &NodeKey) -> RenewRequest {
    let csr = key.request().unwrap();
    RenewRequest { version: RENEW_VERSION, csr, addresses: Vec::new(), nonce: None, under: None }
}

impl Coordinator {
    fn open(name: &str, vault: Arc<MemoryVault>, ledger: &Ledger, world: &Arc<World>) -> Self {
        let (others, clock) = (Arc::new(ByStore::default()), Arc::new(AtomicU64::new(UnixMillis::now().0)));
        let seed = Seed { node_id: name.parse().unwrap(), authority: "10.0.0.1:8001".into() };
        let usual = IssuerOptions::new(seed, vec!["10.0.0.1".parse().unwrap()], world.clone());
        let time = clock.clone();
        let now = Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)));
        let options = IssuerOptions { others: others.clone(), clock: now, ..usual };
        let issuer = Issuer::load(vault.clone(), ledger.clone(), options).unwrap().unwrap();
        Self { issuer, vault, others, clock }
    }

    async fn token(&self) -> JoinToken {
        let options = TokenOptions { uses: 9.try_into().unwrap(), ..TokenOptions::default() };
        self.issuer.create_token(options).await.unwrap()
    }

    async fn renew(&self, key: &NodeKey, shown: &[CertificateDer<'_>]) -> Result<Vec<CertificateDer<'static>>, Refused> {
        match self.issuer.renew(renewal(key), shown).await? {
            RenewReply::Issued(issued) => Ok(issued.chain()),
            RenewReply::Challenge { .. } => panic!("nothing is new"),
        }
    }

    async fn refuses_the_clone(&self, key: &NodeKey, shown: &[CertificateDer<'_>]) {
        let said = self.renew(key, shown).await.unwrap_err();
        assert!(matches!(said, Refused::Superseded { .. }) && said.is_final(), "{said}");
        assert!(said.to_string().contains("stop the copy") && said.to_string().contains("`p2p join --again`"), "{said}");
    }
}
