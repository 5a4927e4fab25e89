//! One mail, composed: subject, the offer, one line why, and the ways to ask, to turn it down and to leave.
//!
//! A [`Letter`] is what is said to one person; [`compose`] makes the bytes of it, in plain text and in HTML with the same
//! content and the same links. Every link but the offer's leads to our own pages, and opening one changes nothing. There
//! is no remote image, no tracking address and no pixel: whether a mail was opened is not our business.
//!
//! It does not decide what is said (the trace does), does not sign ([`crate::dkim`]) and does not send
//! ([`crate::egress`]). To add one more link: a field in `Links`, both templates, and the list in the tests.

mod address;
mod opened;
pub mod reminder;
#[cfg(test)]
pub(crate) mod tests;

pub use address::where_from;
pub use opened::OpenedMail;

use crate::dkim::{DkimError, Signer};
use crate::sender::Sender;
use askama::Template;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Body, MultiPart, SinglePart};
use lettre::{Address, Message};
use model::{At, MessageId};
use std::time::{Duration, SystemTime};

/// Longest subject, in characters: what a phone shows of it, twice.
pub const TITLE_CHARS_MAX: usize = 150;

/// Longest finished mail, in bytes. Ours have some 8,000.
pub const MAIL_BYTES_MAX: usize = 100_000;

/// A letter cannot become a mail. Never names a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The address cannot be written to.
    #[error("the address is not one that mail can be sent to")]
    Address,
    /// The subject is empty, too long or has a control character.
    #[error("the title of an offer must be 1 to {TITLE_CHARS_MAX} characters without line breaks")]
    Title,
    /// The offer's link leads neither to a web page nor to a path of ours.
    #[error("the link of an offer must begin with https://, http:// or /")]
    Link,
    /// The token is not one of ours.
    #[error("the token of a message has a character that cannot stand in a link")]
    Token,
    /// Larger than [`MAIL_BYTES_MAX`].
    #[error("a mail has at most {MAIL_BYTES_MAX} bytes")]
    TooLarge,
    /// The mail could not be put together.
    #[error("the mail could not be put together")]
    Format,
}

/// What is said to one person. `Debug` redacts.
pub struct Letter<'a> {
    /// The message.
    pub message: MessageId,
    /// When this try was made: the mail's date.
    pub at: At,
    /// To which address.
    pub to: &'a str,
    /// Where that address came from, in one or two sentences ([`where_from`]).
    pub address_from: &'a str,
    /// Subject and headline: the offer's title. Never an item or a fact: a subject shows on a locked screen.
    pub title: &'a str,
    /// What is offered.
    pub says: &'a str,
    /// Code to redeem.
    pub code: Option<&'a str>,
    /// Where the offer is: a web address, or a path of ours.
    pub link: &'a str,
    /// Why this person gets this, in one line.
    pub why: &'a str,
    /// Opens the pages of this message.
    pub token: &'a str,
}

impl std::fmt::Debug for Letter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Letter({})", self.message)
    }
}

/// The addresses that stand in a mail. All but `offer` are ours, and opening any of them changes nothing.
struct Links {
    offer: String,
    why: String,
    less: String,
    not_this: String,
    stop: String,
    address: String,
    unsubscribe: String,
    privacy: String,
}

impl Links {
    fn new(sender: &Sender, letter: &Letter<'_>) -> Result<Self, MailError> {
        let (base, page) = (sender.base.as_str(), message_page(sender, letter.token)?);
        Ok(Self {
            offer: offer_link(base, letter.link)?,
            less: format!("{page}#less"),
            not_this: format!("{page}#not-this"),
            stop: format!("{page}#stop"),
            address: format!("{page}/address"),
            unsubscribe: format!("{page}/unsubscribe"),
            privacy: format!("{base}/privacy"),
            why: page,
        })
    }
}

/// The page of a message.
fn message_page(sender: &Sender, token: &str) -> Result<String, MailError> {
    let url_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~');
    if token.is_empty() || !token.chars().all(url_safe) {
        return Err(MailError::Token);
    }
    Ok(format!("{}/m/{token}", sender.base.as_str()))
}

