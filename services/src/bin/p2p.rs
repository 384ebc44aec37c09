//! The `p2p` command: a node that hosts the built-in services, and its own command line.

#[tokio::main]
async fn main() -> p2p_client::service::Result<()> {
    p2p_services::cli::run().await
}
