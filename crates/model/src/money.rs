//! Money as whole micros of a currency, parsed from text, never through a float.

use std::fmt;

/// An ISO 4217 code, three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Pound sterling.
    pub const GBP: Self = Self(*b"GBP");
    /// Euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Reads three capital letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code: [u8; 3] = text.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Self(code))
    }

    /// The three letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount: millionths of the currency's unit. ±9.2 × 10¹² units fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money {
    /// Millionths of a unit.
    pub micros: i64,
    /// Of which currency.
    pub currency: Currency,
}

impl Money {
    /// Micros in one unit.
    pub const UNIT: i64 = 1_000_000;

    /// Reads "-53594.36", "2.1", "0.001": at most six decimals, no exponent, no thousands mark.
    #[must_use]
    pub fn parse(text: &str, currency: Currency) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || part.len() > 6 || !all_digits(whole) || !all_digits(part) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let part: i64 = format!("{part:0<6}").parse().ok()?;
        let micros = whole.checked_mul(Self::UNIT)?.checked_add(part)?;
        Some(Self { micros: if negative { -micros } else { micros }, currency })
    }

    /// `n` times as much; `None` on overflow.
    #[must_use]
    pub fn times(self, n: i64) -> Option<Self> {
        Some(Self { micros: self.micros.checked_mul(n)?, ..self })
    }
}

impl fmt::Display for Money {
    /// "19756254.468 GBP": as many decimals as it takes, at least two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.micros < 0 { "-" } else { "" };
        let micros = self.micros.unsigned_abs();
        let (whole, part) = (micros / 1_000_000, micros % 1_000_000);
        let part = format!("{part:06}");
        let part = part.trim_end_matches('0');
        write!(f, "{sign}{whole}.{part:0<2} {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_with_three_decimals_are_exact() {
        let money = Money::parse("0.001", Currency::GBP).unwrap();
        assert_eq!(money.micros, 1_000);
        assert_eq!(Money::parse("19756254.468", Currency::GBP).unwrap().to_string(), "19756254.468 GBP");
        assert_eq!(Money::parse("-53594.36", Currency::GBP).unwrap().to_string(), "-53594.36 GBP");
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", "-", ".5", "1e5", "1,000", "0.0000001", "9999999999999999", "£2", "NaN"] {
            assert_eq!(Money::parse(text, Currency::GBP), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parse_reads_back_what_display_shows(micros in -9_000_000_000_000_000_000i64..9_000_000_000_000_000_000) {
            let money = Money { micros, currency: Currency::EUR };
            let shown = money.to_string();
            prop_assert_eq!(Money::parse(shown.trim_end_matches(" EUR"), Currency::EUR), Some(money));
        }
    }
}
