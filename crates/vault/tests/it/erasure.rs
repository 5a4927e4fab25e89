//! Gone for every reader at once, gone from every byte soon after, and kept away.

use crate::fixture::{ENGINES, House, browser, contains, files, user};
use crate::sending::{decide, decision};
use model::{ConsentStatus, ProfileId, SegmentName};
use promise::RefusalReason;
use vault::receipt::{Inclusion, verify};
use vault::{EngineKind, Erasure, Outcome, OutcomeReason, Reduction, Subject};

fn erase(house: &House, person: ProfileId, how: Erasure) -> vault::ErasureAnswer {
    house.vault.erase(person, how).unwrap().wait().unwrap()
}

/// Any later commit has taken the rows.
fn settle(house: &House) {
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
}

fn holds(folder: &std::path::Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    files(folder).into_iter().filter(|(_, content)| contains(content, bytes)).map(|(path, _)| path).collect()
}

#[test]
fn d10_an_erased_person_is_gone_from_every_read_path_at_once() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let id = decide(&house, decision(&house, person, 1)).unwrap();
        let answer = erase(&house, person, Erasure::Now);
        let receipt = verify(&answer.receipt, Some(&house.vault.public_keys_json())).unwrap();
        assert!(matches!(receipt.inclusion, Inclusion::Promised { .. }));
        assert!(!receipt.payload.contains(&person.to_string()), "the receipt links to nobody");
        {
            let snapshot = house.vault.snapshot();
            assert_eq!(snapshot.find(&user("ada")), None);
            assert_eq!(snapshot.person_of(id), None);
            let refused = snapshot.permit(person, house.portal()).unwrap_err();
            assert_eq!(refused.reason, RefusalReason::NoSuchPerson);
            assert!(!snapshot.permit_set(house.portal()).unwrap().contains(person));
            assert_eq!(snapshot.permit_set(house.portal()).unwrap().people().count(), 0);
            assert!(snapshot.outbox_due(10).unwrap().is_empty());
            assert!(snapshot.touched_since(0, 10).unwrap().0.is_empty());
            assert_eq!(house.vault.look(person, 1).unwrap_err().reason, RefusalReason::NoSuchPerson);
            let lapsed = SegmentName::parse("lapsed").unwrap();
            assert_eq!(snapshot.segment_count(&lapsed).unwrap().matching, None);
        }
        let house = house.reopened();
        assert_eq!(house.find("ada"), None);
        assert!(house.vault.snapshot().permit(person, house.portal()).is_err());
        settle(&house);
        let proven = house.vault.snapshot().erasure_receipt(answer.request).unwrap().expect("on record");
        let proven = verify(&proven, None).unwrap();
        assert!(matches!(proven.inclusion, Inclusion::Proven { .. }));
        assert_eq!(proven.payload, receipt.payload, "the same words, now with the proof");
    }
}

#[test]
fn d10_after_rotation_no_byte_of_the_persons_rows_is_left_in_any_file() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let other = house.customer("bob", 3, 100);
        let decided = decide(&house, decision(&house, person, 1)).unwrap();
        house.vault.message_token(decided).unwrap().wait().unwrap().expect("the links of its message");
        let folder = house.folder().unwrap().to_path_buf();
        assert!(!holds(&folder, person.as_bytes()).is_empty(), "control: before, the search finds the person's rows");
        erase(&house, person, Erasure::Now);
        settle(&house);
        let waiting = house.vault.snapshot().outbox_counts().unwrap();
        assert!(waiting.iter().all(|(_, n)| *n == 0), "{engine:?}: nothing waits to be sent to nobody: {waiting:?}");
        let rotation = house.vault.rotate().unwrap().wait().unwrap();
        // The other person and the secrets of three days.
        assert_eq!((rotation.version, rotation.n_rows), (2, 4));
        assert_eq!(holds(&folder, person.as_bytes()), Vec::<std::path::PathBuf>::new(), "{engine:?}");
        assert!(!holds(&folder, other.as_bytes()).is_empty(), "the others are still there");
        let house = house.reopened();
        assert!(house.vault.snapshot().permit(other, house.campaign()).is_ok(), "and readable under the new version");
        assert_eq!(house.find("ada"), None);
    }
}

