//! A small mail server on the loopback that keeps what it is sent in memory: the demo's inbox, and the other side in tests.
//!
//! Speaks EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP and QUIT, takes the dots off, and knows nothing of what a mail means. It
//! delivers to nobody, writes nothing to disk and binds no socket: the listener is passed in. `serve` never starts it.
//!
//! For tests a [`Manner`] per [`Stage`] makes it refuse, hang or hang up; that is also where a test acts *between* two steps
//! of a delivery.

#[cfg(test)]
mod tests;

use model::{At, Clock};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Mails kept; the oldest goes first.
pub const MAILS_MAX: usize = 2_000;
/// Bytes kept over all mails; the oldest goes first.
pub const KEPT_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Longest mail taken, in bytes.
pub const MAIL_BYTES_MAX: usize = 1_024 * 1_024;
/// Connections served at once; more wait.
pub const CONNECTIONS_MAX: usize = 16;
/// Recipients of one mail.
pub const RECIPIENTS_MAX: usize = 10;
/// Longest command line, in bytes.
const LINE_BYTES_MAX: u64 = 2_048;

/// Where in a delivery the other side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Connected; nothing said yet.
    Greeting,
    /// EHLO or HELO.
    Hello,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before the text.
    Data,
    /// The text has come, dot included.
    End,
}

/// How the sink behaves at one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As a mail server does.
    Take,
    /// Answers this instead ("550 5.1.1 unknown").
    Answer(&'static str),
    /// Says nothing more.
    Hang,
    /// Hangs up.
    Drop,
}

/// Decides how the sink behaves; sees the stage and what was sent with it.
pub type Behaviour = dyn Fn(Stage, &str) -> Manner + Send + Sync;

/// One mail as it came. `Debug` redacts.
pub struct ReceivedMail {
    /// Counts from 1.
    pub number: u64,
    /// When its end came.
    pub at: At,
    /// Envelope sender, as given.
    pub from: String,
    /// Envelope recipients, as given.
    pub to: Vec<String>,
    /// The text, dots taken off, CRLF as it came.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for ReceivedMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReceivedMail({}, {} bytes)", self.number, self.bytes.len())
    }
}

#[derive(Default)]
struct Kept {
    mails: VecDeque<Arc<ReceivedMail>>,
    bytes: usize,
    n_received: u64,
}

/// What the sink was sent, in memory.
pub struct Inbox {
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
    behaviour: Box<Behaviour>,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbox({} mails)", self.n_received())
    }
}

