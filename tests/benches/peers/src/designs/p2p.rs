//! This project, as its users have it: two nodes of one cluster, a service, its typed proxy.
//!
//! Access checks, limits, deadlines and metrics are those of the product. Whatever limit a bench would run into is raised in
//! [`serve`] and [`connect`], never taken out; [`checks`] tries it on every pair of nodes.

mod checks;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::{Context as _, Result};
use p2p_runtime::{
    identity::{Host, TokenOptions},
    node::{InitOptions, JoinClusterOptions, SessionLimits, SessionsConfig, init, join},
};
use p2p_services::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Methods, Typed};
use crate::calls::{
    self, EchoReply, EchoRequest, PageReply, PageRequest, ReportReply, ReportRequest, TurnedReply, TurnedRequest,
};

const LOOPBACK: Host = Host::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Answer<T> = p2p_services::prelude::Result<T>;

/// The calls that are measured.
#[derive(Default)]
pub(crate) struct Bench;

#[service(version = "1.0.0")]
impl Bench {
    #[service_method(read_only, timeout = "10s")]
    async fn echo(&self, request: EchoRequest) -> Answer<EchoReply> {
        Ok(calls::echo(request))
    }

    #[service_method(read_only, timeout = "10s")]
    async fn page(&self, request: PageRequest) -> Answer<PageReply> {
        Ok(calls::page(&request))
    }

    #[service_method(read_only, timeout = "10s")]
    async fn report(&self, request: ReportRequest) -> Answer<ReportReply> {
        Ok(calls::report(request))
    }
}

/// A service whose callers ([`Abroad`]) write their keys in another order than it does, and read what is in another order.
#[derive(Default)]
pub(crate) struct Foreign;

#[service(version = "1.0.0")]
impl Foreign {
    #[service_method(read_only, timeout = "10s")]
    async fn echo(&self, request: EchoRequest) -> Answer<TurnedReply> {
        Ok(calls::echo(request).into())
    }
}

/// What the callers of [`Foreign`] take it for.
#[service(name = "foreign", version = "1.0.0", proxy = "AbroadProxy", accessor = "abroad")]
trait Abroad {
    #[service_method(read_only, timeout = "10s")]
    async fn echo(&self, request: TurnedRequest) -> Answer<EchoReply>;
}

/// What a node needs to join the server's cluster and to call it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    token: String,
    node: String,
}

/// As many calls at a time as the open loop has under way after the machine stood still for a moment: the limit is raised, not removed.
fn sessions() -> SessionsConfig {
    let limits = SessionLimits { max_calls: 65_536, ..SessionLimits::default() };
    SessionsConfig { limits, ..SessionsConfig::default() }
}

/// Makes a cluster and starts its first node. Returns the node, its address, and how to join it.
pub(crate) async fn serve(dir: &Path) -> Result<(Node, String, Entry)> {
    let options = InitOptions {
        dir: dir.join("server"),
        password: password()?,
        node_id: None,
        advertise: Some(LOOPBACK),
        listen: Some(ANY_PORT),
        capabilities: Vec::new(),
    };
    let cluster = init(options).await.context("making the cluster")?;
    let node =
        Node::builder().enrolment(cluster.enrolment).sessions(sessions()).start().await.context("starting the server's node")?;
    let issuer = node.issuer().context("the cluster's first node issues tokens")?;
    let token = issuer.create_token(TokenOptions::default()).await?.reveal().to_string();
    let entry = Entry { token, node: node.id().to_string() };
    let authority = node.authority();
    Ok((node, authority, entry))
}

/// A node that joined the server's cluster: it must live as long as its clients are used.
pub(crate) struct Joined {
    node: Node,
    server: NodeId,
}

/// Joins the server's cluster and waits until the server is known.
pub(crate) async fn connect(dir: &Path, address: &str, entry: &Entry) -> Result<Joined> {
    let options = JoinClusterOptions {
        advertise: Some(LOOPBACK),
        listen: Some(ANY_PORT),
        ..JoinClusterOptions::new(dir.join("client"), password()?, address, entry.token.parse()?)
    };
    let joined = join(options).await.context("joining the cluster")?;
    let node =
        Node::builder().enrolment(joined.enrolment).sessions(sessions()).start().await.context("starting the client's node")?;
    let server: NodeId = entry.node.parse()?;
    node.wait_until(|members| members.hosting("bench").any(|member| member.node_id == server)).await;
    checks::hold(&node.proxy(), &server)
        .await
        .context("this build lacks a check of the product, so that it cannot be measured")?;
    eprintln!("  p2p             checks access, deadlines, cancellation, methods and params");
    Ok(Joined { node, server })
}

impl Joined {
    /// Calls the server's service.
    pub(crate) fn client(&self) -> Typed<Client> {
        Typed(Client { proxy: self.node.proxy(), server: self.server.clone() })
    }

    /// Calls it with keys in a foreign order.
    pub(crate) fn foreign_client(&self) -> Typed<ForeignClient> {
        Typed(ForeignClient { proxy: self.node.proxy(), server: self.server.clone() })
    }

    /// Stops the node.
    pub(crate) async fn stop(self) {
        self.node.stop().await;
    }
}

fn password() -> Result<Password> {
    Ok(Password::new("a password for the bench")?)
}

/// A proxy and whom it calls.
#[derive(Clone)]
pub(crate) struct Client {
    proxy: Proxy,
    server: NodeId,
}

impl Methods for Client {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        Ok(self.proxy.bench().on(&self.server).echo(request).await?)
    }

    async fn page(&self, request: PageRequest) -> Result<PageReply> {
        Ok(self.proxy.bench().on(&self.server).page(request).await?)
    }

    async fn report(&self, request: ReportRequest) -> Result<ReportReply> {
        Ok(self.proxy.bench().on(&self.server).report(request).await?)
    }
}

/// A proxy that writes keys in an order which is foreign to the server.
#[derive(Clone)]
pub(crate) struct ForeignClient {
    proxy: Proxy,
    server: NodeId,
}

impl Methods for ForeignClient {
    async fn echo(&self, request: EchoRequest) -> Result<EchoReply> {
        Ok(self.proxy.abroad().on(&self.server).echo(request.into()).await?)
    }

    async fn page(&self, _: PageRequest) -> Result<PageReply> {
        anyhow::bail!("only the small call is made with keys in a foreign order")
    }

    async fn report(&self, _: ReportRequest) -> Result<ReportReply> {
        anyhow::bail!("only the small call is made with keys in a foreign order")
    }
}
