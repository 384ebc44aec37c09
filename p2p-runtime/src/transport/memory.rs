//! A network inside one process, for tests: named hosts, and faults that can be switched on while it runs.
//!
//! Each host is an IP address; [`MemoryNetwork::host`] gives its [`Network`], which a node uses as it would use TCP. Ports
//! behave as TCP's do: taken ones are refused, port 0 chooses, connecting where nobody listens is refused. A byte goes from
//! the writer into a pipe of 1 MiB, and out of it to the reader, unless the two hosts are parted: then it stays in the pipe, as
//! TCP's retransmission would keep it, and comes out when the partition heals.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use futures::future::{BoxFuture, pending};
use p2p_client::wire::net::{BoxStream, Listener, Network};
use tokio::{
    io::duplex,
    sync::{mpsc, watch},
};

use super::fate::{End, Fate, Side};

/// What a pipe holds in each direction before its writer has to wait.
const PIPE: usize = 1024 * 1024;
/// How many connections wait to be accepted before connecting hangs.
const BACKLOG: usize = 1024;
/// The first port that is chosen for port 0 and for the near end of connections.
const FIRST_EPHEMERAL: u16 = 49_152;

/// The network itself. Clones are the same network.
///
/// ```
/// use p2p_client::wire::net::Network;
/// use p2p_runtime::transport::MemoryNetwork;
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let network = MemoryNetwork::new();
/// let (a, b) = (network.host([10, 0, 0, 1]), network.host([10, 0, 0, 2]));
/// let mut listener = b.listen("10.0.0.2:8002".parse().expect("an address")).await?;
/// let stream = a.connect("10.0.0.2:8002").await?;
/// let (accepted, from) = listener.accept().await?;
/// assert_eq!(from.ip(), a.ip());
/// network.partition(a.ip(), b.ip()); // nothing passes any more
/// # drop((stream, accepted));
/// # Ok::<(), std::io::Error>(())
/// # }).expect("it works");
/// ```
#[derive(Clone, Default)]
pub struct MemoryNetwork {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    /// Moves with every fault, so that whoever waits for a way looks again.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct World {
    names: HashMap<String, IpAddr>,
    hosts: HashMap<IpAddr, Host>,
    parted: HashSet<(IpAddr, IpAddr)>,
    connections: Vec<Connection>,
}

#[derive(Default)]
struct Host {
    /// Goes up when the host is killed: handles and listeners of before are dead.
    life: u64,
    listeners: HashMap<u16, mpsc::Sender<Incoming>>,
    last_port: u16,
}

type Incoming = (BoxStream, SocketAddr);

struct Connection {
    ends: (IpAddr, IpAddr),
    fate: Weak<Fate>,
}

impl MemoryNetwork {
    /// A network without hosts.
    pub fn new() -> Self {
        Self::default()
    }

    /// A host with this address, as a [`Network`]. The same address again is the same host.
    pub fn host(&self, ip: impl Into<IpAddr>) -> MemoryHost {
        let ip = ip.into();
        let life = self.shared.world().hosts.entry(ip).or_default().life;
        MemoryHost { shared: self.shared.clone(), ip, life }
    }

    /// Lets a host be reached by a name as well; the same name again leads to another host.
    pub fn name(&self, name: &str, ip: impl Into<IpAddr>) {
        self.shared.world().names.insert(name.to_owned(), ip.into());
    }

    /// Parts two hosts: nothing passes between them in either direction. Connections stay open, new ones hang.
    pub fn partition(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        self.set_parted(a.into(), b.into(), true);
    }

    /// Ends a partition: what was written meanwhile arrives, and hanging connects go on.
    pub fn heal(&self, a: impl Into<IpAddr>, b: impl Into<IpAddr>) {
        self.set_parted(a.into(), b.into(), false);
    }

    /// Kills a host: its connections are reset at both ends, its listeners are gone. Its handles stay dead; a new
    /// [`MemoryNetwork::host`] of the same address is the host started again.
    pub fn kill(&self, ip: impl Into<IpAddr>) {
        let ip = ip.into();
        let mut world = self.shared.world();
        if let Some(host) = world.hosts.get_mut(&ip) {
            host.life += 1;
            host.listeners.clear();
        }
        for (ends, fate) in world.live_connections() {
            if ends.0 == ip {
                fate.reset_by(Side::Client);
            } else if ends.1 == ip {
                fate.reset_by(Side::Server);
            }
        }
        drop(world);
        self.shared.changed.send_replace(());
    }

    fn set_parted(&self, a: IpAddr, b: IpAddr, parted: bool) {
        let mut world = self.shared.world();
        for pair in [(a, b), (b, a)] {
            if parted {
                world.parted.insert(pair);
            } else {
                world.parted.remove(&pair);
            }
        }
        for (ends, fate) in world.live_connections() {
            if ends == (a, b) || ends == (b, a) {
                fate.set_parted(parted);
            }
        }
        drop(world);
        self.shared.changed.send_replace(());
    }
}

