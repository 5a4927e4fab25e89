//! From a decision to its one named end.

use crate::fixture::{ENGINES, House, computed, purpose};
use model::{At, CampaignName, ConsentStatus, DecisionId, ItemCode, OfferName, ProfileId};
use promise::{ChannelKind, Refusal, RefusalReason};
use std::collections::BTreeMap;
use vault::{AttemptEnd, FactRead, ItemBasis, NewDecision, NotBegun, Reduction, Subject, Trace};

/// A decision as the deciding room would make it, about one fact actually read.
pub fn decision(house: &House, person: ProfileId, run: u32) -> NewDecision {
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    let fact = permit.fact(&computed("orders_all")).unwrap().unwrap().reveal().clone();
    let mut salt = [0; 16];
    salt[0..16].copy_from_slice(person.as_bytes());
    salt[15] = u8::try_from(run).unwrap();
    NewDecision {
        id: DecisionId::from_bytes(salt),
        person,
        artefact: house.campaign(),
        campaign: CampaignName::parse("win_back").unwrap(),
        consent_seq: permit.consent_seq(),
        offer: Some(OfferName::parse("come_back").unwrap()),
        item: ItemCode::parse("22423"),
        held_out: false,
        channel: ChannelKind::Email,
        send_at: None,
        run,
        replaces: None,
        trace: Trace {
            facts: vec![FactRead { fact, ancestors: Vec::new(), life_used_percent: 9, label: "orders".into() }],
            steps: Vec::new(),
            texts: ["title".into(), "says".into(), "You placed {orders_all} orders.".into()],
            slots: BTreeMap::new(),
            propensity_micros: 1_000_000,
            basis: ItemBasis::Purchase,
            shared_by: 80,
            exposure: "private_mail".into(),
            promise: house.promise.hash,
            notice_version: 1,
        },
    }
}

pub fn decide(house: &House, new: NewDecision) -> Result<DecisionId, Refusal> {
    house.vault.decide(new).unwrap().wait().unwrap()
}

pub fn begin(house: &House) -> Result<vault::Attempt, NotBegun> {
    let due = house.vault.snapshot().outbox_due(10).unwrap();
    house.vault.begin_attempt(due[0].message).unwrap().wait().unwrap()
}

pub fn finish(house: &House, attempt: vault::Attempt, end: AttemptEnd) {
    house.vault.finish_attempt(attempt, end).unwrap().wait().unwrap();
}

/// Why no attempt may begin.
fn refusal(house: &House) -> RefusalReason {
    match begin(house).unwrap_err() {
        NotBegun::Refused(refusal) => refusal.reason,
        NotBegun::Unknown => panic!("an earlier try has no end"),
    }
}

fn state(house: &House, person: ProfileId) -> Option<String> {
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    permit.decisions(1).unwrap()[0].message_state.clone()
}

#[test]
fn a_decision_is_kept_with_its_trace_and_its_message_is_sent_once() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let new = decision(&house, person, 1);
        let id = decide(&house, new.clone()).unwrap();
        assert_eq!(decide(&house, new.clone()).unwrap_err().reason, RefusalReason::AlreadyDecided);
        let house = house.reopened();
        let attempt = begin(&house).unwrap();
        house.vault.look(attempt.person, attempt.consent_seq).unwrap();
        assert!(house.vault.snapshot().outbox_due(10).unwrap().is_empty(), "being tried is not due");
        finish(&house, attempt, AttemptEnd::Sent);
        assert_eq!(house.vault.snapshot().outbox_counts().unwrap().iter().map(|(_, n)| n).sum::<u64>(), 0);
        assert_eq!(state(&house, person), Some("sent".into()));
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        let view = snapshot.decision(&permit, id).unwrap().unwrap();
        assert_eq!(*view.trace.reveal(), new.trace, "every part of the trace comes back");
        assert_eq!(snapshot.person_of(id), Some(person));
        let portal = snapshot.permit(person, house.portal()).unwrap();
        let read_by =
            portal.facts().into_iter().find(|view| view.reveal().fact.name == computed("orders_all")).unwrap();
        assert_eq!(read_by.reveal().read_by, [("win_back".to_owned(), 1)]);
    }
}

