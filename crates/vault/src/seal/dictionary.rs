//! How the dictionary in `formats/` was learned: from made-up records of made-up shops, which hold nothing but what such
//! records have in common. Written once; a better one gets a codec of its own.

use super::*;
use crate::disk::Disk;
use crate::format::{ClassForm, CoreForm, EventForm, FactForm, IdentifierForm, LedgerForm, RelationForm, encode};
use crate::projection::{Bucket, TraitColumn};
use model::chance::Seeded;
use model::{
    At, Awareness, Class, Context, Currency, Day, Event, EventId, EventKind, EventName, Fact, FactName, FieldName,
    ItemCode, LineItem, Money, Provenance, PurposeName, Rng, SourceName, TraitName, Trust, Value,
};
use std::collections::BTreeMap;
use std::path::Path;

const DICTIONARY_BYTES: usize = 16 << 10;
const EVENTS: [&str; 14] = [
    "Order Completed",
    "Order Refunded",
    "Order Cancelled",
    "Order Updated",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Product List Viewed",
    "Cart Viewed",
    "Checkout Started",
    "Page Viewed",
    "Signed Up",
    "Coupon Applied",
    "Product Reviewed",
];
const SOURCES: [&str; 6] = ["web", "shop", "server", "app", "till", "history"];
const PURPOSES: [&str; 8] =
    ["orders", "offers", "newsletter", "measuring", "recommendations", "service", "surveys", "loyalty"];
const FIELDS: [&str; 8] =
    ["email", "zone", "favourite_group", "shirt_size", "country", "language", "first_name", "loyalty_code"];
const TRAITS: [&str; 8] = [
    "orders_all",
    "orders_90d",
    "orders_365d",
    "days_since_order",
    "spent_all",
    "spent_365d",
    "views_30d",
    "candidates",
];
const CURRENCIES: [&str; 3] = ["GBP", "EUR", "USD"];

/// Draws that are the same each time.
struct Draw(Seeded);

impl Draw {
    fn rng(&self) -> &dyn Rng {
        &self.0
    }
    fn below(&self, n: u64) -> u64 {
        u64::from_be_bytes(self.rng().bytes()) % n
    }
    fn one<'a>(&self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
    fn at(&self) -> At {
        At::from_ms(1_767_225_600_000 + i64::try_from(self.below(63_072_000_000)).unwrap())
    }
    fn money(&self) -> Money {
        let currency = Currency::parse(self.one(&CURRENCIES)).unwrap();
        Money { micros: i64::try_from(self.below(20_000)).unwrap() * 10_000, currency }
    }
    fn item(&self) -> ItemCode {
        ItemCode::parse(&format!("{}{}", self.one(&["SKU-", "", "A", "8"]), self.below(100_000))).unwrap()
    }
    fn purposes(&self) -> Vec<PurposeName> {
        let mut names: Vec<&str> = (0..=self.below(2)).map(|_| self.one(&PURPOSES)).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(|name| PurposeName::parse(name).unwrap()).collect()
    }
}

fn event(draw: &Draw) -> Vec<u8> {
    let at = draw.at();
    let mut properties = BTreeMap::new();
    for (name, value) in [
        ("order_id", Value::Text(format!("o-{}", draw.below(10_000_000)))),
        ("total", Value::Money(draw.money())),
        ("item", Value::Text(draw.item().as_str().to_owned())),
        ("quantity", Value::Number(i64::try_from(draw.below(9)).unwrap())),
        ("path", Value::Text(format!("/{}/{}", draw.one(&["shop", "products", "cart"]), draw.below(900)))),
        ("currency", Value::Text(draw.one(&CURRENCIES).to_owned())),
        ("coupon", Value::Text(draw.one(&["BACK20", "WELCOME10", "SPRING"]).to_owned())),
    ] {
        if draw.below(5) < 2 {
            properties.insert(name.to_owned(), value);
        }
    }
    let n_lines = draw.below(5).saturating_sub(1);
    let lines = (0..n_lines).map(|row| LineItem {
        row,
        item: draw.item(),
        quantity: i32::try_from(1 + draw.below(12)).unwrap(),
        price: draw.money(),
    });
    encode(&EventForm::of(
        &Event {
            id: EventId::new(at, &draw.0),
            profile: ProfileId::random(&draw.0),
            kind: EventKind::Track,
            name: EventName::parse(draw.one(&EVENTS)).unwrap(),
            source: SourceName::parse(draw.one(&SOURCES)).unwrap(),
            trust: [Trust::Browser, Trust::Server, Trust::Import][usize::try_from(draw.below(3)).unwrap()],
            occurred_at: at,
            received_at: At::from_ms(at.ms() + 40),
            source_day: (draw.below(4) == 0).then(|| at.day()),
            properties,
            lines: lines.collect(),
        },
        &[],
    ))
}

