//! [`Versions`]: how calls fit hosts with other versions of a service, found out once for each pair of versions.
//!
//! ```text
//! fingerprints equal -> the call goes ahead; nothing here is asked
//! else -> is_as_it_is: the verdict is there -> goes ahead, or fit -> Descriptors: fetch -> Fit::of, method by method
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;
use p2p_client::{
    call::{Failure, Head},
    protocol::{Fingerprint, ServiceDescriptor, compatibility::Fit},
    proxy::Peer,
    service::{HostedService, LazyDescriptor},
};
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::Descriptors;

/// How many pairs of versions are kept.
const MOST: usize = 1_024;

/// The verdicts on pairs of versions: the caller's, the host's. Reading them takes no lock.
pub(super) struct Versions {
    descriptors: Descriptors,
    verdicts: ArcSwap<FxHashMap<(Fingerprint, Fingerprint), Arc<Verdict>>>,
}

/// How each method of the caller's version fits the host's.
type Verdict = FxHashMap<String, Arc<Fit>>;

impl Versions {
    pub(super) fn new(descriptors: Descriptors) -> Self {
        Self { descriptors, verdicts: ArcSwap::default() }
    }

    /// Whether calls of the method are known to fit as they are.
    pub(super) fn is_as_it_is(&self, own: Fingerprint, host: Fingerprint, method: &str) -> bool {
        let verdicts = self.verdicts.load();
        verdicts.get(&(own, host)).and_then(|verdict| verdict.get(method)).is_some_and(|fit| **fit == Fit::AsItIs)
    }

    /// How calls of the method fit, found out by the host's description where it is not known yet.
    pub(super) async fn fit(&self, head: &Head, host: &Peer, version: Fingerprint) -> Result<Arc<Fit>, Failure> {
        let Some(own) = head.method.spec().and_then(|spec| spec.descriptor) else { return Ok(Arc::new(Fit::AsItIs)) };
        let pair = (own.fingerprint(), version);
        let verdict = match self.verdicts.load().get(&pair) {
            Some(verdict) => verdict.clone(),
            None => {
                let left = head.deadline.saturating_duration_since(Instant::now());
                let theirs = self.descriptors.of(host, head.method.service(), version, left).await?;
                self.keep(pair, verdict(own.get(), &theirs))
            }
        };
        Ok(verdict.get(head.method.method()).cloned().unwrap_or_else(|| Arc::new(Fit::AsItIs)))
    }

    /// The same for another version on this node, whose description is at hand.
    pub(super) fn fit_here(&self, method: &str, own: &LazyDescriptor, hosted: &dyn HostedService) -> Arc<Fit> {
        let pair = (own.fingerprint(), hosted.fingerprint());
        let known = self.verdicts.load().get(&pair).cloned();
        let verdict = known.unwrap_or_else(|| self.keep(pair, verdict(own.get(), &hosted.describe())));
        verdict.get(method).cloned().unwrap_or_else(|| Arc::new(Fit::AsItIs))
    }

    fn keep(&self, pair: (Fingerprint, Fingerprint), verdict: Verdict) -> Arc<Verdict> {
        let verdict = Arc::new(verdict);
        self.verdicts.rcu(|verdicts| {
            let mut verdicts = if verdicts.len() < MOST { FxHashMap::clone(verdicts) } else { FxHashMap::default() };
            verdicts.insert(pair, verdict.clone());
            verdicts
        });
        verdict
    }
}

fn verdict(own: &ServiceDescriptor, theirs: &ServiceDescriptor) -> Verdict {
    let fit =
        |method: &p2p_client::protocol::MethodDescriptor| (method.name.to_string(), Arc::new(Fit::of(own, theirs, &method.name)));
    own.methods.iter().map(fit).collect()
}