fn offer_link(base: &str, link: &str) -> Result<String, MailError> {
    if link.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"')) {
        return Err(MailError::Link);
    }
    if link.starts_with("https://") || link.starts_with("http://") {
        return Ok(link.to_owned());
    }
    let own = link.starts_with('/') && !link.starts_with("//");
    own.then(|| format!("{base}{link}")).ok_or(MailError::Link)
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct TextPart<'a> {
    letter: &'a Letter<'a>,
    sender: &'a Sender,
    links: &'a Links,
}

#[derive(Template)]
#[template(path = "mail.html")]
struct HtmlPart<'a> {
    letter: &'a Letter<'a>,
    sender: &'a Sender,
    links: &'a Links,
}

/// A mail, composed. `Debug` redacts.
pub struct Mail {
    from: Address,
    to: Address,
    bytes: Vec<u8>,
}

impl Mail {
    /// Envelope sender.
    #[must_use]
    pub const fn from(&self) -> &Address {
        &self.from
    }

    /// Envelope recipient.
    #[must_use]
    pub const fn to(&self) -> &Address {
        &self.to
    }

    /// Headers and body, CRLF everywhere, ASCII only.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same mail with its signatures in front.
    ///
    /// # Errors
    /// [`DkimError`].
    pub fn signed(self, signer: &Signer, at: At) -> Result<Self, DkimError> {
        let bytes = signer.sign(&self.bytes, at)?;
        Ok(Self { bytes, ..self })
    }
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail({} bytes)", self.bytes.len())
    }
}

/// Makes the bytes of one mail. Same letter, same bytes.
///
/// # Errors
/// [`MailError`].
pub fn compose(sender: &Sender, letter: &Letter<'_>) -> Result<Mail, MailError> {
    let links = Links::new(sender, letter)?;
    let text = TextPart { letter, sender, links: &links }.render().map_err(|_| MailError::Format)?;
    let html = HtmlPart { letter, sender, links: &links }.render().map_err(|_| MailError::Format)?;
    let envelope = Envelope { message: letter.message, at: letter.at, to: letter.to, title: letter.title };
    assemble(sender, &envelope, Some(&links.unsubscribe), text, html)
}

/// What every mail has, whatever it says.
struct Envelope<'a> {
    message: MessageId,
    at: At,
    to: &'a str,
    title: &'a str,
}

/// Puts a mail together; one that sells something has a way to unsubscribe in its head.
fn assemble(
    sender: &Sender,
    envelope: &Envelope<'_>,
    unsubscribe: Option<&str>,
    text: String,
    html: String,
) -> Result<Mail, MailError> {
    let Envelope { message, at, to, title } = *envelope;
    let address: Address = to.parse().map_err(|_| MailError::Address)?;
    if !to.is_ascii() {
        // A local part beyond ASCII needs SMTPUTF8 on every hop; saying no here is better than losing it there.
        return Err(MailError::Address);
    }
    let to = address;
    let n_chars = title.chars().count();
    if title.trim().is_empty() || n_chars > TITLE_CHARS_MAX || title.chars().any(char::is_control) {
        return Err(MailError::Title);
    }
    let mut builder = Message::builder()
        .message_id(Some(format!("<{message}@{}>", sender.domain())))
        .date(instant(at))
        .from(sender.from.clone())
        .to(to.clone().into())
        .subject(title);
    if let Some(unsubscribe) = unsubscribe {
        builder = builder
            .raw_header(header("List-Unsubscribe", format!("<{unsubscribe}>")))
            .raw_header(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    if let Some(reply_to) = &sender.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    // The boundary is the message's own id: no chance is drawn here, and no text of ours contains it.
    let parts = MultiPart::alternative().boundary(format!("part_{message}"));
    let parts = parts.singlepart(part(ContentType::TEXT_PLAIN, text)?).singlepart(part(ContentType::TEXT_HTML, html)?);
    let bytes = builder.multipart(parts).map_err(|_| MailError::Format)?.formatted();
    if bytes.len() > MAIL_BYTES_MAX {
        return Err(MailError::TooLarge);
    }
    Ok(Mail { from: sender.from.email.clone(), to, bytes })
}

/// Quoted-printable always: ASCII on the wire whatever the relay can do, and lines that no relay folds again.
fn part(kind: ContentType, text: String) -> Result<SinglePart, MailError> {
    let body =
        Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable).map_err(|_| MailError::Format)?;
    Ok(SinglePart::builder().header(kind).body(body))
}

fn header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

fn instant(at: At) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.ms()).unwrap_or(0))
}
