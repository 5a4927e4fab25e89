//! Decisions over a person made up in the test: each rule is the one that decides, and the why is made of what was read.

use super::*;
use crate::records::{Combination, Popular};
use model::{Awareness, Class, Context, Money, PurposeName, RankedItem, SegmentName, SourceName};
use promise::ArtefactKind;
use proptest::prelude::*;
use std::cell::RefCell;
use std::sync::LazyLock;
use vault::Item;

static PROMISE: LazyLock<Promise> = LazyLock::new(|| promise::parse("shop.toml", promise::fixture::SHOP).unwrap());

/// Somebody, with a list of what was read about them.
struct Somebody {
    facts: BTreeMap<String, Fact>,
    is_member: bool,
    contact: ContactState,
    read: RefCell<Vec<String>>,
}

impl Reader for Somebody {
    fn fact(&self, name: &FactName) -> Option<Fact> {
        let fact = self.facts.get(name.as_str()).cloned()?;
        self.read.borrow_mut().push(name.as_str().to_owned());
        Some(fact)
    }
    fn is_member(&self, segment: &SegmentName) -> Result<bool, Refusal> {
        assert_eq!(segment.as_str(), "lapsed");
        Ok(self.is_member)
    }
    fn contact(&self) -> ContactState {
        self.contact.clone()
    }
}

fn noon() -> At {
    At::parse("2026-11-23T12:00:00Z").unwrap()
}

fn fact(name: FactName, value: Value, provenance: Provenance) -> Fact {
    Fact {
        name,
        value,
        class: Class::Personal,
        context: Context::Shopping,
        provenance,
        as_of: noon().plus_days(-100),
        told_at: Some(noon().plus_days(-90)),
        told_how: Awareness::InNotice,
        purposes: vec![PurposeName::parse("offers").unwrap()],
        notice_version: 1,
        expires_at: noon().plus_days(300),
    }
}

fn field(name: &str, value: &str) -> (String, Fact) {
    let provenance = Provenance::Provided { source: SourceName::parse("shop").unwrap() };
    let name = FieldName::parse(name).unwrap();
    (name.as_str().to_owned(), fact(FactName::Field(name), Value::Text(value.into()), provenance))
}

fn worked_out(name: &str, value: Value) -> (String, Fact) {
    let ancestors = vec!["Order Completed".to_owned()];
    let provenance = match value {
        Value::Ranking(_) => Provenance::Inferred { ancestors },
        _ => Provenance::Derived { ancestors },
    };
    (name.to_owned(), fact(FactName::Trait(TraitName::parse(name).unwrap()), value, provenance))
}

fn code(text: &str) -> ItemCode {
    ItemCode::parse(text).unwrap()
}

fn ranking() -> Value {
    let entry =
        |item: &str, because: &str| RankedItem { item: code(item), because: Some(code(because)), score_micros: 9 };
    Value::Ranking(vec![entry("TEAPOT", "KETTLE"), entry("RAKE", "KETTLE")])
}

fn somebody() -> Somebody {
    let facts = [
        field("email", "somebody@shop.example"),
        field("shirt_size", "XL"),
        worked_out("orders_all", Value::Number(4)),
        worked_out("orders_90d", Value::Number(0)),
        worked_out("spent_all", Value::Money(Money::parse("987654.321", PROMISE.currency).unwrap())),
        worked_out("candidates", ranking()),
    ];
    Somebody { facts: facts.into(), is_member: true, contact: ContactState::default(), read: RefCell::default() }
}

fn catalogue(item: &ItemCode) -> Option<Item> {
    let group = match item.as_str() {
        "TEAPOT" | "KETTLE" | "CUP" => "kitchen",
        "RAKE" | "SPADE" => "garden",
        _ => return None,
    };
    let title = item.as_str().to_lowercase();
    Some(Item { code: item.clone(), title, group: group.into(), class: Class::Plain, price: None })
}

/// A person of the wanted arm.
fn person(held_out: bool) -> ProfileId {
    let campaign = CampaignName::parse("win_back").unwrap();
    let mut ids = (0u8..).map(|n| ProfileId::from_bytes([n; 16]));
    ids.find(|id| is_held_out(&campaign, id, 100) == held_out).unwrap()
}

struct Case {
    person: ProfileId,
    channel: ChannelKind,
    now: At,
    n_people: u32,
    n_kettle: u32,
    n_kitchen: u32,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            person: person(false),
            channel: ChannelKind::Email,
            now: noon(),
            n_people: 300,
            n_kettle: 50,
            n_kitchen: 120,
        }
    }
}

