//! Makes a cluster in the folder that it is given, starts its node, and calls a service of a crate that it only mentions. Further
//! arguments are names of services that the node is expected to host.

use std::{net::Ipv4Addr, path::PathBuf};

use linking_greeter as _;
use p2p_runtime::{
    identity::Host,
    node::{InitOptions, init},
    prelude::*,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or_else(|| Error::msg("say in which folder the node is to be"))?;
    let options = InitOptions {
        dir: PathBuf::from(dir),
        password: Password::new("a password for this test")?,
        node_id: None,
        advertise: Some(Host::Ip(Ipv4Addr::LOCALHOST.into())),
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        capabilities: Vec::new(),
    };
    let enrolment = init(options).await?.enrolment;
    let node = Node::builder().enrolment(enrolment).expect_services(arguments).start().await?;
    println!("{}", node.proxy().call("greeter/greet", ["Ada"]).await?.get());
    node.stop().await;
    Ok(())
}
