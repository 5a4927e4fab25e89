//! Who read what: the person's own page shows what was read of them, by whom and for what, and nothing else; and what is
//! out of the ordinary becomes an alarm.

use crate::fixture::{House, computed, event, field};
use crate::sending::{decide, decision};
use model::chance::Seeded;
use model::{ConsentStatus, Day, ProfileId, Rng, SegmentName, TraitName};
use promise::{Artefact, ArtefactKind};
use std::collections::{BTreeMap, BTreeSet};
use vault::{AlarmKind, EngineKind, Identifier, IdentifierKind, Permit, PermitSet, StaffAct, Subject};

const PEOPLE: usize = 6;
const READS: u64 = 60;
/// Of the people, so many said yes.
const YES: usize = 4;

/// What was read, by our own slow book-keeping.
#[derive(Default)]
struct Book {
    /// Person, day, artefact: how often.
    uses: BTreeMap<(ProfileId, Day, String), u32>,
    /// Person, fact, artefact: how often.
    facts: BTreeMap<(ProfileId, String, String), u32>,
}

impl Book {
    fn write(&mut self, person: ProfileId, day: Day, artefact: &str, facts: &[String]) {
        *self.uses.entry((person, day, artefact.to_owned())).or_default() += 1;
        for fact in facts {
            *self.facts.entry((person, fact.clone(), artefact.to_owned())).or_default() += 1;
        }
    }
}

fn flush(house: &House) {
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
}

/// Some reads through a permit, of things that are there, are not there, or may not be read. What came back, each by name;
/// `None` in place of nothing at all.
fn reads_some(permit: &Permit<'_>, rng: &dyn Rng) -> Option<Vec<String>> {
    let mut is_read = false;
    let mut facts = Vec::new();
    for _ in 0..=rng.below(3) {
        match rng.below(8) {
            0 | 1 => {
                let names = ["email", "zone", "shirt_size", "favourite_group"];
                let name = names[usize::try_from(rng.below(4)).unwrap()];
                if let Ok(Some(_)) = permit.fact(&field(name)) {
                    facts.push(name.to_owned());
                }
            }
            2 | 3 => {
                let name = ["orders_all", "orders_90d", "spent_all"][usize::try_from(rng.below(3)).unwrap()];
                if let Ok(Some(_)) = permit.fact(&computed(name)) {
                    facts.push(name.to_owned());
                }
            }
            4 => is_read |= permit.events(&event("Order Completed"), 9).is_ok_and(|events| !events.is_empty()),
            5 => is_read |= permit.events(&event("Page Viewed"), 9).is_ok_and(|events| !events.is_empty()),
            6 => is_read |= permit.is_member(&SegmentName::parse("lapsed").unwrap()).is_ok(),
            _ => {
                let _ = permit.contact();
                is_read = true;
            }
        }
    }
    (is_read || !facts.is_empty()).then_some(facts)
}

/// Some set-wise reads: of whom anything was read, and which facts.
fn reads_many(set: &PermitSet<'_>, people: &[ProfileId], rng: &dyn Rng) -> BTreeMap<ProfileId, BTreeSet<String>> {
    let mut read: BTreeMap<ProfileId, BTreeSet<String>> = BTreeMap::new();
    for _ in 0..=rng.below(2) {
        match rng.below(4) {
            0 => {
                let n = usize::try_from(rng.below(4)).unwrap();
                for person in set.people().take(n) {
                    read.entry(person).or_default();
                }
            }
            1 => {
                let person = people[usize::try_from(rng.below(people.len() as u64)).unwrap()];
                if set.contains(person) {
                    read.entry(person).or_default();
                }
            }
            2 => {
                for (person, basket) in set.baskets(5).unwrap_or_default() {
                    let _ = basket;
                    read.entry(person).or_default();
                }
            }
            _ => {
                let name = ["orders_all", "orders_90d"][usize::try_from(rng.below(2)).unwrap()];
                let column = set.column(&TraitName::parse(name).unwrap());
                // The only order that says whose value it is; everybody who said yes is in the set.
                for (person, value) in people.iter().take(YES).zip(column.unwrap_or_default()) {
                    if value.is_some() {
                        read.entry(*person).or_default().insert(name.to_owned());
                    }
                }
            }
        }
    }
    read
}