impl fmt::Debug for MemoryNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let world = self.shared.world();
        f.debug_struct("MemoryNetwork").field("hosts", &world.hosts.len()).field("parted", &world.parted).finish_non_exhaustive()
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// The connections that still exist; the others are forgotten on the way.
    fn live_connections(&mut self) -> Vec<((IpAddr, IpAddr), Arc<Fate>)> {
        let mut live = Vec::new();
        self.connections.retain(|connection| match connection.fate.upgrade() {
            Some(fate) => {
                live.push((connection.ends, fate));
                true
            }
            None => false,
        });
        live
    }

    /// The address behind a name.
    fn named(&self, name: &str) -> io::Result<IpAddr> {
        let unknown = || io::Error::new(io::ErrorKind::NotFound, format!("no host is called {name:?}"));
        if name == "localhost" { Ok(Ipv4Addr::LOCALHOST.into()) } else { self.names.get(name).copied().ok_or_else(unknown) }
    }

    /// The address that an authority means to a host.
    fn resolve(&self, from: IpAddr, authority: &str) -> io::Result<SocketAddr> {
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("{authority:?} is no address; it looks like \"host:port\""));
        let mut addr = if let Ok(addr) = authority.parse::<SocketAddr>() {
            addr
        } else {
            let (name, port) = authority.rsplit_once(':').ok_or_else(invalid)?;
            let port = port.parse().map_err(|_| invalid())?;
            SocketAddr::new(self.named(name)?, port)
        };
        if addr.ip().is_loopback() || addr.ip().is_unspecified() {
            addr.set_ip(from);
        }
        Ok(addr)
    }
}

impl Host {
    fn free_port(&mut self) -> u16 {
        let mut port = self.last_port;
        loop {
            port = if port < FIRST_EPHEMERAL || port == u16::MAX { FIRST_EPHEMERAL } else { port + 1 };
            if !self.listeners.contains_key(&port) {
                self.last_port = port;
                return port;
            }
        }
    }
}

/// One host of a [`MemoryNetwork`]. Loopback addresses mean the host itself, and on each host nobody else.
#[derive(Clone)]
pub struct MemoryHost {
    shared: Arc<Shared>,
    ip: IpAddr,
    life: u64,
}

impl MemoryHost {
    /// The host's address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The host, if it was not killed.
    fn alive<'a>(&self, world: &'a mut World) -> io::Result<&'a mut Host> {
        let host = world.hosts.get_mut(&self.ip).filter(|host| host.life == self.life);
        host.ok_or_else(|| io::Error::new(io::ErrorKind::NetworkDown, "this host was killed"))
    }

    /// What to do about a connection now: wait while there is no way, else its two ends.
    fn attempt(&self, authority: &str) -> io::Result<Option<(mpsc::Sender<Incoming>, Incoming, BoxStream)>> {
        let mut world = self.shared.world();
        let from = SocketAddr::new(self.ip, self.alive(&mut world)?.free_port());
        let to = world.resolve(self.ip, authority)?;
        if world.parted.contains(&(self.ip, to.ip())) {
            return Ok(None);
        }
        let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens at {to}"));
        let backlog = world.hosts.get(&to.ip()).and_then(|host| host.listeners.get(&to.port())).ok_or_else(refused)?.clone();
        let (client, server) = duplex(PIPE);
        let fate = Arc::new(Fate::default());
        world.connections.push(Connection { ends: (self.ip, to.ip()), fate: Arc::downgrade(&fate) });
        let server = End::of_pipe(server, fate.clone(), Side::Server);
        Ok(Some((backlog, (Box::new(server), from), Box::new(End::of_pipe(client, fate, Side::Client)))))
    }
}

impl fmt::Debug for MemoryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHost").field("ip", &self.ip).finish_non_exhaustive()
    }
}

impl Network for MemoryHost {
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let mut changed = self.shared.changed.subscribe();
            loop {
                if let Some((backlog, incoming, stream)) = self.attempt(authority)? {
                    let closed = |_| io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody listens at {authority}"));
                    backlog.send(incoming).await.map_err(closed)?;
                    return Ok(stream);
                }
                // The sender lives in what `self` shares, so this waits for a change and never fails.
                let _ = changed.changed().await;
            }
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut world = self.shared.world();
            let host = self.alive(&mut world)?;
            if addr.ip() != self.ip && !addr.ip().is_loopback() && !addr.ip().is_unspecified() {
                let text = format!("{} is not an address of host {}", addr.ip(), self.ip);
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
            }
            let port = if addr.port() == 0 { host.free_port() } else { addr.port() };
            if host.listeners.contains_key(&port) {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} of host {} is taken", self.ip)));
            }
            let (sender, incoming) = mpsc::channel(BACKLOG);
            host.listeners.insert(port, sender);
            let addr = SocketAddr::new(addr.ip(), port);
            Ok(Box::new(MemoryListener { host: self.clone(), addr, incoming }) as Box<dyn Listener>)
        })
    }

    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let mut world = self.shared.world();
            self.alive(&mut world)?;
            Ok(vec![world.named(name)?])
        })
    }
}

struct MemoryListener {
    host: MemoryHost,
    addr: SocketAddr,
    incoming: mpsc::Receiver<Incoming>,
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Incoming>> {
        Box::pin(async move {
            match self.incoming.recv().await {
                Some(incoming) => Ok(incoming),
                // The host was killed. A dead process hears nothing, not even an error.
                None => pending().await,
            }
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        if let Ok(host) = self.host.alive(&mut self.host.shared.world()) {
            host.listeners.remove(&self.addr.port());
        }
    }
}

#[cfg(test)]
mod tests;