#[test]
fn the_links_of_a_mail_open_however_often_pages_were_shown_since() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let token = |id| house.vault.message_token(id).unwrap().wait().unwrap().unwrap();
    let mail = decide(&house, decision(&house, person, 1)).unwrap();
    let of_mail = token(mail);
    let pages: Vec<String> = (0..600u16)
        .map(|n| {
            let mut id = [7; 16];
            id[..2].copy_from_slice(&n.to_be_bytes());
            let (id, run) = (DecisionId::from_bytes(id), u32::from(n));
            let on_page = NewDecision { id, run, channel: ChannelKind::Page, ..decision(&house, person, 1) };
            token(decide(&house, on_page).unwrap())
        })
        .collect();
    assert_eq!(token(mail), of_mail, "one decision has one token, however often it is asked for");
    let snapshot = house.vault.snapshot();
    assert_eq!(snapshot.token(&of_mail).map(|target| target.made_for), Some(mail));
    let opens: Vec<bool> = pages.iter().map(|page| snapshot.token(page).is_some()).collect();
    assert_eq!(opens.iter().position(|opens| *opens), Some(600 - 512), "pages keep their newest");
}

#[test]
fn a_withdrawal_between_deciding_and_sending_refuses_the_message() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let stale = decision(&house, person, 2);
        decide(&house, decision(&house, person, 1)).unwrap();
        let attempt = begin(&house).unwrap();
        house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
        let refusal = house.vault.look(person, attempt.consent_seq).unwrap_err();
        finish(&house, attempt, AttemptEnd::Refused(refusal));
        assert_eq!(state(&house, person), Some("refused: changed_meanwhile".into()));
        assert_eq!(decide(&house, stale).unwrap_err().reason, RefusalReason::ChangedMeanwhile);
    }
}

#[test]
fn a_withdrawal_before_the_attempt_refuses_it_with_its_own_reason() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    assert_eq!(refusal(&house), RefusalReason::Withdrawn);
    assert_eq!(state(&house, person), Some("refused: withdrawn".into()));
    assert!(house.vault.snapshot().outbox_due(10).unwrap().is_empty());
}

#[test]
fn quiet_hours_and_less_make_a_message_wait_or_end() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    house.clock.set(At::parse("2026-11-23T22:30:00Z").unwrap());
    assert_eq!(refusal(&house), RefusalReason::QuietHours);
    assert_eq!(state(&house, person), Some("waiting: quiet_hours".into()));
    assert!(house.vault.snapshot().outbox_due(10).unwrap().is_empty());
    house.clock.set(At::parse("2026-11-24T08:00:00Z").unwrap());
    assert_eq!(house.vault.snapshot().outbox_due(10).unwrap().len(), 1, "due when the quiet hours end");
    house.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap();
    house.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap();
    assert_eq!(refusal(&house), RefusalReason::CapReached, "none at all, please");
    assert_eq!(state(&house, person), Some("refused: cap_reached".into()));
}

#[test]
fn a_refused_address_is_written_to_no_more_until_it_changes() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    let attempt = begin(&house).unwrap();
    finish(&house, attempt, AttemptEnd::Failed { why: "address_refused" });
    assert_eq!(state(&house, person), Some("failed: address_refused".into()));
    assert_eq!(decide(&house, decision(&house, person, 2)).unwrap_err().reason, RefusalReason::Suppressed);
    let mut order = house.order("ada", house.now(), "new");
    order.fields[0].1 = model::Value::Text("ada@new.example".into());
    house.take(order);
    decide(&house, decision(&house, person, 2)).unwrap();
}

#[test]
fn a_sender_that_died_leaves_its_message_to_end_unknown_and_a_late_end_is_ignored() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    let first = begin(&house).unwrap();
    house.clock.advance_ms(10 * 60 * 1_000);
    // What the person wished meanwhile does not make it known.
    house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    assert_eq!(begin(&house), Err(NotBegun::Unknown));
    assert_eq!(state(&house, person), Some("failed: unknown".into()));
    finish(&house, first, AttemptEnd::Sent);
    assert_eq!(state(&house, person), Some("failed: unknown".into()), "it has one end");
    assert!(house.vault.snapshot().outbox_due(10).unwrap().is_empty());
}