#[test]
fn c04_the_persons_page_shows_what_was_read_and_nothing_else() {
    for seed in 0..12 {
        let engine = if seed == 0 { EngineKind::Redb } else { EngineKind::Memory };
        // Whoever shares little shares no count of orders.
        let text =
            promise::fixture::SHOP.replace(r#"full = ["group", "item"]"#, r#"full = ["group", "item", "orders_90d"]"#);
        let house = House::with(engine, &text);
        let seeded = Seeded::new(seed);
        let rng: &dyn Rng = &seeded;
        let people: Vec<ProfileId> = (0..PEOPLE).map(|n| customer(&house, n)).collect();
        // One of those who said yes shares little: in the set, and no column says anything about them.
        let little = house.answer(Subject::Profile(people[0]), "offers", ConsentStatus::Given);
        let little = vault::ConsentChange { level: Some("little".into()), ..little };
        house.vault.consent(little).unwrap().wait().unwrap();
        let artefacts = [
            (ArtefactKind::Campaign, "win_back"),
            (ArtefactKind::Model, Artefact::ITEMS),
            (ArtefactKind::Segment, "lapsed"),
            (ArtefactKind::Page, Artefact::DESK),
        ];
        let mut book = Book::default();
        for _ in 0..READS {
            let (kind, name) = artefacts[usize::try_from(rng.below(4)).unwrap()];
            let (artefact, snapshot) = (house.artefact(kind, name), house.vault.snapshot());
            let today = snapshot.now().day();
            if rng.below(4) == 0 && kind != ArtefactKind::Page {
                let set = snapshot.permit_set(artefact).unwrap();
                for (person, facts) in reads_many(&set, &people, rng) {
                    book.write(person, today, name, &facts.into_iter().collect::<Vec<_>>());
                }
            } else {
                let person = people[usize::try_from(rng.below(PEOPLE as u64)).unwrap()];
                let Ok(permit) = snapshot.permit(person, artefact) else { continue };
                if let Some(facts) = reads_some(&permit, rng) {
                    book.write(person, today, name, &facts);
                }
            }
            match rng.below(12) {
                0 => house.clock.advance_days(1),
                1 => house.clock.advance_ms(50 * 60_000),
                2 => flush(&house),
                _ => {}
            }
        }
        flush(&house);
        let house = house.reopened();
        compare(&house, &people, &book, seed);
    }
}

/// A customer; those beyond the first few never said yes.
fn customer(house: &House, n: usize) -> ProfileId {
    let name = format!("person-{n}");
    if n < YES {
        return house.customer(&name, 3, 100);
    }
    house.take(house.order(&name, house.now().plus_days(-5), &name));
    house.find(&name).unwrap()
}

fn compare(house: &House, people: &[ProfileId], book: &Book, seed: u64) {
    let snapshot = house.vault.snapshot();
    assert!(book.uses.len() > PEOPLE, "seed {seed}: the test reads something");
    let mut shown = Book::default();
    for person in people {
        let permit = snapshot.permit(*person, house.portal()).unwrap();
        for used in permit.uses().unwrap() {
            let used = used.reveal();
            *shown.uses.entry((*person, used.day, used.artefact.clone())).or_default() += used.n;
        }
        for view in permit.facts() {
            let view = view.reveal();
            for (artefact, n) in &view.read_by {
                *shown.facts.entry((*person, view.fact.name.as_str().to_owned(), artefact.clone())).or_default() += n;
            }
        }
    }
    assert_eq!(shown.uses, book.uses, "seed {seed}: uses");
    assert_eq!(shown.facts, book.facts, "seed {seed}: facts");
}

#[test]
fn c04_a_read_that_leads_to_nothing_leaves_its_record() {
    let house = House::memory();
    let person = house.customer("ada", 1, 100);
    {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        permit.fact(&field("email")).unwrap().unwrap();
        // … and then the campaign declines.
    }
    flush(&house);
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let used: Vec<(String, u32)> =
        permit.uses().unwrap().iter().map(|used| (used.reveal().artefact.clone(), used.reveal().n)).collect();
    assert_eq!(used, [("win_back".to_owned(), 1)]);
}

#[test]
fn c04_the_lift_report_is_written_down_as_a_read_of_those_it_counted() {
    let house = House::memory();
    let (ada, bob) = (house.customer("ada", 3, 100), house.customer("bob", 3, 100));
    decide(&house, decision(&house, ada, 1)).unwrap();
    let n_uses = |person: ProfileId| -> u32 {
        flush(&house);
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        permit.uses().unwrap().iter().map(|used| used.reveal().n).sum()
    };
    assert_eq!((n_uses(ada), n_uses(bob)), (1, 0), "what the decision read");
    house.vault.snapshot().campaign_numbers(house.campaign()).unwrap();
    assert_eq!((n_uses(ada), n_uses(bob)), (2, 0));
}

#[test]
fn c04_a_first_read_is_an_alarm_until_somebody_says_what_they_found() {
    for engine in crate::fixture::ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 1, 100);
        let read = |house: &House, name: &str| {
            let snapshot = house.vault.snapshot();
            drop(snapshot.permit(person, house.campaign()).unwrap().fact(&field(name)).unwrap());
            flush(house);
        };
        read(&house, "email");
        assert_eq!(house.vault.n_alarms_open(), 0, "{engine:?}: on its first day it learns");
        house.clock.advance_days(2);
        read(&house, "email");
        assert_eq!(house.vault.n_alarms_open(), 0, "{engine:?}: what it is used to");
        // It is not there, and still nobody ever asked for it.
        read(&house, "shirt_size");
        read(&house, "favourite_group");
        let house = house.reopened();
        let alarms = house.vault.snapshot().alarms(9).unwrap();
        let [alarm] = &alarms[..] else { panic!("{engine:?}: one alarm, not {alarms:?}") };
        assert_eq!((alarm.kind, alarm.who.as_str()), (AlarmKind::FirstRead, "campaign win_back"));
        assert_eq!(alarm.fields, ["shirt_size", "favourite_group"]);
        assert!(house.vault.acknowledge(alarm.id, "Grace", "a new offer").unwrap().wait().unwrap());
        assert!(!house.vault.acknowledge(alarm.id, "Grace", "again").unwrap().wait().unwrap());
        assert_eq!(house.vault.n_alarms_open(), 0);
        read(&house, "favourite_group");
        assert_eq!(house.vault.n_alarms_open(), 0, "{engine:?}: it is known now");
        let kinds: Vec<String> = house.vault.snapshot().log_entries(9).unwrap().into_iter().map(|e| e.kind).collect();
        assert_eq!(kinds.iter().filter(|kind| *kind == "alarm").count(), 1);
        assert_eq!(kinds.iter().filter(|kind| *kind == "acknowledge").count(), 1);
    }
}

