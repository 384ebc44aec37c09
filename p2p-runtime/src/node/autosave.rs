//! What was put into the store and not yet written is written after a while, and when the node stops.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::storage::{Store, StoreError};

/// Writes what is unsaved, again and again, until the node stops or its store is gone. Nothing stands in memory alone for longer than
/// `period`.
pub(super) async fn autosave(store: Weak<Store>, period: Duration, stop: CancellationToken) {
    while stop.run_until_cancelled(sleep(period)).await.is_some() {
        let Some(store) = store.upgrade() else { return };
        if !store.is_unsaved() {
            continue;
        }
        if let Err(error) = blocking(store, |store| store.update(|_| Ok::<_, StoreError>(()))).await {
            tracing::error!(%error, "what is unsaved in the store could not be written; trying again");
        }
    }
}

/// Saves everything, for a node that stops: the next start finds an archive and an empty log.
pub(super) async fn save(store: Arc<Store>) {
    if let Err(error) = blocking(store, Store::save).await {
        tracing::error!(%error, "the store could not be saved; what was acknowledged is in its log");
    }
}

async fn blocking(
    store: Arc<Store>,
    work: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(spawn_blocking(move || work(&store)).await??)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use crate::storage::tests::in_a_folder;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn what_was_put_is_written_after_a_while_without_anybody_saving_it() {
        let (_dir, store) = in_a_folder();
        let store = Arc::new(store);
        let stop = CancellationToken::new();
        let task = tokio::spawn(autosave(Arc::downgrade(&store), PERIOD, stop.clone()));
        store.put("a", "b").unwrap();
        let began = Instant::now();
        while store.is_unsaved() {
            tokio::time::advance(PERIOD).await;
            tokio::task::yield_now().await;
            assert!(began.elapsed() < Duration::from_mins(1), "nothing was written");
        }
        assert_eq!(store.revision().records, 1, "by the log");
        stop.cancel();
        task.await.unwrap();

        store.put("c", "d").unwrap();
        save(store.clone()).await;
        assert_eq!((store.is_unsaved(), store.revision().records), (false, 0));
    }
}