impl Case {
    fn decide(&self, somebody: &Somebody) -> Result<Choice, Declined> {
        let campaign = &PROMISE.campaigns["win_back"];
        let popular = Popular {
            items: vec!["SPADE".into()],
            groups: [("kitchen".into(), vec!["CUP".into()]), ("garden".into(), vec!["SPADE".into()])].into(),
        };
        let combination = Combination {
            n_people: self.n_people,
            items: [("KETTLE".into(), self.n_kettle)].into(),
            groups: [("kitchen".into(), self.n_kitchen)].into(),
        };
        let shelf = Shelf { catalogue: &catalogue, popular: &popular, combination: &combination, floor: 50 };
        let question = Question {
            promise: &PROMISE,
            campaign,
            artefact: PROMISE.artefact(ArtefactKind::Campaign, "win_back").unwrap(),
            person: self.person,
            channel: self.channel,
            placement: Some("home"),
            now: self.now,
            shelf,
        };
        decide(&question, somebody)
    }
}

#[test]
fn d02_the_why_names_the_orders_and_the_one_purchase() {
    let choice = Case::default().decide(&somebody()).unwrap();
    assert_eq!(
        choice.trace.why().unwrap(),
        "You placed 4 orders with us, but none in the last 90 days. We picked teapot because you bought kettle."
    );
    assert_eq!(choice.trace.says().unwrap(), "teapot is 20% off for you this week.");
    assert_eq!((choice.trace.basis, choice.trace.shared_by), (ItemBasis::Purchase, 50));
    assert_eq!(choice.trace.propensity_micros, 900_000, "nine of ten are written to");
    assert!(choice.trace.steps.iter().all(|step| step.passed));
    let read = &choice.trace.facts[0];
    assert_eq!(read.ancestors, ["Order Completed"]);
    assert_eq!((read.life_used_percent, read.label.as_str()), (25, "how many orders you placed in the last 90 days"));
    assert_eq!(
        (read.fact.told_how, read.fact.context, read.fact.class),
        (Awareness::InNotice, Context::Shopping, Class::Personal)
    );
}

#[test]
fn d02_only_what_was_read_is_in_the_trace_and_what_is_in_it_was_read() {
    let somebody = somebody();
    let choice = Case::default().decide(&somebody).unwrap();
    let traced: Vec<&str> = choice.trace.facts.iter().map(|read| read.fact.name.as_str()).collect();
    assert_eq!(traced, *somebody.read.borrow());
    assert!(!traced.contains(&"spent_all") && !traced.contains(&"shirt_size"));
    let value =
        |name: &str| &choice.trace.facts.iter().find(|read| read.fact.name.as_str() == name).unwrap().fact.value;
    assert!(*value("email") == Value::Flag(true), "the address itself is not needed to explain");
    assert!(matches!(value("candidates"), Value::Ranking(used) if used.len() == 1 && used[0].item == code("TEAPOT")));
}

#[test]
fn b03_a_purchase_shared_by_fewer_than_fifty_falls_to_its_group_and_then_to_what_many_buy() {
    let mut rare = Case { n_kettle: 0, ..Case::default() };
    let choice = rare.decide(&somebody()).unwrap();
    assert_eq!((choice.trace.basis, choice.trace.shared_by, choice.item), (ItemBasis::Group, 120, Some(code("CUP"))));
    assert!(choice.trace.why().unwrap().ends_with("We picked cup because you bought something from kitchen before."));
    assert!(!choice.trace.why().unwrap().contains("kettle"));
    rare.n_people = 60;
    let mut nothing_known = somebody();
    nothing_known.facts.remove("candidates");
    let choice = rare.decide(&nothing_known).unwrap();
    assert_eq!(
        (choice.trace.basis, choice.trace.shared_by, choice.item),
        (ItemBasis::Popular, 60, Some(code("SPADE")))
    );
    assert!(choice.trace.why().unwrap().ends_with("We picked spade because many people buy it."));
}

#[test]
fn b03_forty_nine_are_too_few_for_a_purchase_and_for_its_group() {
    for (n_kettle, n_kitchen, basis) in
        [(50, 50, ItemBasis::Purchase), (49, 50, ItemBasis::Group), (49, 49, ItemBasis::Popular)]
    {
        let choice = Case { n_kettle, n_kitchen, ..Case::default() }.decide(&somebody()).unwrap();
        assert_eq!(choice.trace.basis, basis, "{n_kettle} share the purchase, {n_kitchen} its group");
        assert!(choice.trace.shared_by >= 50, "{}", choice.trace.shared_by);
    }
}

