//! [`RunningCluster`]: a cluster that a test started, and what the test does to it.

use std::{fmt, sync::Arc, time::Duration};

use futures::future::join_all;
use p2p_client::{
    protocol::{NodeId, Role},
    service::{Error, Result},
};
use tokio::{runtime::Handle, task::JoinHandle, time::timeout};

use crate::{network::Members, node::Node};

use super::{
    cluster::{Makings, Plan},
    lab::Place,
};

/// Nothing that a cluster finds out takes as long, also where nodes have to find each other again.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that runs: see [`TestCluster`](super::TestCluster). Dropping it ends all nodes, and removes their folders.
///
/// Nodes are named by their ids: `coordinator`, `worker-1`, `worker-2`, …
#[must_use = "dropping it ends its nodes"]
pub struct RunningCluster {
    // Shared with what ends the nodes when this is dropped, as their folders have to stay until then.
    makings: Arc<Makings>,
    members: Vec<Member>,
}

struct Member {
    plan: Plan,
    state: State,
}

enum State {
    Running(Box<Node>),
    /// It was killed: nobody hears of it any more, and what it left behind in this process comes to its end.
    Killed(JoinHandle<()>),
    Stopped,
}

impl Member {
    fn node(&self) -> Option<&Node> {
        match &self.state {
            State::Running(node) => Some(node),
            State::Killed(_) | State::Stopped => None,
        }
    }
}

impl RunningCluster {
    pub(super) fn new(makings: Makings) -> Self {
        Self { makings: Arc::new(makings), members: Vec::new() }
    }

    pub(super) fn makings(&self) -> &Makings {
        &self.makings
    }

    pub(super) fn add(&mut self, plan: Plan, node: Node) {
        self.members.push(Member { plan, state: State::Running(Box::new(node)) });
    }

    /// A coordinator that runs.
    pub(super) fn any_issuer(&self) -> Option<&Node> {
        self.nodes().find(|node| node.role() == Role::Coordinator)
    }

    /// The coordinator.
    ///
    /// # Panics
    /// When it was killed or stopped; [`node`](Self::node) says so in an error.
    #[track_caller]
    pub fn coordinator(&self) -> &Node {
        self.running("coordinator")
    }

    /// A worker by its number: 1 is `worker-1`.
    ///
    /// # Panics
    /// When there is no such worker, or it was killed or stopped; [`node`](Self::node) says so in an error.
    #[track_caller]
    pub fn worker(&self, number: usize) -> &Node {
        self.running(&format!("worker-{number}"))
    }

    #[track_caller]
    fn running(&self, id: &str) -> &Node {
        self.node(id).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A node by its id.
    ///
    /// # Errors
    /// When there is none of that id, or it does not run.
    pub fn node(&self, id: &str) -> Result<&Node> {
        self.member(id)?.node().ok_or_else(|| not_running(id))
    }

    /// The nodes that run, the coordinator first.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.iter().filter_map(Member::node)
    }

    fn member(&self, id: &str) -> Result<&Member> {
        self.members.iter().find(|member| member.plan.id == *id).ok_or_else(|| self.unknown(id))
    }

    fn member_mut(&mut self, id: &str) -> Result<&mut Member> {
        let unknown = self.unknown(id);
        self.members.iter_mut().find(|member| member.plan.id == *id).ok_or(unknown)
    }

    fn unknown(&self, id: &str) -> Error {
        let known: Vec<_> = self.members.iter().map(|member| member.plan.id.to_string()).collect();
        Error::msg(format!("no node of this cluster is called {id:?}; there are: {}", known.join(", ")))
    }

    fn place(&self, id: &str) -> Result<Place> {
        Ok(self.member(id)?.plan.place)
    }

    /// Ends a node without a goodbye: its connections break, its port is refused, and the others have to find out by themselves.
    ///
    /// As it lives in the test's own process, its services still clean up; but nobody hears of it.
    ///
    /// # Errors
    /// When there is no such node, or it does not run.
    pub fn kill(&mut self, id: &str) -> Result<()> {
        let place = self.place(id)?;
        let node = self.take(id)?;
        self.makings().lab.kill(place);
        self.member_mut(id)?.state = State::Killed(tokio::spawn(node.stop()));
        Ok(())
    }

    /// Stops a node in good order: the others know at once, and keep its place for a while.
    ///
    /// # Errors
    /// When there is no such node, or it does not run.
    pub async fn stop(&mut self, id: &str) -> Result<()> {
        self.take(id)?.stop().await;
        Ok(())
    }

    /// Takes a running node out.
    fn take(&mut self, id: &str) -> Result<Node> {
        let member = self.member_mut(id)?;
        match std::mem::replace(&mut member.state, State::Stopped) {
            State::Running(node) => Ok(*node),
            other => {
                member.state = other;
                Err(not_running(id))
            }
        }
    }

    /// Starts a node again, from its folder: one that was killed, stopped, or runs, which is stopped first. It has the same id and key.
    ///
    /// # Errors
    /// When there is no such node, or it does not start.
    pub async fn restart(&mut self, id: &str) -> Result<&Node> {
        let member = self.member_mut(id)?;
        match std::mem::replace(&mut member.state, State::Stopped) {
            State::Running(node) => node.stop().await,
            // Until it has let go of its store.
            State::Killed(ending) => ending.await?,
            State::Stopped => {}
        }
        let (makings, plan) = (self.makings(), &self.member(id)?.plan);
        let node = makings.start(plan, makings.open(plan).await?).await?;
        self.member_mut(id)?.state = State::Running(Box::new(node));
        self.node(id)
    }

