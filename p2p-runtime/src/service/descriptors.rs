//! [`Descriptors`]: the descriptions of services on other nodes, each fetched once.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, StatusCode};
use http_body_util::Full;
use p2p_client::{
    call::Failure,
    protocol::{Fingerprint, ServiceDescriptor},
    proxy::Peer,
    wire::{http::RequestLimits, pool::HttpPool},
};
use tokio::sync::OnceCell;

use crate::web::DESCRIPTOR_PATH;

/// How many are kept. A cluster has fewer versions of services than that; where it has not, they are fetched again.
const MOST: usize = 1_024;

/// The descriptions of services on other nodes, by fingerprint. Cheap to clone; clones share them.
#[derive(Clone)]
pub(crate) struct Descriptors {
    pool: HttpPool,
    known: Arc<Known>,
}

impl Descriptors {
    pub(crate) fn new(pool: HttpPool) -> Self {
        Self { pool, known: Arc::default() }
    }

    /// The description that has this fingerprint, of a service that `host` announces with it. Whoever asks while it is
    /// being fetched waits along.
    pub(crate) async fn of(
        &self,
        host: &Peer,
        service: &str,
        fingerprint: Fingerprint,
        within: Duration,
    ) -> Result<Arc<ServiceDescriptor>, Failure> {
        self.known.get_or(fingerprint, self.fetch(host, service, fingerprint, within)).await
    }

    /// The same, if it is there already.
    pub(crate) fn known(&self, fingerprint: Fingerprint) -> Option<Arc<ServiceDescriptor>> {
        self.known.there(fingerprint)
    }

    async fn fetch(
        &self,
        host: &Peer,
        service: &str,
        fingerprint: Fingerprint,
        within: Duration,
    ) -> Result<Arc<ServiceDescriptor>, Failure> {
        let unread = |why: &dyn std::fmt::Display| {
            let text = format!("node {}: its version of {service} is not this one's, and could not be read: {why}", host.node_id);
            Failure::NotSent(text)
        };
        let request = Request::get(format!("{DESCRIPTOR_PATH}/{service}")).body(Full::default());
        let request = request.map_err(|error| unread(&error))?;
        let answer = self.pool.request(host, request, RequestLimits::within(within)).await.map_err(|failure| unread(&failure))?;
        if answer.status() != StatusCode::OK {
            return Err(unread(&format_args!("it answered {}", answer.status())));
        }
        let descriptor: ServiceDescriptor = serde_json::from_slice(answer.body()).map_err(|error| unread(&error))?;
        // A later format may have more in its fingerprints than is understood here.
        if descriptor.format <= ServiceDescriptor::FORMAT && descriptor.fingerprint() != fingerprint {
            return Err(unread(&"it is just being replaced; try again"));
        }
        Ok(Arc::new(descriptor))
    }
}

/// Descriptions that are there, and those that are being fetched by whoever wanted them first.
#[derive(Default)]
struct Known(Mutex<HashMap<Fingerprint, Arc<OnceCell<Arc<ServiceDescriptor>>>>>);

impl Known {
    async fn get_or(
        &self,
        fingerprint: Fingerprint,
        fetch: impl Future<Output = Result<Arc<ServiceDescriptor>, Failure>>,
    ) -> Result<Arc<ServiceDescriptor>, Failure> {
        self.place(fingerprint).get_or_try_init(|| fetch).await.cloned()
    }

    fn there(&self, fingerprint: Fingerprint) -> Option<Arc<ServiceDescriptor>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&fingerprint)?.get().cloned()
    }

    fn place(&self, fingerprint: Fingerprint) -> Arc<OnceCell<Arc<ServiceDescriptor>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST && !known.contains_key(&fingerprint) {
            known.clear();
        }
        known.entry(fingerprint).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use super::*;

    fn descriptor() -> Arc<ServiceDescriptor> {
        let text = r#"{"format":1,"name":"kv","version":"1.0.0","methods":[]}"#;
        Arc::new(serde_json::from_str(text).unwrap())
    }

    #[tokio::test]
    async fn a_description_is_fetched_once_however_many_ask_for_it() {
        let (known, fetched) = (Known::default(), AtomicUsize::new(0));
        let fingerprint = descriptor().fingerprint();
        let fetch = || async {
            fetched.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
            Ok(descriptor())
        };
        let all = futures::future::join_all((0..10).map(|_| known.get_or(fingerprint, fetch()))).await;
        assert!(all.into_iter().all(|one| one.unwrap().name == "kv"));
        known.get_or(fingerprint, fetch()).await.unwrap();
        assert_eq!(fetched.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_fetch_that_fails_or_is_given_up_is_made_again_by_the_next_who_asks() {
        let known = Known::default();
        let fingerprint = descriptor().fingerprint();
        let failed = known.get_or(fingerprint, async { Err(Failure::NotSent("refused".to_owned())) }).await;
        assert_eq!(failed.unwrap_err().to_string(), "refused");
        let mut given_up = Box::pin(known.get_or(fingerprint, std::future::pending()));
        assert!(futures::poll!(given_up.as_mut()).is_pending());
        drop(given_up);
        assert_eq!(known.get_or(fingerprint, async { Ok(descriptor()) }).await.unwrap().name, "kv");
    }
}
