//! Turns a [`Trace`] into the sentences that a person reads: title, text, and the reason.
//!
//! The only place that fills templates. It looks at nothing but the trace: a slot `{name}` is a fact that was read, or a
//! slot value that stands in the trace. A slot that neither knows means that the sentence cannot be made, never a sentence
//! with a hole. It does not escape: pages and mails do that with their own template engine.

use crate::record::Trace;
use model::{At, Currency, Day, Money, Value};

/// Longest finished sentence, in bytes; a longer one cannot be made.
pub const SENTENCE_BYTES_MAX: usize = 4_000;

impl Trace {
    /// The headline; `None` when a slot of it is not in the trace.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let [title, _, _] = &self.texts;
        self.fill(title)
    }

    /// The text of the offer; `None` when a slot of it is not in the trace.
    #[must_use]
    pub fn says(&self) -> Option<String> {
        let [_, says, _] = &self.texts;
        self.fill(says)
    }

    /// The one line that says why this person got it; `None` when a slot of it is not in the trace.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        let [_, _, why] = &self.texts;
        self.fill(why)
    }

    fn fill(&self, template: &str) -> Option<String> {
        let mut out = String::with_capacity(template.len() + 64);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            out.push_str(before);
            out.push_str(&self.slot(name.trim())?);
            rest = after;
        }
        out.push_str(rest);
        (out.len() <= SENTENCE_BYTES_MAX).then_some(out)
    }

    fn slot(&self, name: &str) -> Option<String> {
        match self.facts.iter().find(|read| read.fact.name.as_str() == name) {
            Some(read) => in_words(&read.fact.value),
            None => self.slots.get(name).cloned(),
        }
    }
}

/// A value as it stands in a sentence: "1,204", "£12.50", "yes", "23 November 2026"; `None` for what has no words.
#[must_use]
pub fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => {
            let sign = if *number < 0 { "-" } else { "" };
            Some(format!("{sign}{}", thousands(&number.unsigned_abs().to_string())))
        }
        Value::Money(money) => Some(money_in_words(*money)),
        Value::Flag(flag) => Some(if *flag { "yes" } else { "no" }.to_owned()),
        Value::Instant(at) => Some(instant_in_words(*at)),
        Value::Date(day) => Some(day_in_words(*day)),
        Value::Ranking(_) => None,
    }
}

/// An amount with its sign, at least two decimals and never rounded: "£1,204.50", "CHF 3.00".
#[must_use]
pub fn money_in_words(money: Money) -> String {
    let sign = if money.micros < 0 { "-" } else { "" };
    let micros = money.micros.unsigned_abs();
    let part = format!("{:06}", micros % 1_000_000);
    let part = part.trim_end_matches('0');
    let whole = thousands(&(micros / 1_000_000).to_string());
    let mark = match money.currency {
        Currency::GBP => "£",
        Currency::EUR => "€",
        other => return format!("{sign}{other} {whole}.{part:0<2}"),
    };
    format!("{sign}{mark}{whole}.{part:0<2}")
}

/// A day as people write it: "23 November 2026".
#[must_use]
pub fn day_in_words(day: Day) -> String {
    day.date().strftime("%-d %B %Y").to_string()
}

fn instant_in_words(at: At) -> String {
    at.timestamp().strftime("%-d %B %Y, %H:%M:%S UTC").to_string()
}

