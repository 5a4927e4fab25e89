//! What a history does not tell and a demonstration needs: answers about offers and addresses, decided by a keyed hash of
//! the customer id, so that anybody with the mapping file can work them out again. Everything made here is marked so.

use super::mapping::{ConsentRule, MadeUp};
use aws_lc_rs::hmac;
use model::Day;

/// What somebody is said to have answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, at the first order.
    Yes,
    /// No, at the first order.
    No,
    /// Yes at the first order, and no on this later day.
    YesThenNo,
    /// Nobody asked.
    NeverAsked,
}

/// The keyed hash of one customer: HMAC-SHA-256 of the customer id under the mapping's key. Two big-endian numbers: the
/// first eight bytes decide the answer (modulo 100), the next eight the day of a later no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    answer: u64,
    day: u64,
}

impl Lot {
    /// Draws the lot of a customer.
    #[must_use]
    pub fn of(made_up: &MadeUp, customer: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, made_up.key.as_bytes());
        let tag = hmac::sign(&key, customer.as_bytes());
        let number = |from: usize| {
            let bytes = tag.as_ref().iter().skip(from).take(8);
            bytes.fold(0u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        Self { answer: number(0), day: number(8) }
    }

    /// What the customer is said to have answered.
    #[must_use]
    pub fn answer(self, rule: &ConsentRule) -> Answer {
        let lot = self.answer % 100;
        let yes = u64::from(rule.yes);
        let no = yes + u64::from(rule.no);
        let later = no + u64::from(rule.yes_then_no);
        match lot {
            lot if lot < yes => Answer::Yes,
            lot if lot < no => Answer::No,
            lot if lot < later => Answer::YesThenNo,
            _ => Answer::NeverAsked,
        }
    }

    /// The day of a later no: after the first order, at the latest on the last day of the history. On that last day when
    /// there is none between.
    #[must_use]
    pub fn later_day(self, first_order: Day, history_ends: Day) -> Day {
        let days = u64::try_from(history_ends.since(first_order)).unwrap_or(0);
        let step = if days == 0 { 0 } else { 1 + self.day % days };
        first_order.plus(i32::try_from(step).unwrap_or(0))
    }
}

/// The made-up address of a customer.
#[must_use]
pub fn email(pattern: &str, customer: &str) -> String {
    let local: String = customer.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    pattern.replace("{customer}", &local.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PurposeName;

    fn made_up() -> (MadeUp, ConsentRule) {
        let rule = ConsentRule {
            purpose: PurposeName::parse("offers").unwrap(),
            words: "Yes".into(),
            language: "en".into(),
            yes: 60,
            no: 15,
            yes_then_no: 10,
        };
        (MadeUp { says: String::new(), key: "a key of 16 bytes".into(), email: None, consents: Vec::new() }, rule)
    }

    #[test]
    fn shares_come_out_as_written_and_every_run_alike() {
        let (made_up, rule) = made_up();
        let mut counts = [0u32; 4];
        for customer in 12_346..18_288 {
            let answer = Lot::of(&made_up, &customer.to_string()).answer(&rule);
            let which = match answer {
                Answer::Yes => 0,
                Answer::No => 1,
                Answer::YesThenNo => 2,
                Answer::NeverAsked => 3,
            };
            counts[which] += 1;
        }
        for (count, share) in counts.into_iter().zip([60, 15, 10, 15]) {
            let per_hundred = f64::from(count) * 100.0 / 5_942.0;
            assert!((per_hundred - f64::from(share)).abs() < 2.0, "{per_hundred} instead of {share}");
        }
        assert_eq!(Lot::of(&made_up, "13085"), Lot::of(&made_up, "13085"));
        assert_ne!(Lot::of(&made_up, "13085"), Lot::of(&made_up, "13086"));
    }

    #[test]
    fn a_later_no_lies_after_the_first_order_and_inside_the_history() {
        let (made_up, _) = made_up();
        let (first, ends) = (Day::parse("2010-03-01").unwrap(), Day::parse("2011-12-09").unwrap());
        for customer in 0..500 {
            let day = Lot::of(&made_up, &customer.to_string()).later_day(first, ends);
            assert!(day > first && day <= ends);
        }
        assert_eq!(Lot::of(&made_up, "1").later_day(ends, ends), ends);
    }

    #[test]
    fn an_address_holds_the_customer_and_nothing_that_breaks_it() {
        assert_eq!(email("customer-{customer}@shop.example", "13085"), "customer-13085@shop.example");
        assert_eq!(email("c-{customer}@x.example", "A b@c\n"), "c-abc@x.example");
    }
}
