//! The one deterministic form that is hashed: lines of `key<TAB>value`, values escaped, lists in their declared order.
//!
//! A reviewer can read it; two files that promise the same give the same bytes.

use aws_lc_rs::digest::{SHA256, digest};

/// A canonical text in the making.
#[derive(Debug)]
pub(crate) struct Canonical(String);

impl Canonical {
    /// Begins with what it is and the version of this form.
    pub(crate) fn new(title: &str) -> Self {
        Self(format!("fineline {title} 1\n"))
    }

    /// Adds one line.
    pub(crate) fn line(&mut self, key: &str, value: impl AsRef<str>) -> &mut Self {
        self.0.extend([key, "\t"]);
        for c in value.as_ref().chars() {
            match c {
                '\n' => self.0.push_str("\\n"),
                '\t' => self.0.push_str("\\t"),
                '\r' => self.0.push_str("\\r"),
                '\\' => self.0.push_str("\\\\"),
                c => self.0.push(c),
            }
        }
        self.0.push('\n');
        self
    }

    /// Adds one line per value, and one that says how many.
    pub(crate) fn lines<T: AsRef<str>>(&mut self, key: &str, values: impl IntoIterator<Item = T>) -> &mut Self {
        let mut n_values = 0usize;
        for value in values {
            self.line(key, value);
            n_values += 1;
        }
        self.line(&format!("n_{key}"), n_values.to_string())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    for (target, source) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *target = *source;
    }
    out
}
