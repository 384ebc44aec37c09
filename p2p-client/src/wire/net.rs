//! The one seam below which a node touches a network.
//!
//! Everything that connects, listens or looks up a name asks a [`Network`] for it, and gets byte streams back; TLS, HTTP and gossip
//! lie above and do not know what carries them. [`TcpNetwork`] is the real one. Tests put a simulated network in its place, which can
//! lose bytes, part hosts and kill them, and in which names lead where the test says.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use super::read_ahead::ReadAhead;

/// A connection's bytes in both directions. Every fitting type is one.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A [`Stream`] of any type.
pub type BoxStream = Box<dyn Stream>;

/// All network access of a node goes through this, so that tests can put a simulated network under it.
pub trait Network: Send + Sync + 'static {
    /// Connects to `authority`: `host:port`, `1.2.3.4:port` or `[v6]:port`. Sets no time limit; callers do.
    ///
    /// # Errors
    /// As the operating system reports them: `ConnectionRefused` where nobody listens, `InvalidInput` for what is no authority.
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>>;

    /// Listens on `addr`; port 0 lets the network choose one, which [`Listener::local_addr`] tells.
    ///
    /// # Errors
    /// `AddrInUse` where someone listens already, `AddrNotAvailable` for an address that is not this host's.
    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// The addresses behind a host name, in no particular order. Sets no time limit; callers do. Who has to know where a connection goes
    /// asks here first, and connects to an address; to others, [`connect`](Self::connect) takes names.
    ///
    /// # Errors
    /// As the resolver reports them: the name leads nowhere, or nobody could be asked.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// A bound address that connections come in on. Dropping it frees the address.
pub trait Listener: Send + 'static {
    /// Waits for the next connection, and says where it comes from. Cancel-safe.
    ///
    /// # Errors
    /// What went wrong with accepting one connection; the listener itself stays usable.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;

    /// The address that is listened on, with the port that was chosen.
    fn local_addr(&self) -> SocketAddr;
}

/// The operating system's TCP, without Nagle's delay, and its resolver.
///
/// ```
/// use p2p_client::wire::net::{Network, TcpNetwork};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listener = TcpNetwork.listen("127.0.0.1:0".parse().expect("an address")).await?;
/// let stream = TcpNetwork.connect(&listener.local_addr().to_string()).await?;
/// # drop(stream);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn connect<'a>(&'a self, authority: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(ReadAhead::new(stream)) as BoxStream)
        })
    }

    fn listen(&self, addr: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(addr).await?;
            let addr = listener.local_addr()?;
            Ok(Box::new(Tcp { listener, addr }) as Box<dyn Listener>)
        })
    }

    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|addr| addr.ip()).collect()) })
    }
}

struct Tcp {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener for Tcp {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(ReadAhead::new(stream)) as BoxStream, from))
        })
    }

    fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn listen() -> Box<dyn Listener> {
        TcpNetwork.listen("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let mut listener = listen().await;
        let mut client = TcpNetwork.connect(&listener.local_addr().to_string()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).await.unwrap();
        server.write_all(b"pong").await.unwrap();
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"pong");
    }

    #[tokio::test]
    async fn a_taken_port_is_address_in_use() {
        let listener = listen().await;
        let error = TcpNetwork.listen(listener.local_addr()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn nobody_listening_is_connection_refused() {
        let addr = listen().await.local_addr();
        let error = TcpNetwork.connect(&addr.to_string()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn names_lead_where_the_system_says() {
        let found = TcpNetwork.resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test]
    async fn what_is_no_authority_is_invalid_input() {
        let error = TcpNetwork.connect("no port here").await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
