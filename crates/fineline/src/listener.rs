//! Taking connections: a bounded number, each with a limit on how long its headers may take, closed in an orderly way
//! when the program stops. It knows nothing of routes.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt;

/// How long a client may take to send its headers.
const HEADERS_MAX: Duration = Duration::from_secs(10);
/// How long requests under way may go on after the listener was closed.
pub const GRACE: Duration = Duration::from_secs(25);
/// How long to wait after the system refused a connection (out of files), so as not to spin.
const REST: Duration = Duration::from_millis(100);

/// Opens a listener.
///
/// # Errors
/// When the address is taken or not ours.
#[expect(clippy::disallowed_methods, reason = "the program listens")]
pub async fn bind(at: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(at).await
}

/// From where a connection comes, on each of its requests. Never kept, never logged.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// A listener, and whom it lets in. Clones listen on the same socket: one that stops accepting refuses nobody.
#[derive(Debug, Clone)]
pub struct Door {
    listener: Arc<TcpListener>,
    /// The only addresses that may connect; empty = all.
    only: Vec<IpAddr>,
}

impl From<TcpListener> for Door {
    fn from(listener: TcpListener) -> Self {
        Self { listener: Arc::new(listener), only: Vec::new() }
    }
}

impl Door {
    /// A listener in the open: only these proxies may connect, because past them everything goes in the clear.
    #[must_use]
    pub fn behind(listener: TcpListener, proxies: Vec<IpAddr>) -> Self {
        Self { listener: Arc::new(listener), only: proxies }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whose connections are let in; empty = everybody's.
    #[must_use]
    pub fn proxies(&self) -> &[IpAddr] {
        &self.only
    }

    fn lets_in(&self, peer: IpAddr) -> bool {
        // A listener on [::] sees IPv4 peers as ::ffff:a.b.c.d.
        self.only.is_empty() || self.only.contains(&peer.to_canonical())
    }
}

/// Serves until `stop` says true, then finishes what is under way for at most `GRACE`.
pub async fn serve<S, B>(door: Door, service: S, connections_max: usize, mut stop: watch::Receiver<bool>)
where
    S: tower::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let room = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    while !*stop.borrow() {
        let accepted = tokio::select! {
            _ = stop.changed() => continue,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&door, &room) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        let service = service.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            request
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // How a connection ends is the other side's affair: resets and half-sent requests are everyday.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(door);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were still open after the grace period");
    }
}

async fn accept(
    door: &Door,
    room: &Arc<Semaphore>,
) -> Option<(tokio::net::TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.ok()?;
    match door.listener.accept().await {
        // Who it was is nobody's business; that it happens is the operator's.
        Ok((_, peer)) if !door.lets_in(peer.ip()) => {
            tracing::debug!("a connection from an address that is not among the `trusted_proxies` was closed");
            None
        }
        Ok((stream, peer)) => {
            // Answers are small: without this they wait for the other side's acknowledgement.
            let _ = stream.set_nodelay(true);
            Some((stream, peer.ip(), permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(REST).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;

    /// What one address gets that asks from another.
    async fn asks(from: &str, at: SocketAddr) -> String {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
        let mut stream = socket.connect(at).await.unwrap();
        let mut answer = String::new();
        // A closed connection may show at either call.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn past_the_trusted_proxies_nobody_gets_an_answer() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stops, stopped) = watch::channel(false);
        let door = Door::behind(listener, vec!["127.0.0.2".parse().unwrap()]);
        let served = serve(door, Router::new().route("/", get(async || "in")), 10, stopped);
        let asked = async {
            assert!(asks("127.0.0.2", at).await.ends_with("in"), "the proxy is let in");
            assert_eq!(asks("127.0.0.1", at).await, "", "nobody else is");
            assert!(asks("127.0.0.2", at).await.ends_with("in"), "and that keeps nobody out");
            stops.send_replace(true);
        };
        tokio::join!(served, asked);
    }

    #[tokio::test]
    async fn a_proxy_is_known_behind_both_kinds_of_socket() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let door = Door::behind(listener, vec!["10.0.0.2".parse().unwrap()]);
        for (peer, is_in) in [("10.0.0.2", true), ("::ffff:10.0.0.2", true), ("10.0.0.3", false), ("::1", false)] {
            assert_eq!(door.lets_in(peer.parse().unwrap()), is_in, "{peer}");
        }
    }
}
