//! Errors of a service's own type, which arrive at callers on other nodes as what they were; and what else a call can fail with.
//!
//! ```sh
//! cargo run --example typed_errors  # two nodes in one process; ends by itself
//! ```

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use p2p_services::{prelude::*, testing::TestCluster};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What can be wrong with a transfer. Its schema is published with the service.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferError {
    /// There is no such account.
    NoSuchAccount {
        /// Its name.
        name: String,
    },
    /// The account does not hold as much.
    Overdrawn {
        /// How much it lacks.
        missing: u64,
    },
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchAccount { name } => write!(f, "there is no account {name:?}"),
            Self::Overdrawn { missing } => write!(f, "{missing} are missing"),
        }
    }
}

impl std::error::Error for TransferError {}

/// Keeps accounts.
pub struct Bank {
    accounts: Mutex<HashMap<String, u64>>,
}

#[service(version = "1.0.0")]
impl Bank {
    /// Moves money, and says what is left.
    ///
    /// # Errors
    /// [`TransferError`].
    #[service_method(timeout = "1s")]
    pub async fn transfer(&self, from: &str, to: &str, amount: u64) -> Result<u64, TransferError> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |name: &str| TransferError::NoSuchAccount { name: name.to_owned() };
        let (held, wanted) = (*accounts.get(from).ok_or_else(|| missing(from))?, accounts.contains_key(to));
        if !wanted {
            return Err(missing(to));
        }
        let left = held.checked_sub(amount).ok_or_else(|| TransferError::Overdrawn { missing: amount - held })?;
        accounts.insert(from.to_owned(), left);
        *accounts.entry(to.to_owned()).or_default() += amount;
        Ok(left)
    }

    /// Takes longer than anybody waits.
    ///
    /// # Errors
    /// Never: it does not end.
    #[service_method(idempotent, timeout = "200ms")]
    pub async fn audit(&self) -> Result<()> {
        std::future::pending().await
    }
}

/// Why the rent was not paid. It has a variant for whatever becomes of the calls that the service makes in turn.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema, FromCallError)]
#[serde(rename_all = "snake_case")]
pub enum RentError {
    /// It was paid before.
    Paid,
    /// The bank did not do it.
    #[from_call]
    Bank(FailedCall),
}

impl fmt::Display for RentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paid => f.write_str("it is paid"),
            Self::Bank(failed) => write!(f, "the bank did not do it: {failed}"),
        }
    }
}

impl std::error::Error for RentError {}

/// Pays the rent.
#[derive(Default)]
pub struct Rent {
    paid: Mutex<Vec<String>>,
}

#[service(version = "1.0.0")]
impl Rent {
    /// Pays it once, and says what is left.
    ///
    /// # Errors
    /// [`RentError`].
    #[service_method]
    pub async fn pay(&self, cx: &CallContext, tenant: &str) -> Result<u64, RentError> {
        if self.paid.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|paid| paid == tenant) {
            return Err(RentError::Paid);
        }
        // The bank's error becomes one of this service's.
        let left = cx.proxy().bank().transfer(tenant, "grace", 60).await?;
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).push(tenant.to_owned());
        Ok(left)
    }
}

/// A service of the same name, which an older program may have been written against.
mod earlier {
    use p2p_services::prelude::*;
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    /// What it knew of what can be wrong.
    #[derive(Debug, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    pub(crate) enum TransferError {
        /// There is no such account.
        NoSuchAccount {
            /// Its name.
            name: String,
        },
    }

    impl std::fmt::Display for TransferError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("there is no such account")
        }
    }

    impl std::error::Error for TransferError {}

    /// Keeps accounts.
    #[p2p_client::service(name = "bank", version = "0.9.0")]
    pub(crate) trait EarlierBank {
        /// Moves money.
        async fn transfer(&self, from: &str, to: &str, amount: u64) -> Result<u64, TransferError>;
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let bank = || Bank { accounts: Mutex::new(HashMap::from([("ada".to_owned(), 100), ("grace".to_owned(), 0)])) };
    let cluster = TestCluster::new().coordinator().workers(1).serve_on("worker-1", bank).serve_on("worker-1", Rent::default);
    let mut cluster = cluster.start().await?;
    let proxy = cluster.coordinator().proxy();

    println!("Own errors, matched by variant, from another node:\n");
    for (to, amount) in [("grace", 30), ("grace", 500), ("alan", 1)] {
        let said = match proxy.bank().transfer("ada", to, amount).await {
            Ok(left) => format!("done; {left} are left"),
            Err(CallError::Service(TransferError::Overdrawn { missing })) => format!("Overdrawn: ask for {missing} less"),
            Err(CallError::Service(TransferError::NoSuchAccount { name })) => format!("NoSuchAccount: open one for {name}"),
            Err(other) => return Err(other.into()),
        };
        println!("  {amount} from ada to {to}: {said}");
    }

    println!("\nAn own error that the failure of another service becomes:\n");
    for tenant in ["ada", "ada", "alan"] {
        let said = match proxy.rent().pay(tenant).await {
            Ok(left) => format!("done; {left} are left"),
            Err(CallError::Service(RentError::Paid)) => "Paid: nothing to do".to_owned(),
            Err(CallError::Service(RentError::Bank(failed))) => format!("Bank, with the code {}: {failed}", failed.code.0),
            Err(other) => return Err(other.into()),
        };
        println!("  the rent of {tenant}: {said}");
    }

    println!("\nA caller whose version of the error lacks the variant still gets its text and its JSON:\n");
    {
        use earlier::EarlierBankProxyExt;
        match EarlierBankProxyExt::bank(&proxy).transfer("ada", "grace", 500).await {
            Err(CallError::UnknownService { message, data }) => println!("  {message}: {}", data.unwrap_or_default()),
            other => println!("  {other:?}"),
        }
    }

    println!("\nWhat is nobody's own error, and whether the call may be made again:\n");
    show(proxy.bank().audit().await);
    show(proxy.bank().on("worker-9").audit().await);
    show(proxy.call("bank/transfer", serde_json::json!({ "from": "ada", "amount": -1 })).await);
    show(proxy.call("bank/rob", serde_json::json!({})).await);
    cluster.kill("worker-1")?;
    show(proxy.bank().audit().timeout(Duration::from_secs(5)).await);

    println!("\nDone.");
    cluster.stop_all().await;
    Ok(())
}

/// Prints what became of a call.
fn show<T, E: fmt::Display>(outcome: Result<T, CallError<E>>) {
    match outcome {
        Ok(_) => println!("  no error"),
        Err(error) => println!("  {error}\n    safe to make again: {}", error.is_safe_to_retry()),
    }
}
