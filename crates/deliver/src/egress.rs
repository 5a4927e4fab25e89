//! The only way out: SMTP to the one relay, over the only socket that may carry a person's value; and calls to recipients,
//! which carry none ([`webhook`]).
//!
//! A [`Relay`] is where mails are handed over; a [`Connection`] hands over one mail after another: MAIL, RCPT, **look**,
//! DATA. The look is the caller's: it asks whether the person's wishes have moved, at the last moment at which nothing has
//! left yet. How it ended is one [`Handover`], and whose fault a refusal was decides what becomes of the message.
//!
//! It does not retry, does not choose, and never repeats what the relay said: its answers quote addresses.

pub mod webhook;

#[cfg(test)]
pub(crate) mod tests;

use crate::mail::Mail;
use crate::recipient::Recipient;
use crate::sender::is_loopback;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use promise::Refusal;
use std::fmt;
use std::time::Duration;
use tokio::time::timeout;

/// Longest that handing over one mail may take, in seconds: below the ten minutes after which the vault takes an attempt
/// without an end for dead.
pub const HANDOVER_SECONDS_MAX: u64 = 540;

/// Connections to the relay at once, at most.
pub const CONNECTIONS_MAX: usize = 4;

/// Mails over one connection; then a new one, so that a relay may balance and restart.
pub const MAILS_PER_CONNECTION_MAX: u32 = 100;

/// The relay's configuration is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The host is not one.
    #[error("the mail relay's host is not a host name or an IP address")]
    Host,
    /// Without TLS, but elsewhere.
    #[error("a mail relay without TLS must be on this machine (localhost, 127.0.0.1 or ::1); use starttls or tls")]
    Plain,
    /// The name for EHLO is not one.
    #[error("the name that greets the relay must be a host name")]
    Hello,
    /// Waiting so long could outlast the attempt.
    #[error("four commands and the end of a mail must take at most {HANDOVER_SECONDS_MAX} seconds together")]
    Patience,
    /// The certificates of the company's own authority cannot be used.
    #[error("the certificates of the relay's authority {0}")]
    Authority(&'static str),
    /// The TLS library refused.
    #[error("TLS for the mail relay could not be set up")]
    Tls,
}

/// How the way to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all: on this machine only.
    None,
    /// Upgraded after EHLO; required, never given up.
    StartTls,
    /// From the first byte.
    Tls,
}

/// Whose word counts for the relay's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The public ones, as browsers know them.
    Public,
    /// The company's own, in PEM, and nobody else: a certificate that a public one gives to whoever took over a name does not
    /// count then.
    Own(Vec<u8>),
}

/// User name and password for the relay. `Debug` redacts.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password, as the program read it from its file.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(…)")
    }
}

/// How long to wait for the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection with its greeting, TLS and login.
    pub connect: Duration,
    /// For the answer to a command.
    pub command: Duration,
    /// For the answer to the final dot: long, because giving up there leaves it unknown whether the mail was taken.
    pub end: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), command: Duration::from_secs(45), end: Duration::from_secs(300) }
    }
}

/// Where the relay is and how it is spoken to, as configured.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Host name or IP address.
    pub host: String,
    /// Port (25, 587 with starttls, 465 with tls).
    pub port: u16,
    /// Protection of the way.
    pub tls: TlsMode,
    /// Who vouches for it, where the way is protected.
    pub authority: Authority,
    /// Who we are to the relay, if it asks.
    pub login: Option<Login>,
    /// Our name in EHLO: the host of `base_url`.
    pub hello: String,
    /// Connections at once, 1 to [`CONNECTIONS_MAX`]; other numbers are brought into these bounds.
    pub connections: usize,
    /// How long to wait.
    pub patience: Patience,
    /// Who runs the relay, for the register of recipients.
    pub recipient: Recipient,
}

/// The one relay, its configuration checked. `Debug` shows host and port.
pub struct Relay {
    host: String,
    port: u16,
    tls: Option<TlsParameters>,
    mode: TlsMode,
    login: Option<Credentials>,
    hello: ClientId,
    connections: usize,
    patience: Patience,
    recipient: Recipient,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({}:{}, {:?})", self.host, self.port, self.mode)
    }
}

/// Why the relay as a whole cannot be used now. No message's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayFault {
    /// No connection, or it broke.
    Down,
    /// It did not answer in time.
    Slow,
    /// It said "later" to us, not to a message.
    Busy,
    /// It does not serve us: login, TLS, sender or relaying refused. The operator must look.
    Refused,
}

impl RelayFault {
    /// The word used in records, metrics and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "relay_down",
            Self::Slow => "relay_slow",
            Self::Busy => "relay_busy",
            Self::Refused => "relay_refused",
        }
    }
}

