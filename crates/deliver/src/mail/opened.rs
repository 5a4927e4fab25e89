//! A mail of ours, opened again: what the demo's inbox page and the tests show of it.
//!
//! Reads exactly the form that [`super::compose`] writes (one multipart/alternative, quoted-printable). It is not a
//! general reader of mail, and nothing that decides anything may rest on it.

/// What a person would see of one mail. `Debug` redacts.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedMail {
    /// Headers in order, unfolded, encoded words decoded.
    pub headers: Vec<(String, String)>,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl std::fmt::Debug for OpenedMail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenedMail({} headers)", self.headers.len())
    }
}

impl OpenedMail {
    /// Opens the bytes of a mail; `None` when it is not one of ours.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let message = std::str::from_utf8(bytes).ok()?;
        let (head, body) = message.split_once("\r\n\r\n")?;
        let headers: Vec<_> = headers(head);
        let kind = find(&headers, "Content-Type")?;
        let boundary = kind.split_once("boundary=\"")?.1.split_once('"')?.0;
        let delimiter = format!("--{boundary}");
        let mut parts = body.split(delimiter.as_str()).skip(1).filter_map(|part| part.split_once("\r\n\r\n"));
        let (_, text) = parts.next()?;
        let (_, html) = parts.next()?;
        Some(Self { text: quoted_printable(text), html: quoted_printable(html), headers })
    }

    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn headers(head: &str) -> Vec<(String, String)> {
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    unfolded
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), encoded_words(value.trim())))
        .collect()
}

/// `=?utf-8?b?…?=` as lettre writes it; the space between two encoded words is not part of the text.
fn encoded_words(value: &str) -> String {
    use base64::Engine;
    let mut out = String::new();
    let mut after_encoded = None;
    for word in value.split(' ') {
        let decoded = word
            .strip_prefix("=?utf-8?b?")
            .and_then(|rest| rest.strip_suffix("?="))
            .and_then(|rest| base64::engine::general_purpose::STANDARD.decode(rest).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let is_encoded = decoded.is_some();
        if after_encoded.is_some_and(|after| !(after && is_encoded)) {
            out.push(' ');
        }
        out.push_str(decoded.as_deref().unwrap_or(word));
        after_encoded = Some(is_encoded);
    }
    out
}

fn quoted_printable(body: &str) -> String {
    let body = body.strip_suffix("\r\n").unwrap_or(body).replace("=\r\n", "").replace("\r\n", "\n");
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (first, hex(0), hex(1)) {
            (b'=', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
