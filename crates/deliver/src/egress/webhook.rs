//! The other way out: one signed POST to a recipient of the register. It carries a reference and no value of anybody.
//!
//! Signed by the Standard Webhooks scheme (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,…`; HMAC-SHA-256 over
//! id, second and body). The host is resolved and dialled in one step, so that what was looked at is what is dialled; an
//! address that is not public is not dialled, unless the program was told that it may. Redirects are not followed. An answer
//! is read up to [`ANSWER_BYTES_MAX`].
//!
//! It does not choose whom to call ([`Registered`] comes from the register alone), does not retry, and keeps nothing.

use crate::recipient::Registered;
use ::aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::At;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs as provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Addresses of one host that are tried, at most.
const ADDRESSES_MAX: usize = 4;
/// Longest wait for a whole call.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which addresses may be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of the public internet.
    Public,
    /// Also this machine and private networks: for tests, and for a recipient in the same building.
    AlsoPrivate,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The same at every try.
    pub id: String,
    /// When it is sent.
    pub at: At,
    /// JSON.
    pub body: String,
}

/// A yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken (any 2xx).
    Taken,
    /// Taken, and the answer says `{"erased": true}`.
    Erased,
}

/// No yes. The word stands in records, pages and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// The host has no address.
    Unresolved,
    /// The host has no address that may be dialled.
    NotPublic,
    /// No connection, or it broke.
    Down,
    /// No answer in time.
    Slow,
    /// The certificate is not of this host, or TLS failed.
    TlsRefused,
    /// It sent us elsewhere.
    Redirected,
    /// It says later (429, 5xx).
    Busy,
    /// It says no (4xx).
    Refused,
    /// It says that nobody is called here any more (410).
    Closed,
    /// Its answer is not one.
    Unclear,
}

impl CallFault {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unresolved => "unresolved",
            Self::NotPublic => "not_public",
            Self::Down => "down",
            Self::Slow => "slow",
            Self::TlsRefused => "tls_refused",
            Self::Redirected => "redirected",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Unclear => "unclear",
        }
    }
}

/// Calls recipients.
pub struct Caller {
    reach: Reach,
    tls: Arc<ClientConfig>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caller({:?})", self.reach)
    }
}

impl Caller {
    /// With the public roots.
    ///
    /// # Errors
    /// [`crate::egress::RelayError::Tls`] when the TLS library refuses.
    pub fn new(reach: Reach) -> Result<Self, crate::egress::RelayError> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::trusting(reach, roots)
    }

    fn trusting(reach: Reach, roots: RootCertStore) -> Result<Self, crate::egress::RelayError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|_| crate::egress::RelayError::Tls)?;
        let tls = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { reach, tls: Arc::new(tls) })
    }

    /// One call.
    ///
    /// # Errors
    /// [`CallFault`]: nobody knows whether the other side took it, unless it said no.
    pub async fn post(&self, to: &Registered, message: &Message) -> Result<Answer, CallFault> {
        timeout(PATIENCE, self.call(to, message)).await.map_err(|_| CallFault::Slow)?
    }

    async fn call(&self, to: &Registered, message: &Message) -> Result<Answer, CallFault> {
        let address = to.address();
        let stream = self.dial(address.host(), address.port()).await?;
        if !address.is_protected() {
            return talk(stream, to, message).await;
        }
        let name = ServerName::try_from(address.host().to_owned()).map_err(|_| CallFault::Unresolved)?;
        let connected = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        talk(connected.map_err(|_| CallFault::TlsRefused)?, to, message).await
    }

    /// Resolves and dials the very addresses that were looked at.
    #[expect(clippy::disallowed_methods, reason = "this is the one way out")]
    async fn dial(&self, host: &str, port: u16) -> Result<TcpStream, CallFault> {
        let found = tokio::net::lookup_host((host, port)).await.map_err(|_| CallFault::Unresolved)?;
        let found: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
        if found.is_empty() {
            return Err(CallFault::Unresolved);
        }
        let mut fault = CallFault::NotPublic;
        for address in found.into_iter().filter(|address| self.reach == Reach::AlsoPrivate || is_public(address.ip())) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(_) => fault = CallFault::Down,
            }
        }
        Err(fault)
    }
}

async fn talk<S>(stream: S, to: &Registered, message: &Message) -> Result<Answer, CallFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let seconds = message.at.ms().div_euclid(1_000);
    let address = to.address();
    let request = Request::post(address.path())
        .header(HOST, address.authority())
        .header(USER_AGENT, concat!("fineline/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", seconds)
        .header("webhook-signature", signature(to.secret(), &message.id, seconds, &message.body))
        .body(Full::new(Bytes::from(message.body.clone())))
        .map_err(|_| CallFault::Unclear)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| CallFault::Down)?;
    // The connection is driven beside the request and ends with it.
    let answer = async {
        let response = sender.send_request(request).await.map_err(|_| CallFault::Down)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        // What cannot be read to its end says nothing more than its status.
        judge(status, body.map(|body| body.to_bytes()).unwrap_or_default().as_ref())
    };
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // The other side has closed after its answer, which may still have to be read.
            Ok(()) => (&mut answer).await,
            Err(_) => Err(CallFault::Down),
        },
    }
}

fn judge(status: StatusCode, body: &[u8]) -> Result<Answer, CallFault> {
    if status.is_success() {
        let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let is_erased = said.as_ref().and_then(|said| said.get("erased")?.as_bool()) == Some(true);
        return Ok(if is_erased { Answer::Erased } else { Answer::Taken });
    }
    Err(match status.as_u16() {
        300..=399 => CallFault::Redirected,
        410 => CallFault::Closed,
        429 | 500..=599 => CallFault::Busy,
        400..=499 => CallFault::Refused,
        _ => CallFault::Unclear,
    })
}

/// `v1,` and the base64 of HMAC-SHA-256 over `id.seconds.body`.
fn signature(secret: &[u8], id: &str, seconds: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    format!("v1,{}", BASE64_STANDARD.encode(tag.as_ref()))
}

/// Whether an address belongs to the public internet. What is not known to is not.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let inside = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // An older address in a newer dress is judged by itself.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(inside(high, low)),
        [0x2002, high, low, ..] => is_public_v4(inside(high, low)),
        // Teredo, ORCHID, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
pub(crate) mod tests;