/// How handing over one mail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handover {
    /// The relay took it.
    Taken,
    /// The look said no; nothing left.
    Stopped(Refusal),
    /// The relay asks to try this message again later (4xx to the recipient or the text).
    Later,
    /// The relay will never take this recipient (5xx).
    AddressRefused,
    /// The relay will never take this text (5xx).
    MessageRefused,
    /// The connection broke or stayed silent after the text had gone: it may have been taken.
    Unknown,
    /// The relay as a whole failed before the text had gone.
    Fault(RelayFault),
}

impl Relay {
    /// Checks a configuration. Opens nothing.
    ///
    /// # Errors
    /// [`RelayError`].
    pub fn new(config: RelayConfig) -> Result<Self, RelayError> {
        let is_name = |text: &str| {
            let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
            !text.is_empty() && text.len() <= 253 && text.chars().all(named)
        };
        if !is_name(&config.host) {
            return Err(RelayError::Host);
        }
        if !is_name(&config.hello) {
            return Err(RelayError::Hello);
        }
        // MAIL, RCPT, DATA, RSET.
        let longest = config.patience.command.saturating_mul(4).saturating_add(config.patience.end);
        if longest > Duration::from_secs(HANDOVER_SECONDS_MAX) {
            return Err(RelayError::Patience);
        }
        if config.tls == TlsMode::None && !is_loopback(&config.host) {
            return Err(RelayError::Plain);
        }
        let tls = match config.tls {
            TlsMode::None if config.authority != Authority::Public => {
                return Err(RelayError::Authority("are of no use without TLS; use starttls or tls"));
            }
            TlsMode::None => None,
            TlsMode::StartTls | TlsMode::Tls => Some(parameters(&config.host, &config.authority)?),
        };
        let hello = match config.hello.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(ip)) => ClientId::Ipv4(ip),
            Ok(std::net::IpAddr::V6(ip)) => ClientId::Ipv6(ip),
            Err(_) => ClientId::Domain(config.hello),
        };
        Ok(Self {
            host: config.host,
            port: config.port,
            tls,
            mode: config.tls,
            login: config.login.map(|login| Credentials::new(login.user, login.password)),
            hello,
            connections: config.connections.clamp(1, CONNECTIONS_MAX),
            patience: config.patience,
            recipient: config.recipient,
        })
    }

    /// Who runs it.
    #[must_use]
    pub const fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Connections at once.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.connections
    }

    /// Connects, greets, protects the way and logs in.
    ///
    /// # Errors
    /// [`RelayFault`].
    pub async fn connect(&self) -> Result<Connection, RelayFault> {
        let ready = timeout(self.patience.connect, self.ready());
        let smtp = ready.await.map_err(|_| RelayFault::Slow)?.map_err(|error| fault(&error))?;
        Ok(Connection { smtp, patience: self.patience, n_mails: 0, is_usable: true })
    }

    async fn ready(&self) -> Result<AsyncSmtpConnection, SmtpError> {
        let wrapped = self.tls.clone().filter(|_| self.mode == TlsMode::Tls);
        let server = (self.host.as_str(), self.port);
        let mut smtp = AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, wrapped, None).await?;
        if let (TlsMode::StartTls, Some(tls)) = (self.mode, self.tls.clone()) {
            smtp.starttls(tls, &self.hello).await?;
        }
        if let Some(login) = &self.login {
            smtp.auth(&[Mechanism::Plain, Mechanism::Login], login).await?;
        }
        Ok(smtp)
    }
}

/// What a handshake must show.
fn parameters(host: &str, authority: &Authority) -> Result<TlsParameters, RelayError> {
    let pem = match authority {
        Authority::Public => return TlsParameters::new(host.to_owned()).map_err(|_| RelayError::Tls),
        Authority::Own(pem) => pem,
    };
    let text = String::from_utf8_lossy(pem);
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(RelayError::Authority("hold none in PEM: a block that begins with BEGIN CERTIFICATE"));
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(RelayError::Authority("stand beside a private key: give the certificates alone"));
    }
    let unreadable = |_| RelayError::Authority("cannot be read: is the file cut off?");
    let certificates = Certificate::from_pem(pem).map_err(unreadable)?;
    let builder = TlsParameters::builder(host.to_owned()).certificate_store(CertificateStore::None);
    builder.add_root_certificate(certificates).build().map_err(unreadable)
}

/// One open connection to the relay.
pub struct Connection {
    smtp: AsyncSmtpConnection,
    patience: Patience,
    n_mails: u32,
    is_usable: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({} mails)", self.n_mails)
    }
}

impl Connection {
    /// Whether another mail may go over it.
    #[must_use]
    pub const fn is_usable(&self) -> bool {
        self.is_usable && self.n_mails < MAILS_PER_CONNECTION_MAX
    }