#[test]
fn d10_old_events_old_lists_and_late_events_are_refused_and_a_new_act_starts_a_new_person() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        erase(&house, person, Erasure::Now);
        let refused = |intake| match house.take(intake) {
            Outcome::Refused { reason, .. } => Some(reason),
            _ => None,
        };
        let old = house.order("ada", house.now().plus_days(-100), "ada-0");
        assert_eq!(refused(old), Some(OutcomeReason::Erased), "the old list again");
        house.clock.advance_days(1);
        let mut late = house.order("ada", house.now(), "late");
        assert_eq!(refused(late.clone()), Some(OutcomeReason::Erased), "an import is never a new act");
        late.trust = model::Trust::Server;
        assert_eq!(refused(late.clone()), Some(OutcomeReason::Erased), "a server event without a newer yes");
        let house = house.reopened();
        let subject = Subject::Identifiers { user: Some(user("ada")), anonymous: None };
        let answer = house.consent(subject, "offers", ConsentStatus::Given);
        let new = answer.profile.expect("a new act of the person starts a new person");
        assert_ne!(new, person);
        house.clock.advance_days(1);
        late.occurred_at = house.now();
        assert!(matches!(house.take(late), Outcome::Kept { profile, .. } if profile == new));
        let old = house.order("ada", house.now().plus_days(-100), "ada-0");
        assert!(matches!(house.take(old), Outcome::Refused { reason: OutcomeReason::Erased, .. }));
    }
}

#[test]
fn d10_leave_me_alone_survives_erasure_and_refuses_a_new_yes_as_well() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    settle(&house);
    erase(&house, person, Erasure::Now);
    settle(&house);
    house.clock.advance_days(1);
    let subject = Subject::Identifiers { user: Some(user("ada")), anonymous: None };
    let answer = house.consent(subject, "offers", ConsentStatus::Given);
    assert_eq!((answer.profile, answer.refusal), (None, Some(OutcomeReason::Restrained)));
    let order = house.order("ada", house.now(), "new");
    assert!(matches!(house.take(order), Outcome::Refused { reason: OutcomeReason::Restrained, .. }));
}

#[test]
fn d10_a_browser_tied_to_the_person_alone_goes_too() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let device = house.consent(browser("b"), "measuring", ConsentStatus::Given).profile.unwrap();
    let join = vault::Join {
        anonymous: crate::fixture::anonymous("b"),
        user: user("ada"),
        proof: vault::JoinProof::ServerKey,
        at: house.now(),
    };
    house.vault.join(join).unwrap().wait().unwrap().unwrap();
    erase(&house, person, Erasure::Now);
    assert!(house.vault.snapshot().permit(device, house.portal()).is_err());
    assert_eq!(house.vault.snapshot().find(&crate::fixture::anonymous("b")), None);
    let page = house.take(house.page("b", "m"));
    assert!(matches!(page, Outcome::Refused { reason: OutcomeReason::Erased, .. }), "{page:?}");
}

#[test]
fn keys_wait_a_day_with_the_recovery_key_and_then_everything_goes() {
    {
        let house = House::over(EngineKind::Redb);
        let person = house.customer("ada", 1, 10);
        erase(&house, person, Erasure::WithinADay);
        settle(&house);
        house.vault.rotate().unwrap().wait().unwrap();
        let folder = house.folder().unwrap().to_path_buf();
        assert!(!holds(&folder, person.as_bytes()).is_empty(), "sealed rows wait for the day to pass");
        house.clock.advance_days(1);
        house.vault.sweep().unwrap().wait().unwrap();
        house.vault.rotate().unwrap().wait().unwrap();
        assert!(holds(&folder, person.as_bytes()).is_empty());
    }
}

#[test]
fn a_number_is_never_given_to_a_second_person() {
    let house = House::over(EngineKind::Redb);
    let ada = house.customer("ada", 3, 100);
    // A use run with Ada's number stays; the next person must not inherit it.
    let model = house.artefact(promise::ArtefactKind::Model, "items");
    drop(house.vault.snapshot().permit_set(model).unwrap().baskets(1).unwrap());
    settle(&house);
    erase(&house, ada, Erasure::Now);
    let house = house.reopened();
    let bob = house.customer("bob", 1, 10);
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(bob, house.portal()).unwrap();
    assert!(permit.uses().unwrap().is_empty());
}

