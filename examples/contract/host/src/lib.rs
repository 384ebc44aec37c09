//! A host of the contract `Stock`: it keeps what is on the shelves in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use example_contract_api::{Stock, StockError, Taken};
use p2p_runtime::prelude::*;

/// Shelves with things on them.
pub struct Shelves {
    items: Mutex<BTreeMap<String, u32>>,
}

impl Shelves {
    /// Shelves with so many of each item.
    pub fn with<'a>(items: impl IntoIterator<Item = (&'a str, u32)>) -> Self {
        Self { items: Mutex::new(items.into_iter().map(|(item, count)| (item.to_owned(), count)).collect()) }
    }

    fn items(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[service]
impl Stock for Shelves {
    async fn count(&self, item: &str) -> Result<u32> {
        Ok(self.items().get(item).copied().unwrap_or(0))
    }

    async fn take(&self, item: &str, count: u32) -> Result<Taken, StockError> {
        let mut items = self.items();
        let held = items.get_mut(item).ok_or(StockError::Unknown)?;
        let left = held.checked_sub(count).ok_or(StockError::TooFew { left: *held })?;
        *held = left;
        Ok(Taken { count, left })
    }
}

#[cfg(test)]
mod tests {
    use example_contract_api::StockProxyExt;
    use p2p_runtime::testing::ServiceTester;

    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_gone_and_no_more_than_there_is_can_be_taken() -> Result<()> {
        let tested = ServiceTester::new(Shelves::with([("lamp", 3)])).start().await?;
        let stock = tested.proxy().stock();
        assert_eq!(stock.take("lamp", 2).await?, Taken { count: 2, left: 1 });
        let refused = stock.take("lamp", 2).await;
        assert!(matches!(refused, Err(CallError::Service(StockError::TooFew { left: 1 }))), "{refused:?}");
        assert_eq!(stock.count("lamp").await?, 1);
        tested.stop().await
    }

    #[tokio::test]
    async fn strangers_take_nothing() -> Result<()> {
        let tested = ServiceTester::new(Shelves::with([("lamp", 3)])).start().await?;
        let refused = tested.proxy_as(CallerId::Anonymous).stock().take("lamp", 1).await;
        assert!(matches!(refused, Err(CallError::Denied(_))), "{refused:?}");
        assert_eq!(tested.proxy().stock().count("lamp").await?, 3);
        Ok(())
    }
}
