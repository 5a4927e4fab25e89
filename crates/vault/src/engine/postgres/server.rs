//! Responsible for where a PostgreSQL server is and how it is spoken to: the address of the setting `store`, the password
//! that never stands in it, sockets and TLS.
//!
//! A Unix socket and a loopback address may be plain; to any other host TLS is not a choice, and its certificate is
//! verified against the public authorities or against the one that was given.
//!
//! Deliberately not: what is said once connected (`session`).

use crate::VaultError;
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// The schema when the address names none.
const SCHEMA: &str = "fineline";

/// Longest name of a schema, in bytes: what PostgreSQL keeps of one.
const SCHEMA_BYTES_MAX: usize = 63;

/// One PostgreSQL database and a schema in it, as set. Made once when the program starts, and lives as long as it.
pub struct Server {
    config: tokio_postgres::Config,
    pub(super) schema: String,
    places: Vec<Place>,
    tls: Arc<ClientConfig>,
    shown: String,
}

/// A host of the address.
enum Place {
    Socket(PathBuf),
    Plain(String, u16),
    Tls(String, u16, ServerName<'static>),
}

impl PartialEq for Server {
    fn eq(&self, other: &Self) -> bool {
        (&self.shown, &self.schema) == (&other.shown, &other.schema)
    }
}

impl Eq for Server {}

/// Without what could be secret.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn wrong(what: impl Into<String>) -> VaultError {
    VaultError::Store { what: what.into() }
}

