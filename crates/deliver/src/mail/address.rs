//! The sentence that answers "where did you get my address?" in the foot of every mail.
//!
//! It is made from the fact's own provenance and nothing else: a source that the fact does not name cannot be said.

use model::{At, Fact, FactName, Provenance};
use promise::Promise;

/// Where an address came from, when, and what the person was told it is for. Plain text, one or two sentences.
#[must_use]
pub fn where_from(promise: &Promise, address: &Fact) -> String {
    let field = match &address.name {
        FactName::Field(name) => promise.fields.get(name),
        FactName::Trait(_) => None,
    };
    let place = field.map_or("", |field| field.from.as_str());
    let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
    let day = day(address.as_of);
    let came = match &address.provenance {
        Provenance::Provided { .. } => format!("You gave it to us on {day}{place}."),
        Provenance::Observed { source } => format!("It came to us through “{source}” on {day}{place}."),
        Provenance::ThirdParty { party } => format!("{party} gave it to us on {day}{place}."),
        Provenance::Derived { ancestors } | Provenance::Inferred { ancestors } => {
            format!("We worked it out on {day} from: {}.", ancestors.join(", "))
        }
    };
    let uses: Vec<&str> = address
        .purposes
        .iter()
        .filter_map(|name| promise.purposes.get(name))
        .map(|purpose| purpose.says.trim_end_matches('.'))
        .collect();
    match address.told_at {
        Some(told_at) if !uses.is_empty() => {
            format!("{came} On {} we told you what it is for: {}.", self::day(told_at), uses.join("; "))
        }
        _ => came,
    }
}

/// "23 November 2026", in UTC as everywhere in the house.
fn day(at: At) -> String {
    at.day().date().strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Awareness, Class, Context, FieldName, PurposeName, SourceName, Value};

    fn address(provenance: Provenance) -> Fact {
        let as_of = At::parse("2026-05-03T23:59:59Z").unwrap();
        Fact {
            name: FactName::Field(FieldName::parse("email").unwrap()),
            value: Value::Text("jo@example.com".into()),
            class: Class::Personal,
            context: Context::Shopping,
            provenance,
            as_of,
            told_at: Some(as_of),
            told_how: Awareness::AtTheMoment,
            purposes: ["orders", "offers"].map(|name| PurposeName::parse(name).unwrap()).into(),
            notice_version: 1,
            expires_at: as_of.plus_days(730),
        }
    }

    #[test]
    fn a29_the_answer_follows_the_provenance_and_nothing_else() {
        let promise = promise::parse("shop.toml", promise::fixture::SHOP).unwrap();
        let source = || SourceName::parse("shop").unwrap();
        let told = "On 3 May 2026 we told you what it is for: \
                    Take and deliver your orders, and count them in groups of 50 or more; \
                    Send you offers picked from what you bought.";
        for (provenance, came) in [
            (Provenance::Provided { source: source() }, "You gave it to us on 3 May 2026 (checkout form)."),
            (Provenance::Observed { source: source() }, "It came to us through “shop” on 3 May 2026 (checkout form)."),
            (
                Provenance::ThirdParty { party: "Lists Ltd".into() },
                "Lists Ltd gave it to us on 3 May 2026 (checkout form).",
            ),
            (
                Provenance::Derived { ancestors: vec!["customer".into()] },
                "We worked it out on 3 May 2026 from: customer.",
            ),
        ] {
            assert_eq!(where_from(&promise, &address(provenance)), format!("{came} {told}"));
        }
        let untold = Fact { told_at: None, ..address(Provenance::Provided { source: source() }) };
        assert_eq!(where_from(&promise, &untold), "You gave it to us on 3 May 2026 (checkout form).");
        assert!(!where_from(&promise, &untold).contains("jo@"));
    }
}
