//! Code that orders from a stock, by its contract. It is given a proxy: of a node, of a client outside of the cluster, or, in tests, of a mock.

use example_contract_api::{StockError, StockProxyExt};
use p2p_client::{
    call::CallError,
    client::{Client, ClientError},
    proxy::Proxy,
};

/// The way to the stock for a program that is no node: by any node's address, and the fingerprint of the cluster's root.
///
/// # Errors
/// The address or the fingerprint is none.
pub fn from_outside(url: &str, root: &str) -> Result<Proxy, ClientError> {
    Ok(Client::builder(url)?.root_fingerprint(root).build()?.proxy())
}

/// Says what there is of these items.
///
/// # Errors
/// Nobody hosts the stock, or it was lost meanwhile.
pub async fn look(proxy: &Proxy, items: &[&str]) -> Result<String, CallError> {
    let stock = proxy.stock();
    let mut said = Vec::new();
    for item in items {
        said.push(format!("{} {item}", stock.count(item).await?));
    }
    Ok(said.join(", "))
}

/// Takes what is in a basket, item by item, and says what became of it.
///
/// # Errors
/// What is no answer of the stock: nobody hosts it, or it was lost meanwhile.
pub async fn order(proxy: &Proxy, basket: &[(&str, u32)]) -> Result<String, CallError<StockError>> {
    let stock = proxy.stock();
    let mut said = Vec::new();
    for &(item, count) in basket {
        said.push(match stock.take(item, count).await {
            Ok(taken) => format!("{} {item} taken, {} left", taken.count, taken.left),
            Err(CallError::Service(StockError::TooFew { left })) => format!("no {item}, as only {left} are left"),
            Err(CallError::Service(error @ StockError::Unknown)) => format!("no {item}: {error}"),
            Err(other) => return Err(other),
        });
    }
    Ok(said.join("; "))
}

#[cfg(test)]
mod tests {
    use example_contract_api::{MockStock, Taken};

    use super::*;

    #[tokio::test]
    async fn what_there_is_too_little_of_does_not_keep_the_rest_from_being_ordered() -> Result<(), CallError<StockError>> {
        let stock = MockStock::new();
        stock.on_take(|_, item, count| match item.as_str() {
            "lamp" => Ok(Taken { count, left: 0 }),
            _ => Err(CallError::Service(StockError::TooFew { left: 1 })),
        });
        let proxy = Proxy::mock().with(&stock).proxy();
        let said = order(&proxy, &[("chair", 2), ("lamp", 1)]).await?;
        assert_eq!(said, "no chair, as only 1 are left; 1 lamp taken, 0 left");
        let asked: Vec<_> = stock.calls().iter().map(|call| call.params_json().to_owned()).collect();
        assert_eq!(asked, [r#"{"item":"chair","count":2}"#, r#"{"item":"lamp","count":1}"#]);
        Ok(())
    }

    #[tokio::test]
    async fn an_order_ends_where_the_stock_cannot_be_reached() {
        let stock = MockStock::new();
        stock.on_take(|_, _, _| Err(CallError::NoRoute("the stock is closed".to_owned()))).once();
        let error = order(&Proxy::mock().with(&stock).proxy(), &[("lamp", 1), ("chair", 1)]).await.unwrap_err();
        assert_eq!(error.to_string(), "no route: the stock is closed");
        assert_eq!(stock.calls().len(), 1);
    }
}