#[test]
fn a_message_that_is_being_tried_is_begun_by_nobody_else() {
    let house = House::memory();
    let person = house.customer("ada", 1, 10);
    decide(&house, decision(&house, person, 1)).unwrap();
    let message = house.vault.snapshot().outbox_due(10).unwrap()[0].message;
    let first = house.vault.begin_attempt(message).unwrap().wait().unwrap().unwrap();
    let second = house.vault.begin_attempt(message).unwrap().wait().unwrap();
    assert_eq!(second, Err(NotBegun::Refused(Refusal::because(RefusalReason::ChangedMeanwhile))));
    finish(&house, first, AttemptEnd::Sent);
    assert_eq!(state(&house, person), Some("sent".into()), "the end of the one that lives counts");
}

#[test]
fn a_try_that_was_put_off_is_made_again_and_only_the_newest_may_end() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    decide(&house, decision(&house, person, 1)).unwrap();
    let first = begin(&house).unwrap();
    let later = house.now().plus_ms(60_000);
    finish(&house, first, AttemptEnd::Later { why: "relay_down", at: later });
    assert_eq!(state(&house, person), Some("waiting: relay_down".into()));
    house.clock.set(later);
    let second = begin(&house).unwrap();
    assert_eq!((first.n, second.n), (1, 2));
    finish(&house, first, AttemptEnd::Failed { why: "gave_up" });
    assert_eq!(state(&house, person), Some("trying".into()));
    finish(&house, second, AttemptEnd::Sent);
    assert_eq!(state(&house, person), Some("sent".into()));
}

#[test]
fn a_token_opens_the_why_for_a_month_and_reductions_as_long_as_the_person_is_here() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 100);
        let id = decide(&house, decision(&house, person, 1)).unwrap();
        let token = house.vault.message_token(id).unwrap().wait().unwrap().unwrap();
        let unknown = house.vault.message_token(DecisionId::from_bytes([9; 16])).unwrap().wait().unwrap();
        assert_eq!(unknown, None);
        let house = house.reopened();
        let target = house.vault.snapshot().token(&token).unwrap();
        assert_eq!((target.person, target.decision, target.made_for), (person, Some(id), id));
        assert_eq!(target.artefact, house.campaign());
        assert!(house.vault.snapshot().token("x").is_none());
        house.clock.advance_days(30);
        assert_eq!(house.vault.snapshot().token(&token).map(|target| target.decision), Some(None));
        house.vault.erase(person, vault::Erasure::Now).unwrap().wait().unwrap();
        assert!(house.vault.snapshot().token(&token).is_none());
    }
}

#[test]
fn a_message_decided_at_night_is_counted_as_waiting_for_the_morning() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let reason = Some(RefusalReason::QuietHours);
    let mut new = decision(&house, person, 1);
    new.send_at = Some(house.now().plus_ms(3_600_000));
    new.trace.steps = vec![vault::Step { rule: "quiet_hours".to_owned(), passed: false, reason }];
    decide(&house, new).unwrap();
    let waiting = || house.vault.snapshot().campaign_numbers(house.campaign()).unwrap().waiting;
    assert_eq!(waiting(), BTreeMap::from([("quiet_hours".to_owned(), 1)]));
    house.clock.advance_ms(3_600_000);
    assert_eq!(waiting(), BTreeMap::from([("due".to_owned(), 1)]));
}

#[test]
fn a_campaign_is_counted_per_arm_and_nobody_is_named() {
    let house = House::memory();
    for n in 0..4 {
        let person = house.customer(&format!("p{n}"), 3, 100);
        let mut new = decision(&house, person, 1);
        if n % 2 == 0 {
            new.held_out = true;
        }
        decide(&house, new).unwrap();
    }
    for name in ["p0", "p1", "p3"] {
        house.clock.advance_ms(1_000);
        house.take(house.order(name, house.now(), &format!("{name}-goal")));
    }
    let attempt = begin(&house).unwrap();
    finish(&house, attempt, AttemptEnd::Sent);
    house.consent(Subject::Profile(attempt.person), "offers", ConsentStatus::Withdrawn);
    house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    let numbers = house.vault.snapshot().campaign_numbers(house.campaign()).unwrap();
    assert_eq!((numbers.n_treated, numbers.n_held_out, numbers.n_sent), (2, 2, 1));
    assert_eq!((numbers.n_buyers, numbers.n_goals), ([2, 1], [2, 1]));
    assert_eq!(numbers.basis, BTreeMap::from([("purchase".to_owned(), 2)]));
    assert_eq!(numbers.n_reduced, 1);
    assert_eq!(numbers.waiting, BTreeMap::from([("due".to_owned(), 1)]));
    assert!(house.promise.purposes.contains_key(&purpose("offers")));
}