#[test]
fn c04_staff_who_open_more_than_twenty_people_in_a_day_raise_an_alarm_also_across_a_restart() {
    let house = House::over(EngineKind::Redb);
    let people: Vec<ProfileId> = (0..22).map(|n| customer(&house, YES + n)).collect();
    let open = |house: &House, person: ProfileId, act: &'static str| {
        let (staff, reason) = ("Mallory".to_owned(), "asked by phone".to_owned());
        let act = StaffAct { staff, act, person: Some(person), reason, at: house.now() };
        house.vault.staff_act(act).unwrap().wait().unwrap();
    };
    people.iter().for_each(|person| open(&house, *person, StaffAct::HANDED_OFF));
    people[..12].iter().for_each(|person| open(&house, *person, "opened_person"));
    let house = house.reopened();
    people[..20].iter().for_each(|person| open(&house, *person, "opened_person"));
    assert_eq!(house.vault.n_alarms_open(), 0, "twenty people, however often");
    open(&house, people[20], "exported_person");
    let alarms = house.vault.snapshot().alarms(9).unwrap();
    assert_eq!((alarms.len(), alarms[0].kind, alarms[0].n), (1, AlarmKind::ManyOpened, 21));
    open(&house, people[21], "opened_person");
    assert_eq!(house.vault.snapshot().alarms(9).unwrap().len(), 1, "the same member of staff on the same day");
}

#[test]
fn nobody_is_named_by_an_identifier_that_was_only_looked_for() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let identifier = Identifier { kind: IdentifierKind::User, value: "ada".into() };
    assert_eq!(house.vault.snapshot().find(&identifier), Some(person));
    flush(&house);
    let snapshot = house.vault.snapshot();
    assert!(snapshot.permit(person, house.portal()).unwrap().uses().unwrap().is_empty());
}
