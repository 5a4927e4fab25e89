//! The write key of a request, in the four ways that released clients send it, in this order: Basic user name, Bearer with
//! the key in the body, the body alone, the query. It asks the vault and nobody else.

use super::error::WireError;
use base64::Engine;
use http::{HeaderMap, header};

/// Longest write key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// The key that came along, unchecked.
///
/// # Errors
/// [`WireError::NoKey`].
pub fn write_key(headers: &HeaderMap, in_body: Option<String>, query: Option<&str>) -> Result<String, WireError> {
    basic(headers)
        .or(in_body)
        .or_else(|| query.and_then(in_query))
        .filter(|key| !key.is_empty() && key.len() <= KEY_BYTES_MAX)
        .ok_or(WireError::NoKey)
}

/// `Authorization: Basic base64(key:)`; a missing colon is accepted.
fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let key = text.split(':').next().unwrap_or_default();
    (!key.is_empty()).then(|| key.to_owned())
}

fn in_query(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| pair.strip_prefix("writeKey=")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(authorization: &str, body: Option<&str>, query: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        write_key(&headers, body.map(str::to_owned), query).ok()
    }

    #[test]
    fn a_key_comes_in_four_ways() {
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        for (authorization, body, query, expected) in [
            (format!("Basic {}", encoded("fl_pub_1:")), None, None, Some("fl_pub_1")),
            (format!("basic {}", encoded("fl_pub_1")), Some("other"), None, Some("fl_pub_1")),
            ("Bearer token".to_owned(), Some("fl_pub_2"), None, Some("fl_pub_2")),
            (String::new(), Some("fl_pub_3"), None, Some("fl_pub_3")),
            (String::new(), None, Some("a=b&writeKey=fl_pub_4"), Some("fl_pub_4")),
            (format!("Basic {}", encoded(":")), Some("fl_pub_5"), None, Some("fl_pub_5")),
            ("Basic %%%".to_owned(), None, None, None),
            (String::new(), None, None, None),
            (String::new(), Some(""), None, None),
        ] {
            assert_eq!(found(&authorization, body, query).as_deref(), expected, "{authorization}");
        }
        assert_eq!(found("", Some(&"x".repeat(KEY_BYTES_MAX + 1)), None), None);
    }
}
