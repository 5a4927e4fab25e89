//! The JSON Schema of edition 1, for editors: `docs/reference/promise.schema.json` is this, committed. What it cannot
//! say (names that must be declared, rules, purposes that must cover each other) `fineline check` says.

use crate::guard::NEVER_INFER;
use serde_json::{Map, Value, json};

const NAME: &str = "^[a-z][a-z0-9_]{0,63}$";

/// The schema (draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let mut schema = section(
        "A promise file of Fineline: what a company says it will do with people's data.",
        &["edition", "company", "contact", "address", "zone", "currency", "purpose", "notice"],
        json!({
            "edition": { "const": 1, "description": "By which rules the file is read." },
            "company": text("The legal name that people see."),
            "contact": text("The e-mail address people write to."),
            "address": text("Postal address, for the foot of messages."),
            "zone": text("Time zone of the house, such as \"Europe/London\"."),
            "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "description": "Currency of the house." },
            "languages": texts("Languages of the notice; the first is the default."),
            "purpose": named("Why people's data is used.", NAME, purpose()),
            "source": named("Ways in.", NAME, source()),
            "field": named("What is given or collected.", NAME, field()),
            "event": named("Events that may be taken.", "^.{1,64}$", event()),
            "trait": named("What is worked out by rule.", NAME, one_trait()),
            "guard": guard(),
            "segment": named("Rules over facts, with a live membership.", NAME, segment()),
            "offer": named("What may be shown.", NAME, offer()),
            "campaign": named("To whom, by what, when.", NAME, campaign()),
            "recipient": named("Who else gets data of people.", NAME, recipient()),
            "cap": section("The one cap over everything.", &[], json!({ "default": cap() })),
            "after_leaving": after_leaving(),
            "notice": notice(),
        }),
    );
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        schema.insert("title".to_owned(), json!("Fineline promise file, edition 1"));
    }
    schema
}

/// The committed form.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", sorted(schema()))
}