    /// Hands over one mail: MAIL, RCPT, look, DATA. `look` is asked when the relay has taken the recipient and nothing of
    /// the mail has left.
    pub async fn hand_over(&mut self, mail: &Mail, look: impl FnOnce() -> Result<(), Refusal>) -> Handover {
        self.n_mails += 1;
        match self.try_hand_over(mail, look).await {
            Ok(handover) | Err(handover) => handover,
        }
    }

    async fn try_hand_over(
        &mut self,
        mail: &Mail,
        look: impl FnOnce() -> Result<(), Refusal>,
    ) -> Result<Handover, Handover> {
        self.command(MailFrom::new(Some(mail.from().clone()), Vec::new()), of_sender).await?;
        self.command(Rcpt::new(mail.to().clone(), Vec::new()), of_recipient).await?;
        if let Err(refusal) = look() {
            self.forget().await;
            return Ok(Handover::Stopped(refusal));
        }
        self.command(Data, of_text).await?;
        // From here on the text is on its way: silence no longer means that it was not taken.
        match timeout(self.patience.end, self.smtp.message(mail.bytes())).await {
            Ok(Ok(_)) => Ok(Handover::Taken),
            Ok(Err(error)) if error.status().is_some() => Err(self.refused(&error, of_text).await),
            Ok(Err(_)) | Err(_) => {
                self.is_usable = false;
                Ok(Handover::Unknown)
            }
        }
    }

    /// One command; anything but a yes ends the handover.
    async fn command(
        &mut self,
        command: impl fmt::Display,
        meaning: fn(&SmtpError) -> Handover,
    ) -> Result<(), Handover> {
        match timeout(self.patience.command, self.smtp.command(command)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.status().is_some() => Err(self.refused(&error, meaning).await),
            Ok(Err(_)) => Err(self.broken(RelayFault::Down)),
            Err(_) => Err(self.broken(RelayFault::Slow)),
        }
    }

    const fn broken(&mut self, fault: RelayFault) -> Handover {
        self.is_usable = false;
        Handover::Fault(fault)
    }

    /// What a no means at this stage; makes the connection ready for the next mail.
    async fn refused(&mut self, error: &SmtpError, meaning: fn(&SmtpError) -> Handover) -> Handover {
        if code(error) == 421 {
            // "Closing": about the connection, at any stage.
            return self.broken(RelayFault::Busy);
        }
        self.forget().await;
        meaning(error)
    }

    /// Takes back what was said of a mail, so that the next one may follow.
    async fn forget(&mut self) {
        let answer = timeout(self.patience.command, self.smtp.command(Rset)).await;
        self.is_usable &= matches!(answer, Ok(Ok(_)));
    }

    /// Says goodbye; the answer does not matter.
    pub async fn close(mut self) {
        if self.is_usable {
            let _ = timeout(self.patience.command, self.smtp.quit()).await;
        }
    }
}

fn code(error: &SmtpError) -> u16 {
    error.status().map_or(0, u16::from)
}

fn fault(error: &SmtpError) -> RelayFault {
    if error.is_transient() {
        RelayFault::Busy
    } else if error.is_timeout() {
        RelayFault::Slow
    } else if error.is_permanent() || error.is_tls() || error.is_client() || is_untrusted(error) {
        RelayFault::Refused
    } else {
        RelayFault::Down
    }
}

/// A handshake that failed for what was said in it, a certificate above all, comes as a broken connection: the relay is up,
/// but it is not the one that was meant.
fn is_untrusted(error: &SmtpError) -> bool {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let is_invalid = |cause: &std::io::Error| cause.kind() == std::io::ErrorKind::InvalidData;
    causes.any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(is_invalid))
}

/// Whatever MAIL is refused for is about us as sender, not about this message.
fn of_sender(error: &SmtpError) -> Handover {
    Handover::Fault(fault(error))
}

/// A 5xx to RCPT is the address's fault only when the relay says so: "relaying denied" (5.7.x, 530, 554) would otherwise
/// put a whole list of good addresses on the suppression list.
fn of_recipient(error: &SmtpError) -> Handover {
    if !error.is_permanent() {
        return Handover::Later;
    }
    let text = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let says = |class: &str| text.trim_start().starts_with(class);
    let is_address = match code(error) {
        550 | 551 | 553 | 556 => !says("5.7."),
        _ => says("5.1.") || says("5.2."),
    };
    if is_address { Handover::AddressRefused } else { Handover::Fault(RelayFault::Refused) }
}

fn of_text(error: &SmtpError) -> Handover {
    if error.is_permanent() { Handover::MessageRefused } else { Handover::Later }
}