impl Server {
    /// Reads an address such as `postgres://fineline@db.example/shop?schema=fineline`, or `postgres:///shop?host=/run/postgresql`.
    /// A password comes beside it, because an address stands in lists of processes; so does a certificate authority of the
    /// company's own, as PEM.
    ///
    /// # Errors
    /// [`VaultError::Store`]: another form, a password in it, or a host that would be spoken to without TLS.
    pub fn new(address: &str, password: Option<&str>, authority: Option<&[u8]>) -> Result<&'static Self, VaultError> {
        if !address.starts_with("postgres://") && !address.starts_with("postgresql://") {
            return Err(wrong("it does not begin with postgres://"));
        }
        let (plain, schema) = without_schema(address)?;
        let mut config: tokio_postgres::Config =
            plain.parse().map_err(|_| wrong("it is not of the form postgres://ROLE@HOST:PORT/DATABASE"))?;
        if config.get_password().is_some() {
            return Err(wrong("a password stands in it, where every list of processes shows it: put it into a file"));
        }
        if config.get_user().is_none() {
            return Err(wrong("no role stands in it (postgres://ROLE@HOST/DATABASE)"));
        }
        if let Some(password) = password {
            config.password(password);
        }
        config.application_name("fineline");
        let places = places(&config)?;
        let all_tls = places.iter().all(|place| matches!(place, Place::Tls(..)));
        config.ssl_mode(if all_tls { SslMode::Require } else { SslMode::Disable });
        let tls = Arc::new(tls(authority)?);
        let shown = plain.split(['?']).next().unwrap_or_default().to_owned();
        Ok(Box::leak(Box::new(Self { config, schema, places, tls, shown })))
    }

    /// Connects to the first host that answers; the connection has to be driven.
    pub(super) async fn connect(
        &self,
    ) -> Result<(tokio_postgres::Client, tokio_postgres::Connection<Socket, Session>), Unreached> {
        let mut last = Unreached("no host is set".into());
        for place in &self.places {
            match self.connect_to(place).await {
                Ok(connected) => return Ok(connected),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect_to(
        &self,
        place: &Place,
    ) -> Result<(tokio_postgres::Client, tokio_postgres::Connection<Socket, Session>), Unreached> {
        let unreached = |error: std::io::Error| Unreached(Box::new(error));
        let (stream, name) = match place {
            Place::Socket(path) => (Socket::Unix(UnixStream::connect(path).await.map_err(unreached)?), None),
            Place::Plain(host, port) => (Socket::Tcp(tcp(host, *port).await.map_err(unreached)?), None),
            Place::Tls(host, port, name) => {
                (Socket::Tcp(tcp(host, *port).await.map_err(unreached)?), Some(name.clone()))
            }
        };
        let tls = Tls { config: Arc::clone(&self.tls), name };
        self.config.connect_raw(stream, tls).await.map_err(|error| Unreached(Box::new(error)))
    }
}

/// Why nobody could be reached, or why we were not let in.
pub(super) struct Unreached(pub(super) Box<dyn std::error::Error + Send + Sync>);

#[expect(clippy::disallowed_methods, reason = "this engine is one of the few that may open a socket")]
async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The address without our own word in it, and the schema it names.
fn without_schema(address: &str) -> Result<(String, String), VaultError> {
    let Some((base, query)) = address.split_once('?') else { return Ok((address.to_owned(), SCHEMA.to_owned())) };
    let mut schema = SCHEMA;
    let rest: Vec<&str> =
        query.split('&').filter(|pair| pair.strip_prefix("schema=").map(|name| schema = name).is_none()).collect();
    let is_name = |name: &str| {
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        begins && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
    };
    if schema.len() > SCHEMA_BYTES_MAX || !is_name(schema) || schema.starts_with("pg_") {
        return Err(wrong(format!(
            "a schema is named by at most {SCHEMA_BYTES_MAX} small letters, digits and underscores"
        )));
    }
    let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((plain, schema.to_owned()))
}

fn places(config: &tokio_postgres::Config) -> Result<Vec<Place>, VaultError> {
    let ports = config.get_ports();
    let asks_for_tls = config.get_ssl_mode() == SslMode::Require;
    let refuses_tls = config.get_ssl_mode() == SslMode::Disable;
    let mut places = Vec::new();
    for (at, host) in config.get_hosts().iter().enumerate() {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        places.push(match host {
            Host::Unix(folder) => Place::Socket(folder.join(format!(".s.PGSQL.{port}"))),
            Host::Tcp(host) => {
                let address = host.parse::<IpAddr>().ok();
                let is_here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
                match (is_here && !asks_for_tls, refuses_tls) {
                    (true, _) => Place::Plain(host.clone(), port),
                    (false, true) => {
                        return Err(wrong("sslmode=disable, but the host is not this machine: people's data crosses no network in clear"));
                    }
                    (false, false) => {
                        let name = ServerName::try_from(host.clone()).map_err(|_| wrong("its host is no name and no address"))?;
                        Place::Tls(host.clone(), port, name)
                    }
                }
            }
        });
    }
    if places.is_empty() {
        return Err(wrong("no host stands in it; for a socket: postgres://ROLE@/DATABASE?host=/run/postgresql"));
    }
    let n_tls = places.iter().filter(|place| matches!(place, Place::Tls(..))).count();
    if n_tls != 0 && n_tls != places.len() {
        return Err(wrong("some of its hosts are spoken to with TLS and some without: name hosts of one kind"));
    }
    Ok(places)
}

fn tls(authority: Option<&[u8]>) -> Result<ClientConfig, VaultError> {
    let mut roots = RootCertStore::empty();
    match authority {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| wrong("the certificate authority is not PEM"))?;
                roots.add(certificate).map_err(|_| wrong("the certificate authority cannot be used"))?;
            }
            if roots.is_empty() {
                return Err(wrong("no certificate stands in the file of the certificate authority"));
            }
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|_| wrong("TLS cannot be set up"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A socket of either kind.
pub(super) enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// How a connection is made to speak TLS.
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    /// `None` where it is never asked for.
    name: Option<ServerName<'static>>,
}

impl TlsConnect<Socket> for Tls {
    type Stream = Session;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Session>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let name = self.name.ok_or_else(|| std::io::Error::other("TLS to a host without a name"))?;
            TlsConnector::from(self.config).connect(name, stream).await.map(|stream| Session(Box::new(stream)))
        })
    }
}

/// A socket that speaks TLS.
pub(super) struct Session(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Session {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Session {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Session {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