/// One list after another: the same number, another number with the same address, the same browser, dated before and far
/// after; and whatever else may lead back to somebody.
#[test]
fn c13_the_restraining_order_survives_erasure_three_imported_lists_joins_and_every_kind_of_event() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let bob = house.customer("bob", 3, 100);
        house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
        settle(&house);
        erase(&house, person, Erasure::Now);
        settle(&house);
        house.vault.rotate().unwrap().wait().unwrap();
        let house = house.reopened();
        house.clock.advance_days(1);
        let n_people = || house.vault.snapshot().permit_set(house.portal()).unwrap().people().count();
        assert_eq!(n_people(), 1);
        let mut lists = Vec::new();
        for days in [-100, 0, 3_000] {
            let at = house.now().plus_days(days);
            lists.push(house.order("ada", at, "list one"));
            // The second list numbers its people anew, and has her address.
            let mut renamed = house.order("customer 4711", at, "list two");
            renamed.fields = house.order("ada", at, "list two").fields;
            lists.push(renamed);
            let mut shouted = house.order("customer 4712", at, "list three");
            let address = model::Value::Text(" ADA@SHOP.EXAMPLE ".into());
            shouted.fields = vec![(model::FieldName::parse("email").unwrap(), address)];
            lists.push(shouted);
        }
        for intake in lists {
            for trust in [model::Trust::Import, model::Trust::Server] {
                let mut intake = intake.clone();
                intake.trust = trust;
                let outcome = house.take(intake);
                assert!(
                    matches!(outcome, Outcome::Refused { reason: OutcomeReason::Restrained, .. }),
                    "{engine:?} {trust:?}: {outcome:?}"
                );
            }
        }
        let subject = || Subject::Identifiers { user: Some(user("ada")), anonymous: None };
        let yes = house.consent(subject(), "offers", ConsentStatus::Given);
        assert_eq!((yes.profile, yes.refusal), (None, Some(OutcomeReason::Restrained)), "not even a yes of her own");
        let device = house.consent(browser("b"), "measuring", ConsentStatus::Given).profile.unwrap();
        let join = vault::Join {
            anonymous: crate::fixture::anonymous("b"),
            user: user("ada"),
            proof: vault::JoinProof::OwnAct,
            at: house.now().plus_days(10),
        };
        assert!(house.vault.join(join).unwrap().wait().unwrap().is_err());
        // Nor by way of somebody else's page: her address becomes nobody's fact.
        let write = vault::FactWrite {
            person: bob,
            artefact: house.portal(),
            fact: Some(model::Fact {
                name: crate::fixture::field("email"),
                value: model::Value::Text("ada@shop.example".into()),
                class: model::Class::Personal,
                context: model::Context::Shopping,
                provenance: model::Provenance::Provided { source: model::SourceName::parse("you").unwrap() },
                as_of: house.now(),
                told_at: Some(house.now()),
                told_how: model::Awareness::AtTheMoment,
                purposes: Vec::new(),
                notice_version: 1,
                expires_at: house.now(),
            }),
            remove: None,
            inputs_expire_at: None,
        };
        let written = house.vault.write_facts(vec![write]).unwrap().wait().unwrap();
        assert_eq!(written[0].as_ref().unwrap_err().reason, RefusalReason::Restrained);
        assert_eq!(n_people(), 2, "bob and a browser: {device}");
        assert_eq!((house.find("ada"), house.find("customer 4711"), house.find("customer 4712")), (None, None, None));
        assert!(house.vault.snapshot().outbox_due(10).unwrap().is_empty(), "and no message to anybody");
    }
}

#[test]
fn d10_an_address_on_another_list_brings_nobody_back_until_they_come_themselves() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    erase(&house, person, Erasure::Now);
    settle(&house);
    house.clock.advance_days(1);
    let mut renamed = house.order("customer 4711", house.now(), "list two");
    renamed.fields = house.order("ada", house.now(), "list two").fields;
    let outcome = house.take(renamed.clone());
    assert!(matches!(outcome, Outcome::Refused { reason: OutcomeReason::Erased, .. }), "{outcome:?}");
    // A household shares an address: whoever is known by a number of their own stays who they are, without it.
    let bob = house.customer("bob", 1, 10);
    let mut shared = house.order("bob", house.now(), "bob again");
    shared.fields = renamed.fields;
    assert!(matches!(house.take(shared), Outcome::Kept { profile, .. } if profile == bob));
}