impl Inbox {
    /// An empty one that takes everything.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::behaving(clock, |_, _| Manner::Take)
    }

    /// An empty one that behaves as told.
    #[must_use]
    pub fn behaving(clock: Arc<dyn Clock>, behaviour: impl Fn(Stage, &str) -> Manner + Send + Sync + 'static) -> Self {
        Self { clock, kept: Mutex::default(), behaviour: Box::new(behaviour) }
    }

    /// The mails kept, newest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Arc<ReceivedMail>> {
        self.kept().mails.iter().rev().cloned().collect()
    }

    /// One mail by its number, while it is kept.
    #[must_use]
    pub fn mail(&self, number: u64) -> Option<Arc<ReceivedMail>> {
        self.kept().mails.iter().find(|mail| mail.number == number).cloned()
    }

    /// Mails received since the start, kept or not.
    #[must_use]
    pub fn n_received(&self) -> u64 {
        self.kept().n_received
    }

    fn keep(&self, from: String, to: Vec<String>, bytes: Vec<u8>) {
        let at = self.clock.now();
        let mut kept = self.kept();
        kept.n_received += 1;
        kept.bytes += bytes.len();
        let mail = ReceivedMail { number: kept.n_received, at, from, to, bytes };
        kept.mails.push_back(Arc::new(mail));
        while kept.mails.len() > MAILS_MAX || kept.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = kept.mails.pop_front() else { break };
            kept.bytes -= oldest.bytes.len();
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes mails until it is dropped. Connections end with it.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, inbox: Arc<Inbox>) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let inbox = inbox.clone();
                // How a connection ends is the other side's affair.
                connections.spawn(async move { Conversation::new(stream, inbox).run().await.ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What has been said so far about one mail.
#[derive(Default)]
struct Envelope {
    from: Option<String>,
    to: Vec<String>,
}

struct Conversation {
    stream: BufReader<TcpStream>,
    inbox: Arc<Inbox>,
    envelope: Envelope,
}

impl Conversation {
    fn new(stream: TcpStream, inbox: Arc<Inbox>) -> Self {
        Self { stream: BufReader::new(stream), inbox, envelope: Envelope::default() }
    }

    async fn run(&mut self) -> io::Result<()> {
        self.answer(Stage::Greeting, "", "220 sink ready").await?;
        loop {
            let mut line = Vec::new();
            if (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            if !line.ends_with(b"\n") {
                self.say("500 5.5.2 line too long").await?;
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => self.answer(Stage::Hello, rest, "250-sink\r\n250-8BITMIME\r\n250 SIZE 1048576").await?,
                "HELO" => self.answer(Stage::Hello, rest, "250 sink").await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.envelope = Envelope::default();
                    self.say("250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.say("250 2.0.0 fine").await?,
                "QUIT" => {
                    self.say("221 2.0.0 bye").await?;
                    return Ok(());
                }
                _ => self.say("502 5.5.1 not known here").await?,
            }
        }
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        let Some(from) = path(rest, "FROM:") else { return self.say("501 5.5.4 MAIL FROM:<address>").await };
        if self.behave(Stage::Mail, &from, "250 2.1.0 sender taken").await? {
            self.envelope = Envelope { from: Some(from), to: Vec::new() };
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        let Some(to) = path(rest, "TO:") else { return self.say("501 5.5.4 RCPT TO:<address>").await };
        if self.envelope.from.is_none() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        if self.envelope.to.len() >= RECIPIENTS_MAX {
            return self.say("452 4.5.3 too many recipients").await;
        }
        if self.behave(Stage::Rcpt, &to, "250 2.1.5 recipient taken").await? {
            self.envelope.to.push(to);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.envelope.to.is_empty() {
            return self.say("503 5.5.1 RCPT first").await;
        }
        if !self.behave(Stage::Data, "", "354 end with a dot").await? {
            return Ok(());
        }
        let text = self.text().await?;
        let Envelope { from, to } = std::mem::take(&mut self.envelope);
        match text {
            None => self.say("552 5.3.4 mail too large").await,
            Some(bytes) => match (self.inbox.behaviour)(Stage::End, "") {
                Manner::Take => {
                    self.inbox.keep(from.unwrap_or_default(), to, bytes);
                    self.say("250 2.0.0 kept").await
                }
                other => self.misbehave(other).await,
            },
        }
    }

    /// The text up to the dot, dots taken off; `None` when it was too large. Ends only at CRLF dot CRLF.
    async fn text(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        let mut is_too_large = false;
        let mut at_line_start = true;
        loop {
            let mut line = Vec::new();
            if (&mut self.stream).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if at_line_start && line == b".\r\n" {
                return Ok((!is_too_large).then_some(text));
            }
            let line_ends = line.ends_with(b"\r\n");
            let unstuffed = if at_line_start { line.strip_prefix(b".").unwrap_or(&line) } else { &line };
            is_too_large |= text.len() + unstuffed.len() > MAIL_BYTES_MAX;
            if !is_too_large {
                text.extend_from_slice(unstuffed);
            }
            at_line_start = line_ends;
        }
    }

    async fn answer(&mut self, stage: Stage, given: &str, good: &str) -> io::Result<()> {
        self.behave(stage, given, good).await.map(|_| ())
    }

    /// Answers as it behaves at this stage; whether it took what was given.
    async fn behave(&mut self, stage: Stage, given: &str, good: &str) -> io::Result<bool> {
        match (self.inbox.behaviour)(stage, given) {
            Manner::Take => self.say(good).await.map(|()| true),
            other => self.misbehave(other).await.map(|()| false),
        }
    }

    async fn misbehave(&mut self, manner: Manner) -> io::Result<()> {
        match manner {
            Manner::Take => Ok(()),
            Manner::Answer(text) => self.say(text).await,
            Manner::Hang => std::future::pending().await,
            Manner::Drop => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(format!("{text}\r\n").as_bytes()).await
    }
}

/// The address in `FROM:<address> …`.
fn path(rest: &str, key: &str) -> Option<String> {
    let (found, rest) = rest.split_at_checked(key.len())?;
    let (path, _) = rest.trim_start().strip_prefix('<')?.split_once('>')?;
    found.eq_ignore_ascii_case(key).then(|| path.to_owned())
}