    /// Parts two groups of nodes: nothing passes between a node of the one and a node of the other, neither calls nor gossip. Connections stay
    /// open, new ones hang, and what was on its way arrives after [`heal`](Self::heal).
    ///
    /// ```no_run
    /// # fn example(cluster: &p2p_runtime::testing::RunningCluster) -> p2p_runtime::prelude::Result<()> {
    /// cluster.partition(["worker-2"], ["coordinator", "worker-1"])?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When there is no such node.
    pub fn partition<A: AsRef<str>, B: AsRef<str>>(
        &self,
        some: impl IntoIterator<Item = A>,
        others: impl IntoIterator<Item = B>,
    ) -> Result<()> {
        let others: Vec<Place> = others.into_iter().map(|id| self.place(id.as_ref())).collect::<Result<_>>()?;
        let some: Vec<Place> = some.into_iter().map(|id| self.place(id.as_ref())).collect::<Result<_>>()?;
        for one in some {
            for other in others.iter().filter(|other| **other != one) {
                self.makings().lab.set_parted(one, *other, true);
            }
        }
        Ok(())
    }

    /// Ends all partitions.
    pub fn heal(&self) {
        for (index, one) in self.members.iter().enumerate() {
            for other in &self.members[..index] {
                self.makings().lab.set_parted(one.plan.place, other.plan.place, false);
            }
        }
    }

    /// Waits until every node that runs sees the cluster as wanted. (For one node alone: [`wait_until_on`](Self::wait_until_on).)
    ///
    /// # Errors
    /// When 30 seconds were not enough: what each node sees instead.
    pub async fn wait_until(&self, wanted: impl Fn(&Members) -> bool) -> Result<()> {
        let waiting = self.nodes().map(|node| wait(node, &wanted));
        told(join_all(waiting).await)
    }

    /// Waits until one node sees the cluster as wanted, such as one on the other side of a partition.
    ///
    /// # Errors
    /// When there is no such node, it does not run, or 30 seconds were not enough.
    pub async fn wait_until_on(&self, id: &str, wanted: impl Fn(&Members) -> bool) -> Result<()> {
        told(vec![wait(self.node(id)?, &wanted).await])
    }

    /// Waits until every node knows all that run, and what they host.
    pub(super) async fn all_know_all(&self) -> Result<()> {
        let there: Vec<(NodeId, Vec<String>)> =
            self.nodes().map(|node| (node.id().clone(), node.context().registry().names())).collect();
        self.wait_until(|members| {
            there.iter().all(|(id, services)| {
                let known = members.get(id).filter(|info| info.is_callable());
                known.is_some_and(|info| services.iter().all(|service| info.services.contains_key(service)))
            })
        })
        .await
    }

    /// Stops all nodes in good order, the workers first.
    pub async fn stop_all(mut self) {
        for member in self.members.drain(..).rev() {
            match member.state {
                State::Running(node) => node.stop().await,
                State::Killed(ending) => drop(ending.await),
                State::Stopped => {}
            }
        }
    }
}

fn not_running(id: &str) -> Error {
    Error::msg(format!("{id} does not run; cluster.restart({id:?}) starts it again"))
}

/// Waits for a node's view; what it sees instead, if it does not come about.
async fn wait(node: &Node, wanted: &impl Fn(&Members) -> bool) -> Option<String> {
    if timeout(PATIENCE, node.wait_until(wanted)).await.is_ok() {
        return None;
    }
    let members = node.members().members();
    let seen = members.iter().map(|info| {
        let services: Vec<_> = info.services.keys().map(String::as_str).collect();
        format!("{} {} ({})", info.node_id, info.status, services.join(", "))
    });
    Some(format!("{} sees: {}", node.id(), seen.collect::<Vec<_>>().join("; ")))
}

fn told(views: Vec<Option<String>>) -> Result<()> {
    let other: Vec<String> = views.into_iter().flatten().collect();
    if other.is_empty() {
        return Ok(());
    }
    let (text, seconds) = (other.join("\n  "), PATIENCE.as_secs());
    Err(Error::msg(format!("the cluster did not become as wanted within {seconds} s:\n  {text}")))
}

impl Drop for RunningCluster {
    fn drop(&mut self) {
        let makings = self.makings.clone();
        let mut running = Vec::new();
        for member in self.members.drain(..) {
            if let State::Running(node) = member.state {
                makings.lab.kill(member.plan.place);
                running.push(node);
            }
        }
        // Where the runtime ends with the test, its tasks end with it, and the folder goes then.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                join_all(running.into_iter().map(|node| node.stop())).await;
                drop(makings);
            });
        }
    }
}

impl fmt::Debug for RunningCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.members.iter().map(|member| {
            let state = match member.state {
                State::Running(_) => "running",
                State::Killed(_) => "killed",
                State::Stopped => "stopped",
            };
            (member.plan.id.as_str(), state)
        });
        f.debug_map().entries(nodes).finish()
    }
}