#[test]
fn b03_an_audience_below_the_smallest_group_gets_nothing() {
    for (n_people, refused) in [(1, true), (49, true), (50, false)] {
        let answer = Case { n_people, ..Case::default() }.decide(&somebody());
        assert_eq!(answer.is_err(), refused, "{n_people}");
        if let Err(declined) = answer {
            assert_eq!(declined.refusal.reason, RefusalReason::GroupTooSmall);
            assert_eq!(declined.steps.len(), 1, "nothing was asked about the person");
            assert!(declined.refusal.line.is_some());
        }
    }
}

#[test]
fn a26_a_stated_taste_beats_what_was_worked_out() {
    let mut somebody = somebody();
    somebody.facts.extend([field("favourite_group", "garden")]);
    let choice = Case::default().decide(&somebody).unwrap();
    assert_eq!((choice.trace.basis, choice.item), (ItemBasis::Stated, Some(code("RAKE"))));
    assert!(choice.trace.why().unwrap().ends_with("We picked rake because you told us that you like garden."));
}

/// Each rule that may stop a message, as the one that does.
#[test]
fn each_rule_stops_the_message_with_its_own_reason() {
    let check = |change: &dyn Fn(&mut Somebody), rule: &str, reason: RefusalReason| {
        let mut somebody = somebody();
        change(&mut somebody);
        let declined = Case::default().decide(&somebody).unwrap_err();
        assert_eq!(declined.refusal.reason, reason);
        let last = declined.steps.last().unwrap();
        assert_eq!((last.rule.as_str(), last.passed, last.reason), (rule, false, Some(reason)));
    };
    let sent = |days: i32, n: usize| ContactState { sent_at: vec![noon().plus_days(-days); n], ..Default::default() };
    check(&|s| s.is_member = false, "segment", RefusalReason::NotInSegment);
    check(&|s| drop(s.facts.remove("email")), "address", RefusalReason::NoAddress);
    check(&|s| s.contact.suppressed = true, "address_works", RefusalReason::Suppressed);
    check(&|s| s.contact = sent(6, 2), "cap", RefusalReason::CapReached);
    check(&|s| s.contact = ContactState { at_most: Some(1), ..sent(6, 1) }, "cap", RefusalReason::CapReached);
    check(&|s| s.contact.at_most = Some(0), "cap", RefusalReason::CapReached);
    check(&|s| s.contact.turned_down = vec!["come_back".into()], "turned_down", RefusalReason::TurnedDown);
    check(&|s| drop(s.facts.remove("orders_all")), "sentence", RefusalReason::NothingFits);
    let mut somebody = somebody();
    somebody.contact = ContactState { at_most: Some(9), ..sent(8, 5) };
    assert!(Case::default().decide(&somebody).is_ok(), "old messages do not count");
}

#[test]
fn an_item_turned_down_is_not_offered_again() {
    let mut somebody = somebody();
    somebody.contact.turned_down = vec!["TEAPOT".into()];
    assert_eq!(Case::default().decide(&somebody).unwrap().item, Some(code("RAKE")));
}

#[test]
fn at_night_a_mail_waits_and_a_page_does_not() {
    let night = At::parse("2026-11-23T23:00:00Z").unwrap();
    let choice = Case { now: night, ..Case::default() }.decide(&somebody()).unwrap();
    assert_eq!(choice.send_at, At::parse("2026-11-24T08:00:00Z"));
    let step = choice.trace.steps.iter().find(|step| step.rule == "quiet_hours").unwrap();
    assert_eq!((step.passed, step.reason), (false, Some(RefusalReason::QuietHours)));
    let page = Case { now: night, channel: ChannelKind::Page, ..Case::default() };
    let mut without_address = somebody();
    without_address.facts.remove("email");
    let choice = page.decide(&without_address).unwrap();
    assert_eq!((choice.send_at, choice.trace.exposure.as_str()), (None, "page"));
}

