//! What a person says, takes back and turns down: in force from the acknowledgement, proven by a receipt.

use crate::fixture::{ENGINES, House, anonymous, browser, purpose, user, words};
use model::{ConsentStatus, ItemCode, Method, OfferName, ProfileKind};
use promise::RefusalReason;
use vault::receipt::{Inclusion, KeyTrust, verify};
use vault::{Join, JoinProof, Outcome, Reduction, Subject, VaultError};

#[test]
fn a_yes_gives_a_receipt_that_proves_itself_with_the_server_off() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 1, 10);
        let level = house.answer(Subject::Profile(person), "offers", ConsentStatus::Given);
        let little = vault::ConsentChange { level: Some("little".into()), ..level };
        let answer = house.vault.consent(little).unwrap().wait().unwrap();
        let keys = house.vault.public_keys_json();
        let verified = verify(&answer.receipt.unwrap(), Some(&keys)).unwrap();
        assert_eq!(verified.key, KeyTrust::Pinned);
        assert!(matches!(verified.inclusion, Inclusion::Proven { .. }), "{:?}", verified.inclusion);
        assert!(verified.payload.contains(r#""status":"given","level":"little""#), "{}", verified.payload);
    }
}

#[test]
fn a_withdrawal_holds_at_once_with_a_promise_that_becomes_a_proof_at_the_same_place() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let seq = house.vault.snapshot().permit(person, house.campaign()).unwrap().consent_seq();
        house.vault.look(person, seq).unwrap();
        let answer = house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
        assert_eq!(house.vault.look(person, seq).unwrap_err().reason, RefusalReason::ChangedMeanwhile);
        let refused = house.vault.snapshot().permit(person, house.campaign()).unwrap_err();
        assert_eq!(refused.reason, RefusalReason::Withdrawn);
        assert_eq!(refused.line, house.promise.line("purpose", "offers"));
        let receipt = answer.receipt.unwrap();
        let promised = verify(&receipt, None).unwrap();
        assert!(matches!(promised.inclusion, Inclusion::Promised { .. }));
        // Any later commit has drained the urgent log.
        house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
        let house = house.reopened();
        let snapshot = house.vault.snapshot();
        assert_eq!(snapshot.permit(person, house.campaign()).unwrap_err().reason, RefusalReason::Withdrawn);
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let ledger = permit.ledger().unwrap();
        assert_eq!(ledger.len(), 2);
        let entry = ledger[1].reveal();
        assert_eq!((Some(entry.id), entry.status), (answer.consent, ConsentStatus::Withdrawn));
        let proven = verify(&entry.receipt, None).unwrap();
        assert!(matches!(proven.inclusion, Inclusion::Proven { .. }));
        assert_eq!(proven.payload, promised.payload, "the same words, now with the proof");
    }
}

#[test]
fn a_repeated_no_adds_nothing() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let first = house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    let second = house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    assert_eq!(first.consent, second.consent);
}

#[test]
fn an_import_tells_nothing_that_a_later_answer_has_settled() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let import = |status, days_ago: i32| {
        let mut change = house.answer(Subject::Profile(person), "measuring", status);
        change.method = Method::Import;
        change.words.answered_at = house.now().plus_days(-days_ago);
        house.vault.consent(change).unwrap().wait().unwrap();
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let ledger = permit.ledger().unwrap();
        let about: Vec<_> = ledger.iter().filter(|entry| entry.reveal().purpose == purpose("measuring")).collect();
        (about.len(), about.last().map(|entry| entry.reveal().status))
    };
    assert_eq!(import(ConsentStatus::Given, 30), (1, Some(ConsentStatus::Given)));
    assert_eq!(import(ConsentStatus::Withdrawn, 20), (2, Some(ConsentStatus::Withdrawn)));
    assert_eq!(import(ConsentStatus::Given, 30), (2, Some(ConsentStatus::Withdrawn)), "the file a second time");
    assert_eq!(import(ConsentStatus::Withdrawn, 20), (2, Some(ConsentStatus::Withdrawn)));
}

#[test]
fn less_halves_until_nothing_and_can_be_undone() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 1, 10);
        let limit = |house: &House| {
            let snapshot = house.vault.snapshot();
            let permit = snapshot.permit(person, house.portal()).unwrap();
            permit.contact().reveal().at_most
        };
        assert_eq!(limit(&house), None);
        house.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap();
        assert_eq!(limit(&house), Some(1), "half of two");
        house.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap();
        assert_eq!(limit(&house), Some(0), "half of one is none");
        let house = house.reopened();
        assert_eq!(limit(&house), Some(0));
        house.vault.reduce(person, Reduction::UndoLess).unwrap().wait().unwrap();
        assert_eq!(limit(&house), None);
    }
}

#[test]
fn not_this_stop_and_leave_me_alone() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let offer = OfferName::parse("come_back").unwrap();
    let item = ItemCode::parse("85123A");
    house.vault.reduce(person, Reduction::NotThis { offer, item }).unwrap().wait().unwrap();
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    assert_eq!(permit.contact().reveal().turned_down, ["come_back", "85123A"]);
    let words = words(house.now());
    let stop = Reduction::Stop { purpose: purpose("offers"), words, method: Method::MessageLink };
    let answer = house.vault.reduce(person, stop).unwrap().wait().unwrap();
    assert!(answer.receipt.is_some());
    let reason = |house: &House| house.vault.snapshot().permit(person, house.campaign()).unwrap_err().reason;
    assert_eq!(reason(&house), RefusalReason::Withdrawn);
    house.vault.reduce(person, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    assert_eq!(reason(&house), RefusalReason::Restrained);
    let order = house.order("ada", house.now(), "later");
    assert!(matches!(house.take(order), Outcome::Refused { reason: vault::OutcomeReason::Restrained, line: None }));
    assert!(house.vault.snapshot().permit(person, house.portal()).is_ok(), "the person still sees everything");
}

#[test]
fn a_claim_ties_nothing_and_a_proven_join_takes_the_stricter_answer() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    let device = house.consent(browser("b"), "measuring", ConsentStatus::Given).profile.unwrap();
    house.consent(browser("b"), "offers", ConsentStatus::Refused);
    let join = |proof| {
        let join = Join { anonymous: anonymous("b"), user: user("ada"), proof, at: house.now() };
        house.vault.join(join).unwrap().wait().unwrap()
    };
    join(JoinProof::Claim).unwrap();
    assert_eq!(house.vault.snapshot().find(&anonymous("b")), Some(device));
    assert!(house.vault.snapshot().permit(person, house.campaign()).is_ok());
    join(JoinProof::ServerKey).unwrap();
    let snapshot = house.vault.snapshot();
    assert_eq!(snapshot.find(&anonymous("b")), Some(person), "the browser speaks for the person from here on");
    assert_eq!(snapshot.permit(device, house.portal()).unwrap().kind(), ProfileKind::Device);
    let refused = snapshot.permit(person, house.campaign()).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::SaidNo, "the stricter of two answers");
    assert!(matches!(house.take(house.page("b", "m")), Outcome::Kept { profile, .. } if profile == person));
}

#[test]
fn a_closed_vault_says_so() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    house.vault.close().unwrap();
    assert!(matches!(house.vault.put_items(Vec::new()), Err(VaultError::Closed)));
    assert!(matches!(house.vault.reduce(person, Reduction::Less), Err(VaultError::Closed)));
    assert!(matches!(house.vault.erase(person, vault::Erasure::Now), Err(VaultError::Closed)));
}
