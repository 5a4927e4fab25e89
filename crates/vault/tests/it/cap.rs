//! One cap over everything, also when everything happens at once.

use crate::fixture::{ENGINES, House, event, field};
use crate::sending::decision;
use model::{Fact, Provenance, SourceName, Value};
use std::sync::Barrier;
use vault::{AttemptEnd, EngineKind, FactWrite, Intake, NotBegun};

/// Five campaigns like the first, beside it.
pub fn five_campaigns() -> String {
    let one = "[campaign.win_back]";
    let begins = promise::fixture::SHOP.find(one).unwrap();
    let rest = &promise::fixture::SHOP[begins..];
    let ends = rest[1..].find("\n[").unwrap() + 1;
    let body = &rest[one.len()..ends];
    let others: String = (2..=5).map(|n| format!("\n[campaign.win_back_{n}]{body}")).collect();
    format!("{}{}", promise::fixture::SHOP, others)
}

#[test]
fn c16_five_campaigns_in_parallel_never_break_one_persons_cap() {
    for engine in ENGINES {
        let house = House::with(engine, &five_campaigns());
        let person = house.customer("ada", 3, 100);
        let campaigns: Vec<_> = house.promise.campaigns.keys().cloned().collect();
        assert_eq!(campaigns.len(), 5);
        let together = Barrier::new(campaigns.len());
        let house = &house;
        let n_sent: usize = std::thread::scope(|scope| {
            let send = |(n, campaign): (usize, &model::CampaignName)| {
                let mut new = decision(house, person, u32::try_from(n).unwrap());
                new.campaign = campaign.clone();
                new.artefact = house.artefact(promise::ArtefactKind::Campaign, campaign.as_str());
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    let decided = house.vault.decide(new).unwrap().wait().unwrap();
                    together.wait();
                    let id = decided.unwrap();
                    let due = house.vault.snapshot().outbox_due(10).unwrap();
                    let Some(entry) = due.into_iter().find(|entry| entry.decision == id) else { return 0 };
                    let Ok(attempt) = house.vault.begin_attempt(entry.message).unwrap().wait().unwrap() else {
                        return 0;
                    };
                    if house.vault.look(attempt.person, attempt.consent_seq).is_err() {
                        return 0;
                    }
                    house.vault.finish_attempt(attempt, AttemptEnd::Sent).unwrap().wait().unwrap();
                    1
                })
            };
            let threads: Vec<_> = campaigns.iter().enumerate().map(send).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(n_sent, 2, "{engine:?}: two in a week, over all campaigns together");
        let waiting = house.vault.snapshot().outbox_counts().unwrap();
        assert!(waiting.contains(&("waiting", 3)), "the others wait for room: {waiting:?}");
        house.clock.advance_days(7);
        assert_eq!(house.vault.snapshot().outbox_due(10).unwrap().len(), 3, "there is room again a week later");
    }
}

/// Four messages to one person, all due, of whom the cap lets two through.
fn four_messages(house: &House) {
    let person = house.customer("ada", 3, 100);
    for n in 0..4 {
        let mut new = decision(house, person, n);
        let name = if n == 0 { "win_back".to_owned() } else { format!("win_back_{}", n + 1) };
        new.campaign = model::CampaignName::parse(&name).unwrap();
        new.artefact = house.artefact(promise::ArtefactKind::Campaign, &name);
        house.vault.decide(new).unwrap().wait().unwrap().unwrap();
    }
}

#[test]
fn c16_a_try_that_may_have_arrived_keeps_its_room() {
    for engine in ENGINES {
        let house = House::with(engine, &five_campaigns());
        four_messages(&house);
        let due = house.vault.snapshot().outbox_due(10).unwrap();
        let first = house.vault.begin_attempt(due[0].message).unwrap().wait().unwrap().unwrap();
        house.vault.finish_attempt(first, AttemptEnd::Unknown).unwrap().wait().unwrap();
        // Of the second nobody says how it ended, and the process is gone.
        house.vault.begin_attempt(due[1].message).unwrap().wait().unwrap().unwrap();
        let house = house.reopened();
        house.clock.advance_ms(10 * 60 * 1_000);
        let begin = |n: usize| house.vault.begin_attempt(due[n].message).unwrap().wait().unwrap();
        let again = house.vault.snapshot().outbox_due(10).unwrap();
        let left_open: Vec<_> = again.iter().filter(|entry| entry.is_left_open).map(|entry| entry.message).collect();
        assert_eq!(left_open, [due[1].message], "{engine:?}");
        assert_eq!(begin(1), Err(NotBegun::Unknown), "{engine:?}: never a second copy");
        assert_eq!(begin(1).unwrap_err().as_str(), "nothing_fits", "{engine:?}: its one end");
        for n in [2, 3] {
            assert_eq!(begin(n).unwrap_err().as_str(), "cap_reached", "{engine:?}: two may have arrived");
        }
        house.clock.advance_days(7);
        begin(2).unwrap();
    }
}

#[test]
fn a_zone_that_came_along_is_a_guess_and_never_beats_what_the_person_stated() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let zone = || {
        let snapshot = house.vault.snapshot();
        let contact = snapshot.permit(person, house.campaign()).unwrap();
        contact.contact().reveal().zone.as_ref().map(|zone| (zone.name.clone(), zone.is_stated))
    };
    let came_along = |name: &str, key: &str| {
        let fields = vec![(model::FieldName::parse("zone").unwrap(), Value::Text(name.to_owned()))];
        let kind = model::EventKind::Identify;
        house.take(Intake { kind, name: event("Identify"), fields, ..house.order("ada", house.now(), key) });
        house.clock.advance_ms(1);
    };
    assert_eq!(zone(), None);
    came_along("America/New_York", "1");
    came_along("somewhere", "2");
    assert_eq!(zone(), Some(("America/New_York".to_owned(), false)));
    came_along("Europe/Paris", "3");
    assert_eq!(zone(), Some(("Europe/Paris".to_owned(), false)));
    let fact = Fact {
        name: field("zone"),
        value: Value::Text("Asia/Tokyo".into()),
        class: model::Class::Plain,
        context: model::Context::Shopping,
        provenance: Provenance::Provided { source: SourceName::parse("portal").unwrap() },
        as_of: house.now(),
        told_at: Some(house.now()),
        told_how: model::Awareness::AtTheMoment,
        purposes: Vec::new(),
        notice_version: 1,
        expires_at: house.now(),
    };
    let write = FactWrite { person, artefact: house.portal(), fact: Some(fact), remove: None, inputs_expire_at: None };
    house.vault.write_facts(vec![write]).unwrap().wait().unwrap()[0].clone().unwrap();
    house.clock.advance_ms(1);
    came_along("Europe/Paris", "4");
    assert_eq!(zone(), Some(("Asia/Tokyo".to_owned(), true)));
}

#[test]
fn c16_a_try_that_did_not_send_gives_its_room_back() {
    let house = House::with(EngineKind::Memory, &five_campaigns());
    four_messages(&house);
    let due = house.vault.snapshot().outbox_due(10).unwrap();
    let begin = |n: usize| house.vault.begin_attempt(due[n].message).unwrap().wait().unwrap();
    let (first, second) = (begin(0).unwrap(), begin(1).unwrap());
    assert!(begin(2).is_err(), "two are on their way");
    house.vault.finish_attempt(first, AttemptEnd::Failed { why: "message_refused" }).unwrap().wait().unwrap();
    house.vault.finish_attempt(second, AttemptEnd::Sent).unwrap().wait().unwrap();
    begin(3).unwrap();
}
