use futures::{FutureExt, future::join};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const A: [u8; 4] = [10, 0, 0, 1];
const B: [u8; 4] = [10, 0, 0, 2];

struct Pair {
    network: MemoryNetwork,
    a: MemoryHost,
    listener: Box<dyn Listener>,
    client: BoxStream,
    server: BoxStream,
}

async fn pair() -> Pair {
    let network = MemoryNetwork::new();
    let (a, b) = (network.host(A), network.host(B));
    let mut listener = b.listen("10.0.0.2:8002".parse().unwrap()).await.unwrap();
    let (client, server) = join(a.connect("10.0.0.2:8002"), listener.accept()).await;
    let (server, from) = server.unwrap();
    assert_eq!(from.ip(), a.ip());
    Pair { network, a, listener, client: client.unwrap(), server }
}

async fn read(stream: &mut BoxStream) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; 64];
    let count = stream.read(&mut buffer).await?;
    buffer.truncate(count);
    Ok(buffer)
}

fn error_kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().unwrap().kind()
}

#[tokio::test]
async fn ports_behave_as_those_of_tcp_do() {
    let network = MemoryNetwork::new();
    let (a, b) = (network.host(A), network.host(B));
    network.name("b.example", B);
    assert_eq!(error_kind(a.connect("10.0.0.2:8002").await), io::ErrorKind::ConnectionRefused);
    let listener = b.listen("0.0.0.0:8002".parse().unwrap()).await.unwrap();
    assert_eq!(error_kind(b.listen("10.0.0.2:8002".parse().unwrap()).await), io::ErrorKind::AddrInUse);
    assert_eq!(error_kind(b.listen("10.0.0.1:8002".parse().unwrap()).await), io::ErrorKind::AddrNotAvailable);
    let chosen = b.listen("10.0.0.2:0".parse().unwrap()).await.unwrap();
    assert_ne!(chosen.local_addr().port(), 0);
    for there in ["10.0.0.2:8002", "b.example:8002"] {
        a.connect(there).await.unwrap();
    }
    assert_eq!(
        (a.resolve("b.example").await.unwrap(), error_kind(a.resolve("c.example").await)),
        (vec![B.into()], io::ErrorKind::NotFound)
    );
    b.connect("127.0.0.1:8002").await.unwrap();
    b.connect("localhost:8002").await.unwrap();
    assert_eq!(error_kind(a.connect("127.0.0.1:8002").await), io::ErrorKind::ConnectionRefused);
    assert_eq!(error_kind(a.connect("c.example:1").await), io::ErrorKind::NotFound);
    assert_eq!(error_kind(a.connect("nonsense").await), io::ErrorKind::InvalidInput);
    drop(listener);
    assert_eq!(error_kind(a.connect("10.0.0.2:8002").await), io::ErrorKind::ConnectionRefused);
    b.listen("10.0.0.2:8002".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn bytes_arrive_and_an_end_that_is_dropped_ends_the_stream() {
    let mut pair = pair().await;
    pair.client.write_all(b"hello").await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"hello");
    drop(pair.client);
    assert_eq!(read(&mut pair.server).await.unwrap(), b"");
}

#[tokio::test]
async fn nothing_passes_a_partition_until_it_heals() {
    let mut pair = pair().await;
    pair.network.partition(A, B);
    pair.client.write_all(b"lost?").await.unwrap();
    pair.server.write_all(b"no").await.unwrap();
    let mut waiting = tokio::spawn(async move { (read(&mut pair.server).await, pair.server) });
    for _ in 0..10 {
        tokio::task::yield_now().await;
        assert!((&mut waiting).now_or_never().is_none());
    }
    assert!(read(&mut pair.client).now_or_never().is_none());
    pair.network.heal(A, B);
    assert_eq!(waiting.await.unwrap().0.unwrap(), b"lost?");
    assert_eq!(read(&mut pair.client).await.unwrap(), b"no");
}

#[tokio::test]
async fn connecting_across_a_partition_hangs_until_it_heals() {
    let Pair { network, a, mut listener, .. } = pair().await;
    network.partition(B, A);
    let mut connecting = a.connect("10.0.0.2:8002");
    assert!((&mut connecting).now_or_never().is_none());
    network.heal(A, B);
    connecting.await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn a_killed_host_resets_its_connections_and_is_gone_until_it_is_started_again() {
    let mut pair = pair().await;
    let waiting = tokio::spawn(async move { read(&mut pair.client).await });
    tokio::task::yield_now().await;
    pair.network.kill(B);
    assert_eq!(error_kind(waiting.await.unwrap()), io::ErrorKind::ConnectionReset);
    assert_eq!(error_kind(pair.server.write_all(b"x").await), io::ErrorKind::ConnectionReset);
    assert_eq!(error_kind(pair.a.connect("10.0.0.2:8002").await), io::ErrorKind::ConnectionRefused);
    assert!(pair.listener.accept().now_or_never().is_none());

    let again = pair.network.host(B);
    let _new = again.listen("10.0.0.2:8002".parse().unwrap()).await.unwrap();
    drop(pair.listener);
    pair.a.connect("10.0.0.2:8002").await.unwrap();
}

#[tokio::test]
async fn a_handle_of_a_killed_host_stays_dead() {
    let network = MemoryNetwork::new();
    let b = network.host(B);
    network.kill(B);
    assert_eq!(error_kind(b.connect("10.0.0.1:1").await), io::ErrorKind::NetworkDown);
    assert_eq!(error_kind(b.listen("10.0.0.2:1".parse().unwrap()).await), io::ErrorKind::NetworkDown);
}

#[tokio::test]
async fn behind_a_partition_a_death_is_not_noticed() {
    let mut pair = pair().await;
    pair.network.partition(A, B);
    pair.network.kill(B);
    assert!(read(&mut pair.client).now_or_never().is_none());
    pair.network.heal(A, B);
    assert_eq!(error_kind(read(&mut pair.client).await), io::ErrorKind::ConnectionReset);
}
