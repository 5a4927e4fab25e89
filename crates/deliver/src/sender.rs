//! Who writes: the company as it stands in every mail, and the address under which its pages are reached.
//!
//! Made once at start and checked there, so that a mail can only fail for reasons of its own. It does not know any
//! person, and it does not look up whether the address exists.

use lettre::message::Mailbox;
use promise::Promise;
use std::sync::Arc;

/// Longest base address, in bytes.
const BASE_BYTES_MAX: usize = 200;

/// Something about the sender cannot stand in a mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// The base address of the links is not usable.
    #[error("base_url must be https://host (http:// only on this machine), without path, query or spaces")]
    BaseUrl,
    /// The sender's address cannot be read.
    #[error("the mail sender must be one plain e-mail address such as shop@example.com")]
    From,
    /// A control character in a text of the promise that stands in every mail.
    #[error("{0} in the promise file has a line break or another control character; it stands in every mail")]
    Control(&'static str),
}

/// Scheme and host under which our pages are reached (`https://shop.example`): every link of a mail but the offer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Arc<str>);

impl BaseUrl {
    /// Reads `https://host[:port]`; `http://` only for this machine, because a one-click address must be https (RFC 8058).
    ///
    /// # Errors
    /// [`SenderError::BaseUrl`].
    pub fn parse(text: &str) -> Result<Self, SenderError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let (secure, authority) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(SenderError::BaseUrl),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
        let fits = !authority.is_empty() && text.len() <= BASE_BYTES_MAX && authority.chars().all(plain);
        (fits && (secure || is_loopback(host_of(authority)))).then(|| Self(text.into())).ok_or(SenderError::BaseUrl)
    }

    /// As written, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        host_of(self.0.split_once("://").map_or(&self.0, |(_, rest)| rest))
    }
}

fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

/// Whether a host name means this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The company as it stands in every mail.
#[derive(Debug, Clone)]
pub struct Sender {
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) company: String,
    pub(crate) postal: String,
    pub(crate) language: String,
    pub(crate) base: BaseUrl,
}

impl Sender {
    /// The company of this promise, writing from one address; replies go to the promise's contact when that is an address.
    ///
    /// # Errors
    /// [`SenderError`].
    pub fn new(promise: &Promise, from: &str, base: BaseUrl) -> Result<Self, SenderError> {
        for (what, text) in [("company", &promise.company), ("address", &promise.address)] {
            if text.chars().any(char::is_control) {
                return Err(SenderError::Control(what));
            }
        }
        let name = Some(promise.company.clone());
        let address: lettre::Address = from.parse().map_err(|_| SenderError::From)?;
        let reply_to = promise.contact.parse().ok().filter(|contact| *contact != address);
        Ok(Self {
            from: Mailbox::new(name, address),
            reply_to: reply_to.map(|contact| Mailbox::new(None, contact)),
            company: promise.company.clone(),
            postal: promise.address.clone(),
            language: promise.languages.first().cloned().unwrap_or_else(|| "en".to_owned()),
            base,
        })
    }

    /// The domain that signs and that replies and reports come back to.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.from.email.domain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promise() -> Promise {
        promise::parse("shop.toml", promise::fixture::SHOP).unwrap()
    }

    #[test]
    fn the_sender_is_the_company_of_the_promise() {
        let base = BaseUrl::parse("https://corner.example").unwrap();
        let sender = Sender::new(&promise(), "hello@corner.example", base.clone()).unwrap();
        assert_eq!(sender.from.to_string(), "Corner Gifts Ltd <hello@corner.example>");
        assert_eq!(sender.reply_to.unwrap().to_string(), "privacy@corner.example");
        for from in ["", "Corner <hello@corner.example>", "hello@corner.example\r\nBcc: all@example.com", "hello"] {
            assert_eq!(Sender::new(&promise(), from, base.clone()).unwrap_err(), SenderError::From, "{from:?}");
        }
    }

    #[test]
    fn a_company_name_cannot_add_a_header() {
        for control in ["\r\n", "\n", "\r", "\0", "\u{85}"] {
            let mut promise = promise();
            promise.company = format!("Shop{control}Bcc: all@example.com");
            let base = BaseUrl::parse("https://corner.example").unwrap();
            let error = Sender::new(&promise, "hello@corner.example", base).unwrap_err();
            assert_eq!(error, SenderError::Control("company"));
        }
    }

    #[test]
    fn a_base_address_is_https_or_this_machine() {
        for (text, host) in [
            ("https://shop.example", "shop.example"),
            ("https://shop.example:8443/", "shop.example"),
            ("http://localhost:4000", "localhost"),
            ("http://127.0.0.1:4000", "127.0.0.1"),
            ("http://[::1]:4000", "::1"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().host(), host);
        }
        for text in [
            "",
            "shop.example",
            "http://shop.example",
            "https://",
            "https://shop.example/mail",
            "https://shop.example\r\nBcc: x",
            "https://shop.example\"><script>",
            "https://user@shop.example",
            "javascript:alert(1)",
        ] {
            assert_eq!(BaseUrl::parse(text), Err(SenderError::BaseUrl), "{text}");
        }
    }
}