fn thousands(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{FactRead, ItemBasis};
    use model::{Awareness, Class, Context, Fact, FactName, Provenance, TraitName};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn read(name: &str, value: Value) -> FactRead {
        FactRead {
            fact: Fact {
                name: FactName::Trait(TraitName::parse(name).unwrap()),
                value,
                class: Class::Personal,
                context: Context::Shopping,
                provenance: Provenance::Derived { ancestors: vec!["Order Completed".into()] },
                as_of: At::from_ms(0),
                told_at: Some(At::from_ms(0)),
                told_how: Awareness::InNotice,
                purposes: Vec::new(),
                notice_version: 1,
                expires_at: At::from_ms(i64::MAX),
            },
            ancestors: vec!["Order Completed".into()],
            life_used_percent: 10,
            label: name.into(),
        }
    }

    fn trace(facts: Vec<FactRead>, slots: &[(&str, &str)], why: &str) -> Trace {
        Trace {
            facts,
            steps: Vec::new(),
            texts: ["Welcome back".into(), "We kept {item} for you.".into(), why.into()],
            slots: slots
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            propensity_micros: 1_000_000,
            basis: ItemBasis::Purchase,
            shared_by: 120,
            exposure: "private_mail".into(),
            promise: [0; 32],
            notice_version: 1,
        }
    }

    #[test]
    fn values_read_as_people_write_them() {
        let money = |text| Value::Money(Money::parse(text, Currency::GBP).unwrap());
        for (value, words) in [
            (Value::Number(4), "4"),
            (Value::Number(-1_234_567), "-1,234,567"),
            (Value::Number(i64::MIN), "-9,223,372,036,854,775,808"),
            (money("1204.5"), "£1,204.50"),
            (money("-0.001"), "-£0.001"),
            (Value::Money(Money { micros: 3_000_000, currency: Currency::parse("CHF").unwrap() }), "CHF 3.00"),
            (Value::Flag(true), "yes"),
            (Value::Date(Day::parse("2026-11-03").unwrap()), "3 November 2026"),
            (Value::Instant(At::parse("2026-11-23T17:32:00Z").unwrap()), "23 November 2026, 17:32:00 UTC"),
        ] {
            assert_eq!(in_words(&value).unwrap(), words);
        }
        assert_eq!(in_words(&Value::Ranking(Vec::new())), None);
    }

    #[test]
    fn a_slot_that_the_trace_does_not_hold_means_no_sentence() {
        let why = "You ordered {orders_all} times.";
        assert_eq!(trace(Vec::new(), &[], why).why(), None);
        assert_eq!(trace(Vec::new(), &[], "an open {brace").why(), None);
        assert_eq!(trace(Vec::new(), &[], "no slots").why().unwrap(), "no slots");
        assert_eq!(trace(vec![read("orders_all", Value::Number(4))], &[], why).why().unwrap(), "You ordered 4 times.");
    }

    #[test]
    fn text_from_a_slot_is_never_filled_again() {
        let filled = trace(vec![read("secret", Value::Number(7))], &[("item", "{secret}")], "{item}");
        assert_eq!(filled.why().unwrap(), "{secret}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        /// 1,000 decisions: the sentence comes from the trace alone, moves with each fact it names, and never tells
        /// a fact that it does not name.
        #[test]
        fn d02_the_why_is_made_of_the_trace_alone(
            orders in 0i64..10_000, days in 0i64..10_000, hidden in 1_000_000_000i64..2_000_000_000, item in "[A-Z ]{1,20}",
        ) {
            let why = "You ordered {orders_all} times, last {days_since_order} days ago, so we thought of {item}.";
            let facts = |orders, days| vec![
                read("orders_all", Value::Number(orders)),
                read("days_since_order", Value::Number(days)),
                read("spent_all", Value::Number(hidden)),
            ];
            let slots = [("item", item.as_str())];
            let told = trace(facts(orders, days), &slots, why);
            let sentence = told.why().unwrap();
            prop_assert_eq!(told.clone().why().unwrap(), sentence.clone());
            prop_assert_ne!(trace(facts(orders + 1, days), &slots, why).why().unwrap(), sentence.clone());
            prop_assert_ne!(trace(facts(orders, days + 1), &slots, why).why().unwrap(), sentence.clone());
            let other = format!("{item}!");
            let changed = trace(facts(orders, days), &[("item", other.as_str())], why).why().unwrap();
            prop_assert_ne!(changed, sentence.clone());
            prop_assert!(!sentence.contains(&in_words(&Value::Number(hidden)).unwrap()));
            // What it names and the trace does not hold leaves no hole: there is no sentence.
            prop_assert_eq!(trace(Vec::new(), &slots, why).why(), None);
            prop_assert_eq!(trace(facts(orders, days), &[], why).why(), None);
        }
    }
}
