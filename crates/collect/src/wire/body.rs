//! From the bytes of a request to JSON text: gzip by its first bytes whatever the headers say, a cap on both sizes, UTF-8.

use super::error::WireError;
use std::borrow::Cow;
use std::io::Read;

/// Largest request body, packed and unpacked, in bytes.
pub const BODY_BYTES_MAX: usize = 500 * 1024;
const BODY_TOO_LARGE: WireError = WireError::TooLarge { what: "the body", limit: "500 KB" };

/// The JSON text of a body.
///
/// # Errors
/// [`WireError::TooLarge`] before or after unpacking, [`WireError::Malformed`] when it is no text.
pub fn json_text(body: &[u8]) -> Result<Cow<'_, str>, WireError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(BODY_TOO_LARGE);
    }
    let text = if body.starts_with(&[0x1f, 0x8b]) { Cow::Owned(gunzip(body)?) } else { Cow::Borrowed(body) };
    let not_utf8 = WireError::Malformed("the body is not UTF-8 text");
    let text = match text {
        Cow::Borrowed(bytes) => Cow::Borrowed(std::str::from_utf8(bytes).map_err(|_| not_utf8)?),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).map_err(|_| not_utf8)?),
    };
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(Cow::Owned(rest.to_owned())),
        None => Ok(text),
    }
}

fn gunzip(body: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    let limit = BODY_BYTES_MAX as u64 + 1;
    flate2::read::MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|_| WireError::Malformed("the body begins like gzip, but does not unpack"))?;
    if out.len() > BODY_BYTES_MAX { Err(BODY_TOO_LARGE) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_sizes_have_a_cap() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < BODY_BYTES_MAX);
        assert_eq!(json_text(&bomb), Err(BODY_TOO_LARGE));
        assert_eq!(json_text(&vec![b' '; BODY_BYTES_MAX + 1]), Err(BODY_TOO_LARGE));
        assert_eq!(json_text(&gzip(&vec![b' '; BODY_BYTES_MAX])).unwrap().len(), BODY_BYTES_MAX);
    }

    #[test]
    fn what_is_no_text_is_malformed() {
        assert!(matches!(json_text(&[0x1f, 0x8b, 8, 0, 1]), Err(WireError::Malformed(_))));
        assert!(matches!(json_text(&gzip(b"{}")[..15]), Err(WireError::Malformed(_))));
        assert!(matches!(json_text(b"\xff\xfe{"), Err(WireError::Malformed(_))));
        assert_eq!(json_text("\u{feff}{}".as_bytes()).unwrap(), "{}");
    }
}