fn core(draw: &Draw) -> Vec<u8> {
    let relations = PURPOSES.iter().filter(|_| draw.below(3) == 0).map(|purpose| RelationForm {
        purpose: (*purpose).to_owned(),
        status: 3 + u8::try_from(draw.below(3)).unwrap(),
        notice_version: 1 + u32::try_from(draw.below(3)).unwrap(),
        at: draw.at().ms(),
        level: (draw.below(2) == 0).then(|| draw.one(&["little", "full"]).to_owned()),
    });
    let mut identifiers = vec![IdentifierForm { kind: 0, value: format!("u{}", draw.below(10_000_000)) }];
    if draw.below(2) == 0 {
        let value = format!("{}@{}", draw.below(1_000_000), draw.one(&["gmail.com", "outlook.com", "mail.example"]));
        identifiers.push(IdentifierForm { kind: 2, value });
    }
    encode(&CoreForm {
        number: u32::try_from(draw.below(1_000_000)).unwrap(),
        relations: relations.collect(),
        told_version: 1,
        consent_seq: draw.below(5),
        identifiers,
        last: BTreeMap::from([(draw.one(&EVENTS[..4]).to_owned(), draw.at().ms())]),
        n_ledger: draw.below(6),
        touched: draw.below(1 << 40),
        created_at: draw.at().ms(),
        ..CoreForm::default()
    })
}

fn class(draw: &Draw) -> Vec<u8> {
    let at = draw.at();
    let fact = |name: FactName, value: Value| {
        FactForm::of(&Fact {
            name,
            value,
            class: Class::Personal,
            context: Context::Shopping,
            provenance: Provenance::Provided { source: SourceName::parse(draw.one(&SOURCES)).unwrap() },
            as_of: at,
            told_at: Some(at),
            told_how: Awareness::InNotice,
            purposes: draw.purposes(),
            notice_version: 1,
            expires_at: Day::from_number(at.day().number() + 730).start(),
        })
    };
    let mut form = ClassForm::default();
    for name in FIELDS.iter().filter(|_| draw.below(5) == 0) {
        let text = format!("{}{}", draw.one(&["kitchen", "garden", "en", "M", "Europe/London"]), draw.below(10));
        form.facts.push(fact(FactName::Field(FieldName::parse(name).unwrap()), Value::Text(text)));
    }
    let columns: Vec<TraitColumn> = TRAITS[..1 + usize::try_from(draw.below(7)).unwrap()]
        .iter()
        .map(|name| TraitColumn { name: TraitName::parse(name).unwrap(), event: EventName::parse(EVENTS[0]).unwrap() })
        .collect();
    let mut buckets = Vec::new();
    for (column, _) in columns.iter().enumerate() {
        for _ in 0..draw.below(4) {
            let day = Day::from_number(draw.at().day().number());
            let amount = i64::try_from(draw.below(40)).unwrap() * if column > 3 { 1_000_000 } else { 1 };
            buckets.push(Bucket { column: u16::try_from(column).unwrap(), day, amount });
        }
    }
    form.set_buckets(&columns, &buckets);
    encode(&form)
}

fn ledger(draw: &Draw) -> Vec<u8> {
    encode(&LedgerForm {
        id: draw.rng().bytes::<16>().into(),
        purpose: draw.one(&PURPOSES).to_owned(),
        status: 3 + u8::try_from(draw.below(3)).unwrap(),
        level: (draw.below(2) == 0).then(|| "full".to_owned()),
        text: "Send you offers picked from what you bought.".to_owned(),
        language: "en".to_owned(),
        answered_at: draw.at().ms(),
        method: u8::try_from(draw.below(4)).unwrap(),
        notice_version: 1,
        made_up: false,
        source: Some(draw.one(&SOURCES).to_owned()),
        at: draw.at().ms(),
        proof: None,
        included_by: None,
    })
}

fn samples(seed: u64, n: usize) -> Vec<Vec<u8>> {
    let draw = Draw(Seeded::new(seed));
    let kinds: [fn(&Draw) -> Vec<u8>; 4] = [event, core, class, ledger];
    (0..n).map(|at| kinds[at % kinds.len()](&draw)).collect()
}

#[test]
#[ignore = "writes the dictionary of a new codec; never replaces one"]
fn write_the_dictionary() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/dictionary-1.zstd");
    let bytes = zstd::dict::from_samples(&samples(1, 8_000), DICTIONARY_BYTES).unwrap();
    Disk::create(&path, &bytes).unwrap();
}

#[test]
fn records_the_dictionary_never_saw_need_half_the_room() {
    let (mut with, mut plain) = (0, 0);
    for record in samples(2, 800) {
        let mut packed = Vec::new();
        pack(&record, &mut packed);
        with += packed.len();
        plain += bucket(record.len() + 2);
        assert_eq!(unpack(&packed).unwrap(), record);
    }
    assert!(with * 10 < plain * 6, "{with} of {plain} bytes");
}
