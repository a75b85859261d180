//! The fault proxy: what passes, what stands still, what is cut, and that both ends notice.

#![expect(clippy::expect_used, reason = "a test that can't be set up has failed")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use tidegate_testkit::{FaultProxy, Way, poll_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
/// Long beside the microseconds that a passage over the loopback takes.
const A_WHILE: Duration = Duration::from_millis(150);

/// A server that sends back each byte, in capitals if they have them, and tells what it heard.
async fn server() -> (u16, mpsc::UnboundedReceiver<u8>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (heard, hearing) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                while let Ok(byte) = client.read_u8().await {
                    heard.send(byte).ok();
                    client.write_u8(byte.to_ascii_uppercase()).await.ok();
                }
            });
        }
    });
    (port, hearing)
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port()))
        .await
        .expect("the proxy listens")
}

async fn ask(client: &mut TcpStream, byte: u8) -> u8 {
    client.write_u8(byte).await.expect("written");
    answer(client).await
}

async fn answer(client: &mut TcpStream) -> u8 {
    let read = timeout(SOON, client.read_u8()).await;
    read.expect("in time").expect("an answer")
}

async fn is_closed(client: &mut TcpStream) -> bool {
    let read = timeout(SOON, client.read_u8()).await;
    read.expect("in time").is_err()
}

#[tokio::test]
async fn everything_passes_until_the_proxy_is_told_otherwise() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut clients = [connect(&proxy).await, connect(&proxy).await];
    for (client, byte) in clients.iter_mut().zip([b'a', b'b']) {
        assert_eq!(ask(client, byte).await, byte.to_ascii_uppercase());
    }
    assert_eq!(proxy.open_connections(), 2);
    drop(clients);
    let all_closed = async || proxy.open_connections() == 0;
    poll_until(SOON, all_closed).await.expect("the ends close");
}

#[tokio::test]
async fn a_cut_closes_what_is_open_and_lets_new_ones_in() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, b'a').await, b'A');
    proxy.cut();
    assert!(is_closed(&mut client).await);
    let mut next = connect(&proxy).await;
    assert_eq!(ask(&mut next, b'b').await, b'B');
}

#[tokio::test]
async fn stalled_requests_reach_nobody_until_they_are_resumed() {
    let (port, mut heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, b'a').await, b'A');
    assert_eq!(heard.recv().await, Some(b'a'));
    proxy.stall(Way::Requests);
    client.write_u8(b'b').await.expect("written");
    assert!(timeout(A_WHILE, heard.recv()).await.is_err());
    proxy.resume();
    assert_eq!(answer(&mut client).await, b'B');
}

#[tokio::test]
async fn with_stalled_replies_the_request_is_done_and_a_cut_loses_the_answer() {
    let (port, mut heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    proxy.stall(Way::Replies);
    client.write_u8(b'a').await.expect("written");
    let done = timeout(SOON, heard.recv()).await;
    assert_eq!(done.expect("in time"), Some(b'a'));
    assert!(timeout(A_WHILE, client.read_u8()).await.is_err());
    proxy.cut();
    proxy.resume();
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_delay_holds_each_piece_back() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    proxy.delay(A_WHILE);
    let begin = Instant::now();
    assert_eq!(ask(&mut client, b'a').await, b'A');
    assert!(begin.elapsed() >= 2 * A_WHILE, "once in each direction");
    proxy.resume();
    assert_eq!(ask(&mut client, b'b').await, b'B');
}

#[tokio::test]
async fn what_is_divided_arrives_in_pieces_and_whole() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, b'a').await, b'A');
    proxy.divide(2);
    client.write_all(b"divided").await.expect("written");
    let (mut whole, mut piece) = (Vec::<u8>::new(), [0_u8; 7]);
    while whole.len() < 7 {
        let read = timeout(SOON, client.read(&mut piece)).await;
        let count = read.expect("in time").expect("read");
        whole.extend(piece.iter().take(count));
    }
    assert_eq!(whole, b"DIVIDED");
}

#[tokio::test]
async fn a_refusal_closes_what_is_open_and_what_comes() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let mut client = connect(&proxy).await;
    assert_eq!(ask(&mut client, b'a').await, b'A');
    proxy.refuse();
    assert!(is_closed(&mut client).await);
    assert!(is_closed(&mut connect(&proxy).await).await);
    proxy.resume();
    assert_eq!(ask(&mut connect(&proxy).await, b'b').await, b'B');
}

#[tokio::test]
async fn new_connections_go_where_the_proxy_points() {
    let (first, mut first_heard) = server().await;
    let (second, mut second_heard) = server().await;
    let proxy = FaultProxy::start(first).await.expect("a proxy");
    let mut old = connect(&proxy).await;
    assert_eq!(ask(&mut old, b'a').await, b'A');
    proxy.point_to(second);
    let mut new = connect(&proxy).await;
    assert_eq!(ask(&mut new, b'b').await, b'B');
    assert_eq!(ask(&mut old, b'c').await, b'C');
    assert_eq!(second_heard.recv().await, Some(b'b'));
    assert_eq!(first_heard.recv().await, Some(b'a'));
    assert_eq!(first_heard.recv().await, Some(b'c'));
}

#[tokio::test]
async fn who_is_not_there_is_a_closed_connection() {
    let (port, _heard) = server().await;
    let proxy = FaultProxy::start(port).await.expect("a proxy");
    let nobody = FaultProxy::start(port).await.expect("a port");
    proxy.point_to(nobody.port());
    drop(nobody);
    let gone = async || {
        let mut client = connect(&proxy).await;
        client.write_u8(b'a').await.ok();
        is_closed(&mut client).await
    };
    poll_until(SOON, gone).await.expect("closed");
}
