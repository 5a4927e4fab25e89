//! The verdict about a set is the verdict about everybody in it, whatever happened before.

use crate::fixture::{House, browser, event, purpose, user};
use model::{ConsentStatus, Day, ProfileId, SegmentName, TraitName};
use promise::{ArtefactKind, Fate, RefusalReason};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::collections::BTreeSet;
use vault::{EngineKind, Erasure, HoldOrder, LeavingChoice, Reduction, Subject, WhenLeaving};

#[derive(Debug, Clone)]
enum Act {
    Order(u8, i32),
    Answer(u8, &'static str, ConsentStatus, u32),
    Device(u8, ConsentStatus),
    Less(u8),
    LeaveMeAlone(u8),
    Erase(u8),
    Visit(u8),
    Choose(u8, Fate, WhenLeaving),
    Hold(u8, bool, i32),
    Days(i32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let who = 0u8..6;
    let status = prop_oneof![
        Just(ConsentStatus::Given),
        Just(ConsentStatus::Refused),
        Just(ConsentStatus::Withdrawn),
        Just(ConsentStatus::Expired),
    ];
    let purposes = prop_oneof![Just("offers"), Just("measuring"), Just("orders")];
    let act = prop_oneof![
        4 => (who.clone(), 0i32..1_200).prop_map(|(who, days)| Act::Order(who, days)),
        4 => (who.clone(), purposes, status.clone(), 0u32..3).prop_map(|(who, p, s, n)| Act::Answer(who, p, s, n)),
        1 => (who.clone(), status).prop_map(|(who, status)| Act::Device(who, status)),
        1 => who.clone().prop_map(Act::Less),
        1 => who.clone().prop_map(Act::LeaveMeAlone),
        1 => who.clone().prop_map(Act::Erase),
        1 => who.clone().prop_map(Act::Visit),
        1 => (who.clone(), 0u8..3, any::<bool>()).prop_map(|(who, fate, now)| {
            let fate = [Fate::Forget, Fate::Minimum, Fate::Until(Day::from_number(21_300))][usize::from(fate)];
            Act::Choose(who, fate, if now { WhenLeaving::Now } else { WhenLeaving::IfSilent })
        }),
        1 => (who, any::<bool>(), 1i32..300).prop_map(|(who, all, days)| Act::Hold(who, all, days)),
        1 => (1i32..200).prop_map(Act::Days),
    ];
    prop::collection::vec(act, 1..40)
}

/// The shop's promise with silences that the days of a history can reach.
fn short() -> String {
    let text = promise::fixture::SHOP.replace("inactive = \"3 years\"", "inactive = \"500 days\"");
    text.replace("full = [\"group\", \"item\"] }", "full = [\"group\", \"item\"] }\nlapses_after = \"150 days\"")
}

fn name(who: u8) -> String {
    format!("person-{who}")
}

fn run(house: &House, act: &Act, n: usize, everybody: &mut Vec<ProfileId>) {
    let id = |who: &u8| house.find(&name(*who));
    match act {
        Act::Order(who, days_ago) => {
            house.take(house.order(&name(*who), house.now().plus_days(-days_ago), &format!("k{n}")));
            everybody.extend(id(who));
        }
        Act::Answer(who, about, status, notice) => {
            let subject = Subject::Identifiers { user: Some(user(&name(*who))), anonymous: None };
            let change = vault::ConsentChange { notice_version: *notice, ..house.answer(subject, about, *status) };
            everybody.extend(house.vault.consent(change).unwrap().wait().unwrap().profile);
        }
        Act::Device(who, status) => {
            everybody.extend(house.consent(browser(&name(*who)), "measuring", *status).profile);
        }
        Act::Less(who) => {
            if let Some(id) = id(who) {
                house.vault.reduce(id, Reduction::Less).unwrap().wait().unwrap();
            }
        }
        Act::LeaveMeAlone(who) => {
            if let Some(id) = id(who) {
                house.vault.reduce(id, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
            }
        }
        Act::Erase(who) => {
            if let Some(id) = id(who) {
                house.vault.erase(id, Erasure::Now).unwrap().wait().unwrap();
            }
        }
        Act::Visit(who) => {
            if let Some(id) = id(who) {
                house.vault.visited(id).unwrap().wait().unwrap();
            }
        }
        Act::Choose(who, fate, when) => {
            if let Some(person) = id(who) {
                let choice = LeavingChoice { person, fate: *fate, when: *when };
                let _ = house.vault.choose_after_leaving(choice).unwrap().wait().unwrap();
            }
        }
        Act::Hold(who, all, days) => {
            if let Some(person) = id(who) {
                let names = if *all { BTreeSet::new() } else { BTreeSet::from(["Order Completed".to_owned()]) };
                let until = house.now().day().plus(*days);
                let order = HoldOrder { person, names, reason: "r".into(), staff: "Ada".into(), until };
                let _ = house.vault.hold(order).unwrap().wait().unwrap();
            }
        }
        Act::Days(days) => house.clock.advance_days(*days),
    }
}

fn check(house: &House, everybody: &[ProfileId]) -> Result<(), TestCaseError> {
    let snapshot = house.vault.snapshot();
    let lapsed = SegmentName::parse("lapsed").unwrap();
    for artefact in house.promise.artefacts().values() {
        let set = snapshot.permit_set(artefact.id).unwrap();
        let mut n_yes = 0;
        for person in everybody {
            let alone = snapshot.permit(*person, artefact.id);
            prop_assert_eq!(set.contains(*person), alone.is_ok(), "{:?} {}", artefact.kind, artefact.name);
            n_yes += usize::from(alone.is_ok());
        }
        prop_assert_eq!(set.people().count(), n_yes, "nobody else is in the set");
        if artefact.kind == ArtefactKind::Campaign {
            let set = set.within(&lapsed).unwrap();
            for person in everybody {
                let alone = snapshot.permit(*person, artefact.id).and_then(|permit| permit.is_member(&lapsed));
                prop_assert_eq!(set.contains(*person), alone == Ok(true));
            }
        }
    }
    let columns = TraitName::parse("orders_all").unwrap();
    let segment = snapshot.permit_set(house.artefact(ArtefactKind::Segment, "lapsed")).unwrap();
    let values = segment.column(&columns).unwrap();
    for (person, value) in segment.people().zip(values) {
        let permit = snapshot.permit(person, house.artefact(ArtefactKind::Segment, "lapsed")).unwrap();
        let alone = permit.fact(&crate::fixture::computed("orders_all")).ok().flatten();
        let alone = alone.map(|fact| match fact.reveal().value {
            model::Value::Number(number) => number,
            _ => i64::MIN,
        });
        prop_assert_eq!(alone, value, "a column says what a fact says");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_set_verdict_is_the_verdict_for_everybody(acts in acts()) {
        let house = House::with(EngineKind::Memory, &short());
        let mut everybody = Vec::new();
        for (n, act) in acts.iter().enumerate() {
            run(&house, act, n, &mut everybody);
        }
        everybody.sort_unstable();
        everybody.dedup();
        check(&house, &everybody)?;
        // What memory says after a batch is what it says when it is built anew.
        house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
        check(&house, &everybody)?;
    }
}

#[test]
fn what_memory_says_is_what_a_reopened_store_says() {
    for engine in [vault::EngineKind::Fjall, vault::EngineKind::Redb] {
        let mut house = House::with(engine, &short());
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut everybody = Vec::new();
        for round in 0..3 {
            let acts = acts().new_tree(&mut runner).unwrap().current();
            for (n, act) in acts.iter().enumerate() {
                run(&house, act, round * 100 + n, &mut everybody);
            }
            everybody.sort_unstable();
            everybody.dedup();
            let say = |house: &House| {
                let snapshot = house.vault.snapshot();
                let verdicts = |artefact: &promise::Artefact| {
                    let set = snapshot.permit_set(artefact.id).unwrap();
                    everybody.iter().map(|person| set.contains(*person)).collect::<Vec<_>>()
                };
                house.promise.artefacts().values().map(verdicts).collect::<Vec<_>>()
            };
            let before = say(&house);
            house = house.reopened();
            assert_eq!(say(&house), before);
            check(&house, &everybody).unwrap();
        }
    }
}

#[test]
fn b03_three_counts_name_each_drop_off_and_nothing_below_fifty_is_told() {
    let house = House::memory();
    for n in 0..60 {
        house.customer(&format!("yes-{n}"), 3, 100);
    }
    for n in 0..55 {
        let name = format!("silent-{n}");
        for order in 0..3 {
            let at = house.now().plus_days(-100 - order);
            house.take(house.order(&name, at, &format!("{name}-{order}")));
        }
    }
    let count = house.vault.snapshot().segment_count(&SegmentName::parse("lapsed").unwrap()).unwrap();
    assert_eq!((count.matching, count.tellable, count.hearing), (Some(115), Some(60), Some(60)));
    assert_eq!(count.dropped, [(RefusalReason::NeverAsked, Some(55))]);
    for n in 0..11 {
        let person = house.find(&format!("yes-{n}")).unwrap();
        house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    }
    let count = house.vault.snapshot().segment_count(&SegmentName::parse("lapsed").unwrap()).unwrap();
    assert_eq!((count.matching, count.tellable, count.hearing), (Some(115), None, None));
    assert_eq!(count.dropped, [(RefusalReason::NeverAsked, Some(55)), (RefusalReason::Withdrawn, None)]);
    let set = house.vault.snapshot();
    let set = set.permit_set(house.campaign()).unwrap();
    assert_eq!(set.at_least_the_smallest_group().unwrap_err().reason, RefusalReason::GroupTooSmall);
}

#[test]
fn training_rows_come_without_those_who_share_groups_only() {
    let house = House::memory();
    let full = house.customer("full", 2, 10);
    let little = house.customer("little", 2, 10);
    let change = house.answer(Subject::Profile(little), "offers", ConsentStatus::Given);
    let change = vault::ConsentChange { level: Some("little".into()), ..change };
    house.vault.consent(change).unwrap().wait().unwrap();
    let snapshot = house.vault.snapshot();
    let set = snapshot.permit_set(house.artefact(ArtefactKind::Model, "items")).unwrap();
    let baskets = set.baskets(10).unwrap();
    let items = |person| baskets.iter().find(|(known, _)| *known == person).map(|(_, items)| items.len());
    assert_eq!((items(full), items(little)), (Some(1), Some(0)));
    let desk = snapshot.permit_set(house.artefact(ArtefactKind::Segment, "lapsed")).unwrap();
    assert_eq!(desk.baskets(10).unwrap_err().reason, RefusalReason::NotInTerms);
    drop(set);
    // The set-wise read stands in the profile of everybody who was in it.
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(full, house.portal()).unwrap();
    let uses = permit.uses().unwrap();
    assert!(uses.iter().any(|count| count.reveal().artefact == "items" && count.reveal().n == 1));
    assert!(
        house.promise.events.contains_key(&event("Order Completed"))
            && house.promise.purposes.contains_key(&purpose("offers"))
    );
}
