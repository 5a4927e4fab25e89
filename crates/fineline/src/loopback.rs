//! Speaking HTTP to a listener of this machine: as the made-up shop's own server with a server key, and as the operator
//! with the pass of a serving process. It goes nowhere but to the loopback; what mail carries leaves through `deliver`.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// One who asks. Clones share their connections.
#[derive(Clone)]
pub struct Loopback {
    client: Client<HttpConnector, Full<Bytes>>,
    base: Arc<str>,
    authorization: Arc<str>,
}

impl std::fmt::Debug for Loopback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Loopback({})", self.base)
    }
}

impl Loopback {
    /// Asks with a server key, as the shop's server does.
    ///
    /// # Errors
    /// When the address is not on this machine.
    pub fn with_key(at: SocketAddr, key: &str) -> anyhow::Result<Self> {
        Self::new(at, &format!("Basic {}", STANDARD.encode(format!("{key}:"))))
    }

    /// Asks with a bearer token.
    ///
    /// # Errors
    /// When the address is not on this machine.
    pub fn with_token(at: SocketAddr, token: &str) -> anyhow::Result<Self> {
        Self::new(at, &format!("Bearer {token}"))
    }

    fn new(at: SocketAddr, authorization: &str) -> anyhow::Result<Self> {
        anyhow::ensure!(at.ip().is_loopback(), "{at} is not on this machine's loopback");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { client, base: format!("http://{at}").into(), authorization: authorization.into() })
    }

    /// Asks for something long, which is then read piece by piece.
    ///
    /// # Errors
    /// When there is no answer, or another than yes.
    pub fn read<'r>(&self, runtime: &'r Runtime, path: &str) -> anyhow::Result<Answer<'r>> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.as_ref())
            .body(Full::default())?;
        let asked = runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, self.client.request(request)).await });
        let response = asked.with_context(|| format!("no answer from {path}"))??;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "it answered {status}");
        Ok(Answer { runtime, body: response.into_body(), piece: Bytes::new() })
    }

    /// Posts JSON and reads the JSON answer; `Value::Null` when the body is not JSON.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<(StatusCode, Value)> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.as_ref())
            .body(Full::from(serde_json::to_vec(body)?))?;
        let ask = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        tokio::time::timeout(ANSWER_MAX, ask).await.with_context(|| format!("no answer from {path}"))?
    }

    /// Gets an answer as it is.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("{}{path}", self.base))
            .header(AUTHORIZATION, self.authorization.as_ref())
            .body(Full::default())?;
        let ask = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes()))
        };
        tokio::time::timeout(ANSWER_MAX, ask).await.with_context(|| format!("no answer from {path}"))?
    }
}

/// An answer that is read as it comes.
pub struct Answer<'r> {
    runtime: &'r Runtime,
    body: Incoming,
    piece: Bytes,
}

impl std::fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({} bytes at hand)", self.piece.len())
    }
}

impl Read for Answer<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.piece.is_empty() {
            let next = async { tokio::time::timeout(ANSWER_MAX, self.body.frame()).await };
            let frame = self.runtime.block_on(next).map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))?;
            match frame.transpose().map_err(std::io::Error::other)? {
                Some(frame) => self.piece = frame.into_data().unwrap_or_default(),
                None => return Ok(0),
            }
        }
        let piece = self.piece.split_to(self.piece.len().min(into.len()));
        for (target, source) in into.iter_mut().zip(&piece) {
            *target = *source;
        }
        Ok(piece.len())
    }
}