#[test]
fn quiet_hours_follow_the_zone_a_person_stated_and_it_stands_among_the_facts() {
    let mut somebody = somebody();
    let (name, zone) = field("zone", "Asia/Tokyo");
    somebody.facts.insert(name, zone);
    let is_read = |choice: &Choice| choice.trace.facts.iter().any(|read| read.fact.name.as_str() == "zone");
    // Eight in the morning in Tokyo.
    let night = At::parse("2026-11-23T23:00:00Z").unwrap();
    for (is_stated, send_at) in [(true, None), (false, At::parse("2026-11-24T08:00:00Z"))] {
        somebody.contact.zone = Some(promise::Zone { name: "Asia/Tokyo".into(), is_stated });
        let choice = Case { now: night, ..Case::default() }.decide(&somebody).unwrap();
        assert_eq!((choice.send_at, is_read(&choice)), (send_at, true));
    }
    let page = Case { now: night, channel: ChannelKind::Page, ..Case::default() }.decide(&somebody).unwrap();
    assert!(!is_read(&page), "a page needs no zone");
}

#[test]
fn whoever_is_left_alone_gets_no_offer_and_a_true_sentence() {
    let choice = Case { person: person(true), ..Case::default() }.decide(&somebody()).unwrap();
    assert!(choice.held_out && choice.offer.is_none() && choice.item.is_none() && choice.send_at.is_none());
    assert!(choice.trace.why().unwrap().contains("drawn by lot"));
    let last = choice.trace.steps.last().unwrap();
    assert_eq!((last.rule.as_str(), last.reason), ("hold_out", Some(RefusalReason::HeldOut)));
}

#[test]
fn whoever_would_not_be_written_to_is_in_neither_arm() {
    let mut somebody = somebody();
    somebody.facts.remove("email");
    for held_out in [true, false] {
        assert!(Case { person: person(held_out), ..Case::default() }.decide(&somebody).is_err());
    }
}

#[test]
fn one_in_ten_is_left_alone_and_another_campaign_draws_others() {
    let (one, other) = (CampaignName::parse("win_back").unwrap(), CampaignName::parse("spring").unwrap());
    let ids = (0u32..10_000).map(|n| {
        let mut bytes = [7; 16];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        ProfileId::from_bytes(bytes)
    });
    let (mut n_one, mut n_both) = (0, 0);
    for id in ids {
        let held_out = is_held_out(&one, &id, 100);
        n_one += u32::from(held_out);
        n_both += u32::from(held_out && is_held_out(&other, &id, 100));
        assert!(!is_held_out(&one, &id, 0) && is_held_out(&one, &id, 1_000));
    }
    assert!((900..1_100).contains(&n_one), "{n_one}");
    assert!((50..150).contains(&n_both), "{n_both}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    /// 1,000 decisions: the same again from the same person; from its trace alone; moving with each fact it names;
    /// silent about everything else.
    #[test]
    fn d02_a_thousand_whys_are_made_of_their_traces(
        orders in 3i64..9_999, days in 0i32..200, kettle in 0u32..120, taste in prop::option::of(0usize..3), page: bool,
    ) {
        let tastes = ["garden", "kitchen", "games"];
        let mut somebody = somebody();
        somebody.facts.extend([worked_out("orders_all", Value::Number(orders))]);
        somebody.facts.extend(taste.map(|taste| field("favourite_group", tastes[taste])));
        let channel = if page { ChannelKind::Page } else { ChannelKind::Email };
        let now = noon().plus_days(days);
        let n_kettle = if kettle < 50 { 0 } else { kettle };
        let case = Case { channel, now, n_kettle, ..Case::default() };
        let choice = case.decide(&somebody).unwrap();
        prop_assert_eq!(&case.decide(&somebody).unwrap(), &choice);
        let why = choice.trace.why().unwrap();
        let shown = vault::trace::in_words(&Value::Number(orders)).unwrap();
        prop_assert!(why.contains(&shown));
        let mut other = choice.trace.clone();
        for read in &mut other.facts {
            if read.fact.name.as_str() == "orders_all" {
                read.fact.value = Value::Number(orders + 1);
            }
        }
        prop_assert_ne!(other.why().unwrap(), why.clone());
        for hidden in ["987,654", "XL", "somebody@"] {
            prop_assert!(!why.contains(hidden) && !choice.trace.says().unwrap().contains(hidden));
        }
        match choice.trace.basis {
            ItemBasis::Purchase => prop_assert!(choice.trace.shared_by >= 50 && why.contains("you bought kettle")),
            ItemBasis::Stated => prop_assert!(why.contains(tastes[taste.unwrap()])),
            _ => prop_assert!(!why.contains("kettle")),
        }
        prop_assert!(choice.offer.is_some());
    }
}