/// Keys in order of the alphabet, also where another crate of the build asks for order of insertion.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: std::collections::BTreeMap<String, Value> = map.into_iter().collect();
            Value::Object(ordered.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn section(description: &str, required: &[&str], properties: Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn named(description: &str, pattern: &str, of: Value) -> Value {
    json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
        "patternProperties": { pattern: of },
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

fn texts(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

fn one_of(description: &str, words: &[&str]) -> Value {
    json!({ "enum": words, "description": description })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

/// A text, or one per language.
fn said(description: &str) -> Value {
    json!({
        "description": description,
        "anyOf": [
            { "type": "string", "minLength": 1 },
            { "type": "object", "additionalProperties": { "type": "string", "minLength": 1 } },
        ],
    })
}

fn keep() -> Value {
    json!({
        "type": "string",
        "pattern": "^[1-9][0-9]* (day|days|week|weeks|month|months|year|years)$",
        "description": "How long, such as \"90 days\"; at most 10 years.",
    })
}

fn length(description: &str) -> Value {
    json!({
        "type": "string",
        "pattern": "^[1-9][0-9]* (day|days|week|weeks|month|months|year|years)$",
        "description": description,
    })
}

fn purposes() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "For which purposes." })
}

fn since() -> Value {
    json!({
        "type": "string",
        "pattern": "^(receipt|leaving|last .+)$",
        "description": "What starts the clock: \"receipt\" (default), \"leaving\", \"last order\", or \"last \" and an event.",
    })
}

fn end_on() -> Value {
    text("The person's next event of this name ends it as well, whichever comes first.")
}

fn class() -> Value {
    one_of("How sensitive.", &["plain", "personal", "sensitive"])
}

fn context() -> Value {
    one_of("In which part of life it was given.", &["shopping", "work", "health", "social"])
}

const KINDS: [&str; 8] = ["text", "number", "money", "flag", "instant", "date", "email", "id"];

fn purpose() -> Value {
    section(
        "Why people's data is used.",
        &["says", "basis"],
        json!({
            "says": said("Shown to people word for word."),
            "basis": one_of("contract: needed, no switch. consent: off until the person says yes.", &["contract", "consent"]),
            "levels": {
                "type": "object",
                "additionalProperties": { "type": "array", "items": { "type": "string" } },
                "description": "How much a person shares: level and the names it lets be read, each level with more.",
            },
            "since_notice": {
                "type": "integer",
                "minimum": 1,
                "description": "The notice version since which the purpose reads as it does now.",
            },
            "lapses_after": length("After how long a silence a yes ends; \"24 months\" when it is not said."),
        }),
    )
}

fn source() -> Value {
    section(
        "A way in. Keys are made by `fineline source key`.",
        &["kind"],
        json!({
            "kind": one_of("What kind of way in.", &["browser", "server", "import"]),
            "origins": texts("Origins whose pages may send."),
            "consent": {
                "type": "object",
                "additionalProperties": { "type": "string" },
                "description": "Category of context.consent and the purpose it stands for.",
            },
        }),
    )
}

fn field() -> Value {
    section(
        "Something given or collected.",
        &["type", "from", "for", "keep"],
        json!({
            "type": one_of("What it holds.", &KINDS),
            "one_of": texts("Allowed texts."),
            "from": text("Where it comes from; \"you\" = stated by the person on their page."),
            "for": purposes(),
            "keep": keep(),
            "since": since(),
            "end_on": end_on(),
            "class": class(),
            "context": context(),
        }),
    )
}

fn event() -> Value {
    section(
        "An event that may be taken.",
        &["for", "keep"],
        json!({
            "for": purposes(),
            "keep": keep(),
            "since": since(),
            "end_on": end_on(),
            "has": { "type": "object", "additionalProperties": { "enum": KINDS }, "description": "Properties and their kinds." },
            "lines": flag("Whether it carries order lines."),
            "class": class(),
            "context": context(),
        }),
    )
}

fn one_trait() -> Value {
    section(
        "Something worked out from one event.",
        &["is", "for", "says"],
        json!({
            "is": text("count(event[, days(n)]), sum(event, property[, days(n)]), days_since(event), days_since_first(event)."),
            "for": purposes(),
            "says": said("The recipe in words people read."),
        }),
    )
}

fn guard() -> Value {
    let words: Vec<&str> = NEVER_INFER.iter().map(|(word, _)| *word).collect();
    let never = format!("What is never worked out; always includes: {}.", words.join(", "));
    section(
        "What may never be inferred, and the smallest group.",
        &[],
        json!({
            "never_infer": texts(&never),
            "smallest_group": { "type": "integer", "minimum": 50, "description": "No count or segment below this." },
        }),
    )
}

fn segment() -> Value {
    section(
        "A rule over facts.",
        &["for", "who"],
        json!({
            "for": text("The purpose its members may be addressed for."),
            "counted_for": text("The purpose under which matches are counted."),
            "who": text("The rule, such as \"orders_all >= 3 && orders_90d == 0\"."),
        }),
    )
}

fn offer() -> Value {
    section(
        "What may be shown.",
        &["title", "says", "why", "link"],
        json!({
            "title": said("Headline; names no item and no fact."),
            "says": said("The text, with slots such as {item}."),
            "why": said("The reason, with slots such as {orders_all}."),
            "code": text("Code to redeem."),
            "link": { "type": "string", "pattern": "^https?://", "description": "Where it leads." },
            "picks_item": flag("Whether an item is picked for the person."),
            "placements": texts("Places on pages where it may stand."),
        }),
    )
}

fn campaign() -> Value {
    section(
        "To whom, by what, when.",
        &["to", "offers", "by", "goal"],
        json!({
            "to": text("To which segment."),
            "offers": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "Offers to choose from." },
            "by": { "type": "array", "items": { "enum": ["email", "page"] }, "description": "By which channels." },
            "hold_out": { "type": "string", "pattern": "^[0-9]+([.][0-9])?%$", "description": "Share left alone to measure, 1% to 50%." },
            "goal": text("The event that counts as success."),
            "goal_days": { "type": "integer", "minimum": 1, "maximum": 365, "description": "Within how many days." },
        }),
    )
}

fn recipient() -> Value {
    section(
        "Somebody who gets data of people. Nothing leaves to anybody who is not declared.",
        &["who", "why", "what", "where"],
        json!({
            "who": text("Who it is, as people should read it."),
            "why": text("Why it gets anything."),
            "what": { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 20, "description": "What it gets, in words." },
            "where": text("Where it is, such as a country."),
            "until": { "type": "string", "format": "date", "description": "The last day on which it gets anything." },
            "erase": text("The address that is called when somebody was erased."),
        }),
    )
}

fn cap() -> Value {
    section(
        "How often, and when not.",
        &[],
        json!({
            "at_most": { "type": "string", "pattern": "^[1-9][0-9]* per (day|week|month)$", "description": "Such as \"2 per week\"." },
            "quiet": { "type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$", "description": "Such as \"21:00-08:00\"." },
        }),
    )
}

fn after_leaving() -> Value {
    section(
        "What people may choose for the time after they have left.",
        &["inactive"],
        json!({
            "inactive": length("So long without an act of the person counts as leaving."),
            "choices": {
                "type": "array",
                "items": { "enum": ["forget", "minimum", "until"] },
                "description": "What may be chosen; \"forget\" always may, and holds for whoever chose nothing.",
            },
            "until_at_most": length("How far ahead the date of \"until\" may be."),
        }),
    )
}

fn notice() -> Value {
    section(
        "Which version this is, and from when.",
        &["version", "starts"],
        json!({
            "version": { "type": "integer", "minimum": 1, "description": "Which version of the notice this is." },
            "starts": { "type": "string", "format": "date", "description": "From which day it binds: a bare TOML date." },
            "tell_people_before": {
                "type": "string",
                "pattern": "^[1-9][0-9]* (day|days|week|weeks|month|months|year)$",
                "description": "How long before a change people are told.",
            },
            "removed_within": length("Within how long after its end a thing is removed from the disks: 7 days, or up to 30."),
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::keys;
    use std::collections::BTreeSet;

    const COMMITTED: &str = include_str!("../../../docs/reference/promise.schema.json");

    #[test]
    fn the_committed_schema_is_this_one() {
        if std::env::var_os("FINELINE_WRITE_REFERENCE").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/promise.schema.json");
            #[expect(clippy::disallowed_methods, reason = "the test that writes a reference page anew")]
            std::fs::write(path, schema_text()).unwrap();
            return;
        }
        assert_eq!(COMMITTED, schema_text(), "run this test with FINELINE_WRITE_REFERENCE=1 and commit the file");
    }

    #[test]
    fn the_schema_knows_exactly_the_keys_that_the_program_knows() {
        let schema = schema();
        let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("{path}"));
        let of = |path: &str| {
            let section = at(path);
            assert_eq!(section["additionalProperties"], json!(false), "{path}");
            section["properties"].as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>()
        };
        let named = |section: &str| format!("/properties/{section}/patternProperties/{NAME}");
        let set = |keys: &[&'static str]| keys.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(of(""), set(&keys::ROOT));
        for (section, known) in [
            ("purpose", keys::PURPOSE.as_slice()),
            ("source", &keys::SOURCE),
            ("field", &keys::FIELD),
            ("trait", &keys::TRAIT),
            ("segment", &keys::SEGMENT),
            ("offer", &keys::OFFER),
            ("campaign", &keys::CAMPAIGN),
            ("recipient", &keys::RECIPIENT),
        ] {
            assert_eq!(of(&named(section)), set(known), "{section}");
        }
        assert_eq!(of("/properties/event/patternProperties/^.{1,64}$"), set(&keys::EVENT));
        assert_eq!(of("/properties/guard"), set(&keys::GUARD));
        assert_eq!(of("/properties/cap/properties/default"), set(&keys::CAP));
        assert_eq!(of("/properties/notice"), set(&keys::NOTICE));
        assert_eq!(of("/properties/after_leaving"), set(&keys::AFTER_LEAVING));
    }

    /// As much of JSON Schema as the schema uses, without patterns of values.
    fn fits(value: &Value, schema: &Value, path: &str) -> Result<(), String> {
        if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
            return if any.iter().any(|schema| fits(value, schema, path).is_ok()) {
                Ok(())
            } else {
                Err(path.to_owned())
            };
        }
        let is = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            _ => value.is_boolean(),
        };
        let kind = schema.get("type").and_then(Value::as_str);
        let constant = schema.get("const").is_none_or(|constant| constant == value);
        let listed = schema.get("enum").and_then(Value::as_array).is_none_or(|listed| listed.contains(value));
        if !kind.is_none_or(is) || !constant || !listed {
            return Err(path.to_owned());
        }
        let empty = Map::new();
        let part = |key: &str| schema.get(key).and_then(Value::as_object).unwrap_or(&empty);
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if value.get(required.as_str().unwrap()).is_none() {
                return Err(format!("{path}/{required} is missing"));
            }
        }
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = format!("{path}/{key}");
            let inner = part("properties").get(key).or_else(|| part("patternProperties").values().next());
            match inner.or_else(|| schema.get("additionalProperties")) {
                Some(Value::Bool(false)) | None => return Err(format!("{path} is not known")),
                Some(schema) => fits(value, schema, &path)?,
            }
        }
        let items = schema.get("items").unwrap_or(&Value::Null);
        value.as_array().into_iter().flatten().try_for_each(|value| fits(value, items, path))
    }

    fn as_json(text: &str) -> Value {
        let value: toml::Value = toml::from_str(text).unwrap();
        json_of(&value)
    }

    fn json_of(value: &toml::Value) -> Value {
        match value {
            toml::Value::String(text) => json!(text),
            toml::Value::Integer(number) => json!(number),
            toml::Value::Float(number) => json!(number),
            toml::Value::Boolean(flag) => json!(flag),
            toml::Value::Datetime(date) => json!(date.to_string()),
            toml::Value::Array(values) => values.iter().map(json_of).collect(),
            toml::Value::Table(table) => {
                Value::Object(table.iter().map(|(key, value)| (key.clone(), json_of(value))).collect())
            }
        }
    }

    #[test]
    fn the_shop_fits_the_schema_and_a_wrong_key_does_not() {
        let schema = schema();
        assert_eq!(fits(&as_json(crate::fixture::SHOP), &schema, ""), Ok(()));
        for (from, to) in [
            ("kind = \"server\"", "kind = \"server\"\ncolour = \"red\""),
            ("edition = 1", "edition = 2"),
            ("smallest_group", "smalest_group"),
            ("basis = \"contract\"", "basis = \"interest\""),
            ("lines = true", "lines = \"yes\""),
            ("[cap.default]", "[cap.mail]"),
            ("[notice]", "[notes]"),
        ] {
            let wrong = crate::fixture::SHOP.replacen(from, to, 1);
            assert!(fits(&as_json(&wrong), &schema, "").is_err(), "{to}");
            assert!(crate::parse("shop.toml", &wrong).is_err(), "{to}");
        }
    }
}
