//! After a theft: who is concerned, what is kept about them, whether it can be read.

use crate::fixture::{House, field};
use model::{ConsentStatus, ProfileId};
use promise::{ArtefactKind, RefusalReason};
use std::collections::BTreeSet;
use vault::breach::{Breach, Concerned, Theft};
use vault::{EngineKind, Erasure, Reduction, Subject};

fn answer(house: &House, theft: &Theft) -> (Breach, Vec<Concerned>) {
    let mut concerned = Vec::new();
    let breach = house.vault.snapshot().breach(theft, &mut |one| concerned.push(*one)).unwrap().unwrap();
    (breach, concerned)
}

fn of(people: &[ProfileId]) -> Theft {
    Theft { people: people.iter().copied().collect(), has_keys: true, ..Theft::default() }
}

#[test]
fn c22_people_categories_and_counts_are_those_that_are_kept() {
    let house = House::memory();
    let (ada, bob) = (house.customer("ada", 3, 10), house.customer("bob", 1, 10));
    let gone = house.customer("gone", 1, 10);
    house.vault.erase(gone, Erasure::Now).unwrap().wait().unwrap();
    let (breach, concerned) = answer(&house, &of(&[ada, gone]));
    assert_eq!((breach.n_people, breach.n_readable, breach.n_to_tell, breach.n_unknown), (1, 1, 1, 1));
    assert!(concerned[0].person == ada && concerned[0].has_to_be_told());
    let n = |kind: &'static str, name: &str| {
        let found = breach.categories.iter().find(|(category, _)| category.kind == kind && category.name == name);
        found.map_or(0, |(_, count)| count.n_records)
    };
    assert_eq!((n("event", "Order Completed"), n("fact", "email"), n("answer", "answers")), (3, 1, 1));
    assert_eq!(n("trait", "orders_all"), 1);
    let total: u64 = breach.categories.values().map(|count| count.n_records).sum();
    assert_eq!(total, concerned[0].n_records);
    // Everybody: the sum of each alone. Whoever took everything back, or wants to be left alone, is concerned all the same.
    house.consent(Subject::Profile(bob), "offers", ConsentStatus::Withdrawn);
    house.vault.reduce(bob, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    let all = answer(&house, &Theft { everybody: true, ..Theft::default() });
    assert_eq!((all.0.n_people, all.0.n_readable, all.0.n_to_tell), (2, 0, 0), "without keys it is unintelligible");
    let people: BTreeSet<ProfileId> = all.1.iter().map(|one| one.person).collect();
    assert_eq!(people, BTreeSet::from([ada, bob]));
}

#[test]
fn c22_a_key_version_opens_the_rows_it_wraps_and_a_destroyed_one_is_taken_for_everybody() {
    let house = House::over(EngineKind::Redb);
    let person = house.customer("ada", 1, 10);
    let taken = |version: u32| Theft { versions: BTreeSet::from([version]), ..Theft::default() };
    let (breach, concerned) = answer(&house, &taken(1));
    assert_eq!((breach.versions_alive.as_slice(), breach.versions_destroyed.as_slice()), (&[1][..], &[][..]));
    assert!(concerned.iter().any(|one| one.person == person && one.is_readable));
    house.vault.rotate().unwrap().wait().unwrap();
    let (breach, _) = answer(&house, &taken(2));
    assert_eq!((breach.n_people, breach.versions_alive.as_slice()), (1, &[2][..]));
    let (breach, concerned) = answer(&house, &taken(1));
    assert_eq!((breach.n_people, breach.versions_destroyed.as_slice()), (1, &[1][..]));
    assert!(concerned[0].is_readable, "a copy of the old row is opened by it");
    let (breach, _) = answer(&house, &taken(3));
    assert_eq!((breach.n_people, breach.versions_unknown.as_slice()), (0, &[3][..]), "there was no such version");
    assert_eq!(answer(&house, &Theft::default()).0.n_people, 0);
}

#[test]
fn c22_the_persons_page_shows_that_they_were_counted_and_that_their_address_was_read() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    answer(&house, &of(&[person]));
    let notice = house.artefact(ArtefactKind::Page, "breach_notice");
    {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, notice).expect("also somebody who wants to be left alone is told");
        assert!(permit.fact(&field("email")).unwrap().is_some());
        assert_eq!(permit.fact(&field("zone")).unwrap_err().reason, RefusalReason::NotInTerms);
        assert!(permit.ledger().is_err() && permit.decisions(1).is_err());
    }
    house.vault.record_breach("people 1").unwrap().wait().unwrap();
    let snapshot = house.vault.snapshot();
    assert_eq!(snapshot.log_entries(1).unwrap()[0].kind, "breach");
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let uses = permit.uses().unwrap();
    let n: u32 = uses.iter().filter(|used| used.reveal().artefact == "breach_notice").map(|used| used.reveal().n).sum();
    assert_eq!(n, 2, "counted once, and the address once");
}

#[test]
fn c22_a_file_names_the_people_whose_ids_stand_in_it_also_across_two_reads() {
    let house = House::memory();
    let (ada, bob) = (house.customer("ada", 1, 10), house.customer("bob", 1, 10));
    let mut bytes = vec![0; (1 << 20) - 7];
    bytes.extend(ada.as_bytes());
    bytes.extend([9; 40]);
    let named = house.vault.snapshot().people_named_in(bytes.as_slice()).unwrap();
    assert!(named.contains(&ada) && !named.contains(&bob));
}
