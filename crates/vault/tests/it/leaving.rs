//! What happens by itself when somebody leaves, falls silent, or is held: two years in milliseconds.

use crate::fixture::{ENGINES, House, anonymous, computed, event, field, purpose, user, words};
use crate::sending::{begin, decide, decision, finish};
use model::{ConsentStatus, Day, Method, ProfileId, Trust};
use promise::{Artefact, ArtefactKind, Fate, RefusalReason};
use std::collections::BTreeSet;
use vault::{
    AttemptEnd, ConsentChange, EngineKind, Erasure, HoldOrder, HoldView, Intake, LeavingChoice, MessageKey, NotBegun,
    Outcome, Reduction, Subject, Swept, WhenLeaving,
};

fn sweep(house: &House) -> Swept {
    house.vault.sweep().unwrap().wait().unwrap()
}

fn choose(house: &House, person: ProfileId, fate: Fate, when: WhenLeaving) -> Result<(), RefusalReason> {
    let choice = LeavingChoice { person, fate, when };
    house.vault.choose_after_leaving(choice).unwrap().wait().unwrap().map_err(|refusal| refusal.reason)
}

/// Why the campaign may not read about somebody; `None` = it may.
fn refusal(house: &House, person: ProfileId) -> Option<RefusalReason> {
    house.vault.snapshot().permit(person, house.campaign()).err().map(|refusal| refusal.reason)
}

fn is_here(house: &House, person: ProfileId) -> bool {
    house.vault.snapshot().permit(person, house.portal()).is_ok()
}

fn status(house: &House, person: ProfileId, name: &str) -> ConsentStatus {
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let entries = permit.ledger().unwrap();
    entries.iter().rfind(|entry| entry.reveal().purpose == purpose(name)).unwrap().reveal().status
}

fn order_now(house: &House, key: &str) -> Intake {
    let mut order = house.order("ada", house.now(), key);
    order.source = model::SourceName::parse("shop").unwrap();
    order.trust = Trust::Server;
    order.message_key = MessageKey::Wire(key.to_owned());
    order
}

// ── after you leave ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn d08_the_chosen_fate_is_carried_out() {
    for engine in ENGINES {
        let text = promise::fixture::SHOP.replace("inactive = \"3 years\"", "inactive = \"1 year\"");
        let house = House::with(engine, &text);
        let today = house.now().day();
        let people: Vec<ProfileId> =
            ["chose nothing", "forget", "minimum", "until"].iter().map(|name| house.customer(name, 1, 1)).collect();
        let [nothing, forget, minimum, until] = people[..] else { panic!("four people") };
        choose(&house, forget, Fate::Forget, WhenLeaving::IfSilent).unwrap();
        choose(&house, minimum, Fate::Minimum, WhenLeaving::IfSilent).unwrap();
        choose(&house, until, Fate::Until(today.plus(600)), WhenLeaving::IfSilent).unwrap();
        let house = house.reopened();
        house.clock.set(today.plus(365).start().plus_ms(-1));
        sweep(&house);
        assert!(people.iter().all(|person| is_here(&house, *person)), "{engine:?}: a year less a moment");
        house.clock.set(today.plus(365).start());
        // Before anybody has swept.
        assert_eq!(
            people.iter().map(|person| is_here(&house, *person)).collect::<Vec<_>>(),
            [false, false, true, true]
        );
        assert_eq!(refusal(&house, minimum), Some(RefusalReason::AnswerLapsed));
        assert_eq!(refusal(&house, until), None);
        let swept = sweep(&house);
        assert_eq!((swept.n_left, swept.n_lapsed), (2, 1), "{engine:?}: two are erased, one yes has ended");
        assert_eq!(status(&house, minimum, "offers"), ConsentStatus::Expired);
        {
            let snapshot = house.vault.snapshot();
            let permit = snapshot.permit(minimum, house.portal()).unwrap();
            assert_eq!(permit.events(&event("Order Completed"), 9).unwrap().len(), 1, "what the contract needs stays");
        }
        let house = house.reopened();
        for (person, name) in [(nothing, "chose nothing"), (forget, "forget")] {
            assert_eq!(refusal(&house, person), Some(RefusalReason::NoSuchPerson));
            assert_eq!(house.find(name), None);
            let back = house.take(house.order(name, house.now().plus_days(-400), "old"));
            assert!(matches!(back, Outcome::Refused { .. }), "{engine:?}: an old list brings nobody back: {back:?}");
            let subject = Subject::Identifiers { user: Some(user(name)), anonymous: None };
            house.clock.advance_ms(1);
            let anew = house.consent(subject, "offers", ConsentStatus::Given).profile;
            assert!(anew.is_some_and(|anew| anew != person), "{engine:?}: erased, so a new yes is a new person's");
        }
        house.clock.set(today.plus(600).start());
        assert!(!is_here(&house, until));
        assert_eq!(sweep(&house).n_left, 1, "{engine:?}: its date has come");
        // The order was of yesterday and is kept for 36 months, the address for two years: then nothing is left.
        house.clock.set(today.plus(1_094).start());
        assert_eq!(
            sweep(&house).n_left,
            3,
            "{engine:?}: of the minimum nothing is left, and both who came anew are silent"
        );
        assert!(house.vault.snapshot().permit(minimum, house.portal()).is_err());
    }
}

#[test]
fn d08_every_act_of_the_person_counts_and_what_we_send_does_not() {
    let text = promise::fixture::SHOP.replace("inactive = \"3 years\"", "inactive = \"60 days\"");
    type Act = fn(&House, ProfileId);
    let acts: [(&str, Act); 6] = [
        ("an order", |house, _| assert!(matches!(house.take(order_now(house, "again")), Outcome::Kept { .. }))),
        ("a page view", |house, person| {
            let view = Intake { subject: Subject::Profile(person), ..house.page("unused", "m") };
            assert!(matches!(house.take(view), Outcome::Kept { .. }));
        }),
        ("a visit", |house, person| house.vault.visited(person).unwrap().wait().unwrap()),
        ("an answer", |house, person| {
            drop(house.consent(Subject::Profile(person), "measuring", ConsentStatus::Refused))
        }),
        ("a tap", |house, person| drop(house.vault.reduce(person, Reduction::Less).unwrap().wait().unwrap())),
        ("a choice", |house, person| choose(house, person, Fate::Forget, WhenLeaving::IfSilent).unwrap()),
    ];
    for (what, act) in acts {
        let house = House::with(EngineKind::Memory, &text);
        let person = house.customer("ada", 1, 1);
        house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
        house.clock.advance_days(40);
        act(&house, person);
        house.vault.put_items(Vec::new()).unwrap().wait().unwrap();
        house.clock.advance_days(40);
        assert!(is_here(&house, person), "{what} counts");
        house.clock.advance_days(20);
        assert!(!is_here(&house, person), "{what} counts once");
    }
    let house = House::with(EngineKind::Memory, &text);
    let person = house.customer("ada", 3, 1);
    house.clock.advance_days(50);
    decide(&house, decision(&house, person, 1)).unwrap();
    let attempt = begin(&house).unwrap();
    finish(&house, attempt, AttemptEnd::Sent);
    house.clock.advance_days(10);
    assert!(!is_here(&house, person), "our own mail is no act of theirs");
}

#[test]
fn d08_who_says_so_leaves_at_once_and_who_comes_back_stays() {
    let house = House::memory();
    let person = house.customer("ada", 1, 1);
    let today = house.now().day();
    choose(&house, person, Fate::Minimum, WhenLeaving::Now).unwrap();
    assert_eq!(status(&house, person, "offers"), ConsentStatus::Expired, "in the same moment");
    assert_eq!(refusal(&house, person), Some(RefusalReason::AnswerLapsed));
    house.take(order_now(&house, "back"));
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    assert_eq!(permit.leaving().unwrap().reveal().left_at, None, "an order is coming back");
    drop(permit);
    drop(snapshot);
    assert_eq!(refusal(&house, person), Some(RefusalReason::AnswerLapsed), "and brings no yes back");
    choose(&house, person, Fate::Until(today.plus(30)), WhenLeaving::Now).unwrap();
    house.clock.set(today.plus(30).start().plus_ms(-1));
    assert!(is_here(&house, person));
    house.clock.set(today.plus(30).start());
    assert!(!is_here(&house, person));
}

#[test]
fn d08_only_what_the_promise_offers_can_be_chosen() {
    let text = promise::fixture::SHOP.replace("\"minimum\", ", "");
    let house = House::with(EngineKind::Memory, &text);
    let person = house.customer("ada", 1, 1);
    let today = house.now().day();
    let chosen = |fate| choose(&house, person, fate, WhenLeaving::IfSilent);
    assert_eq!(chosen(Fate::Minimum), Err(RefusalReason::NotInTerms));
    assert_eq!(chosen(Fate::Until(today)), Err(RefusalReason::NotInTerms), "not ahead");
    assert_eq!(chosen(Fate::Until(today.plus(1_826))), Err(RefusalReason::NotInTerms), "more than five years ahead");
    assert_eq!(chosen(Fate::Until(today.plus(1_825))), Ok(()));
    let none = promise::fixture::SHOP.replace("[after_leaving]\ninactive = \"3 years\"\nchoices = [\"forget\", \"minimum\", \"until\"]\nuntil_at_most = \"5 years\"\n", "");
    let house = House::with(EngineKind::Memory, &none);
    let person = house.customer("ada", 1, 1);
    assert_eq!(choose(&house, person, Fate::Forget, WhenLeaving::Now), Err(RefusalReason::UnknownArtefact));
    house.clock.advance_days(4_000);
    assert!(is_here(&house, person), "where leaving is not declared nobody leaves by silence");
}

// ── the forgetful person ──────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn d11_two_silent_years_bring_a_reminder_and_then_the_lapse() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 3, 1);
        let noon = house.now();
        let on_day = |day: i32| {
            house.clock.set(noon.plus_days(day));
            sweep(&house)
        };
        assert_eq!(on_day(364).n_reminded, 0, "{engine:?}");
        assert_eq!(on_day(365).n_reminded, 1, "{engine:?}: a year after the yes");
        assert_eq!(on_day(365).n_reminded, 0, "{engine:?}: once");
        let entry = house.vault.snapshot().outbox_due(10).unwrap()[0];
        assert_eq!(entry.artefact, house.artefact(ArtefactKind::Page, Artefact::REMINDER));
        let attempt = begin(&house).expect("noon is not quiet");
        finish(&house, attempt, AttemptEnd::Sent);
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        assert_eq!(permit.contact().reveal().sent_at, [], "{engine:?}: it counts under no cap");
        assert_eq!(
            permit.decisions(9).unwrap()[0].message_state.as_deref(),
            Some("sent"),
            "{engine:?}: the person sees it"
        );
        drop(permit);
        drop(snapshot);
        assert_eq!(on_day(699).n_reminded, 0, "{engine:?}");
        assert_eq!(on_day(700).n_reminded, 1, "{engine:?}: a month before the yes lapses");
        let before = on_day(729);
        assert_eq!((before.n_lapsed, refusal(&house, person)), (0, None), "{engine:?}");
        assert_eq!(on_day(730).n_lapsed, 1, "{engine:?}: after 730 days of silence");
        assert_eq!(status(&house, person, "offers"), ConsentStatus::Expired);
        assert_eq!(refusal(&house, person), Some(RefusalReason::AnswerLapsed));
        assert_eq!(on_day(1_090).n_reminded, 0, "{engine:?}: of nothing nobody is reminded");
    }
}

#[test]
fn d11_a_yes_that_lapses_stops_everything_that_rests_on_it_unswept() {
    for engine in ENGINES {
        let text = promise::fixture::SHOP
            .replace("full = [\"group\", \"item\"] }", "full = [\"group\", \"item\"] }\nlapses_after = \"40 days\"");
        let house = House::with(engine, &text);
        let person = house.customer("ada", 3, 100);
        house.clock.advance_days(20);
        let new = decision(&house, person, 1);
        decide(&house, new.clone()).unwrap();
        house.clock.set(house.now().day().plus(20).start());
        assert_eq!(refusal(&house, person), Some(RefusalReason::AnswerLapsed), "{engine:?}");
        let snapshot = house.vault.snapshot();
        assert!(!snapshot.permit_set(house.campaign()).unwrap().contains(person), "{engine:?}: in the set as alone");
        drop(snapshot);
        house.clock.set(house.now().plus_ms(12 * 3_600_000));
        match begin(&house).unwrap_err() {
            NotBegun::Refused(refusal) => {
                assert_eq!(refusal.reason, RefusalReason::AnswerLapsed, "the queued mail stops")
            }
            NotBegun::Unknown => panic!("no earlier try"),
        }
        // An act after the lapse is noted, and brings nothing back.
        house.vault.visited(person).unwrap().wait().unwrap();
        assert_eq!(status(&house, person, "offers"), ConsentStatus::Expired, "{engine:?}");
        assert_eq!(refusal(&house, person), Some(RefusalReason::AnswerLapsed));
        let yes = ConsentChange {
            words: words(house.now()),
            method: Method::Portal,
            ..house.answer(Subject::Profile(person), "offers", ConsentStatus::Given)
        };
        house.vault.consent(yes).unwrap().wait().unwrap();
        assert_eq!(refusal(&house, person), None, "{engine:?}: a new yes does");
    }
}

#[test]
fn d11_one_tap_on_keep_moves_the_lapse_on_and_one_on_stop_ends_it() {
    let house = House::memory();
    let person = house.customer("ada", 1, 1);
    house.clock.advance_days(700);
    sweep(&house);
    house.vault.visited(person).unwrap().wait().unwrap();
    house.clock.advance_days(100);
    sweep(&house);
    assert_eq!(refusal(&house, person), None, "kept");
    let shared = |house: &House| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.artefact(ArtefactKind::Page, Artefact::REMINDER)).unwrap();
        let shared = permit.shared().unwrap();
        shared.iter().map(|one| (one.reveal().purpose.to_string(), one.reveal().lapses_at)).collect::<Vec<_>>()
    };
    let kept_on = house.now().plus_days(-100).day();
    assert_eq!(shared(&house), [("offers".to_owned(), Some(kept_on.plus(730).start()))]);
    let stop = Reduction::Stop { purpose: purpose("offers"), words: words(house.now()), method: Method::MessageLink };
    house.vault.reduce(person, stop).unwrap().wait().unwrap();
    assert_eq!(shared(&house), []);
    assert_eq!(refusal(&house, person), Some(RefusalReason::Withdrawn));
}

#[test]
fn d11_nobody_is_reminded_who_has_no_yes_no_address_or_wants_to_be_left_alone() {
    let house = House::memory();
    let noon = house.now();
    let alone = house.customer("alone", 1, 1);
    house.vault.reduce(alone, Reduction::LeaveMeAlone).unwrap().wait().unwrap();
    let no = house.customer("no", 1, 1);
    house.consent(Subject::Profile(no), "offers", ConsentStatus::Withdrawn);
    let answer = ConsentChange {
        subject: Subject::Identifiers { user: Some(user("no address")), anonymous: None },
        ..house.answer(Subject::Profile(no), "offers", ConsentStatus::Given)
    };
    house.vault.consent(answer).unwrap().wait().unwrap();
    let browser = ConsentChange {
        subject: Subject::Identifiers { user: None, anonymous: Some(anonymous("b")) },
        ..house.answer(Subject::Profile(no), "offers", ConsentStatus::Given)
    };
    house.vault.consent(browser).unwrap().wait().unwrap();
    for day in [300, 364, 365, 366, 700] {
        house.clock.set(noon.plus_days(day));
        assert_eq!(sweep(&house).n_reminded, 0, "day {day}");
    }
}

#[test]
fn d11_a_reminder_that_waits_stops_with_the_last_yes() {
    let house = House::memory();
    let person = house.customer("ada", 1, 1);
    house.clock.advance_days(365);
    assert_eq!(sweep(&house).n_reminded, 1);
    house.consent(Subject::Profile(person), "offers", ConsentStatus::Withdrawn);
    assert!(matches!(begin(&house).unwrap_err(), NotBegun::Refused(_)), "there is nothing to be reminded of");
}

// ── holds ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn hold(house: &House, person: ProfileId, names: &[&str], until: Day) -> Result<HoldView, RefusalReason> {
    let order = HoldOrder {
        person,
        names: names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        reason: "court order 12".into(),
        staff: "Grace".into(),
        until,
    };
    house.vault.hold(order).unwrap().wait().unwrap().map_err(|refusal| refusal.reason)
}

#[test]
fn d03_a_hold_keeps_what_would_end_closes_it_to_all_else_and_ends_by_itself() {
    for engine in ENGINES {
        let text = promise::fixture::SHOP
            .replace("keep = \"36 months\"", "keep = \"120 days\"")
            .replace("days(90)", "days(30)");
        let house = House::with(engine, &text);
        let person = house.customer("ada", 3, 90);
        assert_eq!(refusal(&house, person), None);
        let until = house.now().day().plus(90);
        hold(&house, person, &[], until).unwrap();
        let house = house.reopened();
        assert_eq!(refusal(&house, person), Some(RefusalReason::Held), "{engine:?}: it serves nothing else");
        let snapshot = house.vault.snapshot();
        assert!(!snapshot.permit_set(house.campaign()).unwrap().contains(person), "{engine:?}: nor in a set");
        let told = snapshot.holds_on().expect("it stands on the notice");
        assert_eq!((told.n_people, told.until), (1, until));
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let shown = permit.leaving().unwrap().reveal().holds.clone();
        assert_eq!((shown[0].reason.as_str(), shown[0].until), ("court order 12", until), "and on the person's page");
        drop(permit);
        drop(snapshot);
        // All three orders outlive themselves under the hold: read by nobody, deleted by nobody.
        house.clock.set(until.start().plus_ms(-1));
        // The counts of what became of events on the first day end, and nothing else.
        assert_eq!(sweep(&house).n_records, 1, "{engine:?}: what is held is not deleted");
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        assert_eq!(permit.events(&event("Order Completed"), 9).unwrap().len(), 0, "ended all the same");
        let desk = snapshot.permit(person, house.artefact(ArtefactKind::Page, Artefact::DESK)).unwrap();
        let held = desk.events(&event("Order Completed"), 9).unwrap().len();
        assert_eq!(held, 3, "{engine:?}: at the desk it opens, for whoever it is held for");
        drop(desk);
        drop(permit);
        drop(snapshot);
        house.clock.set(until.start());
        assert_eq!(refusal(&house, person), None, "{engine:?}: over by itself");
        assert!(house.vault.snapshot().holds_on().is_none());
        assert_eq!(sweep(&house).n_records, 3, "{engine:?}: and then it goes");
    }
}

#[test]
fn d03_a_hold_on_one_thing_closes_that_and_what_is_worked_out_of_it() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let until = house.now().day().plus(30);
    let reads = |house: &House, name: &model::FactName| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        permit.fact(name).map(|fact| fact.is_some()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(reads(&house, &computed("orders_all")), Ok(true));
    let lapsed = model::SegmentName::parse("lapsed").unwrap();
    let is_member = |house: &House| {
        let snapshot = house.vault.snapshot();
        snapshot.permit_set(house.campaign()).unwrap().within(&lapsed).unwrap().contains(person)
    };
    assert!(is_member(&house));
    let held = hold(&house, person, &["Order Completed"], until).unwrap();
    assert_eq!(reads(&house, &field("email")), Ok(true), "the rest goes on");
    assert_eq!(reads(&house, &computed("orders_all")), Ok(false), "no value is told");
    assert!(!is_member(&house), "and nobody is in a segment by it");
    assert!(house.vault.lift_hold(person, HoldView::parse_id(&held.id).unwrap()).unwrap().wait().unwrap());
    assert_eq!(reads(&house, &computed("orders_all")), Ok(true));
    assert!(is_member(&house));
    hold(&house, person, &["email"], until).unwrap();
    assert_eq!(reads(&house, &field("email")), Err(RefusalReason::Held));
    assert!(is_member(&house));
}

#[test]
fn d03_a_hold_has_a_reason_an_end_and_names_what_is_declared() {
    let house = House::memory();
    let person = house.customer("ada", 1, 1);
    let today = house.now().day();
    assert_eq!(hold(&house, person, &[], today), Err(RefusalReason::NotInTerms), "no end");
    assert_eq!(hold(&house, person, &[], today.plus(731)), Err(RefusalReason::NotInTerms), "too far ahead");
    assert_eq!(hold(&house, person, &["weight"], today.plus(3)), Err(RefusalReason::NotInTerms), "not declared");
    let nobody = ProfileId::from_bytes([9; 16]);
    assert_eq!(hold(&house, nobody, &[], today.plus(3)), Err(RefusalReason::NoSuchPerson));
    assert!(hold(&house, person, &["email"], today.plus(3)).is_ok());
}

#[test]
fn d03_who_is_erased_under_a_hold_is_gone_for_everybody_and_their_keys_wait_for_its_end() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let house = House::over(engine);
        let person = house.customer("ada", 1, 1);
        let until = house.now().day().plus(20);
        hold(&house, person, &[], until).unwrap();
        let answer = house.vault.erase(person, Erasure::Now).unwrap().wait().unwrap();
        assert!(answer.unrecoverable_on > until, "{engine:?}: the receipt says only what is certain");
        assert!(!is_here(&house, person));
        let house = house.reopened();
        house.clock.set(until.start().plus_ms(-1));
        let before = sweep(&house);
        house.clock.set(until.start());
        let after = sweep(&house);
        assert!(after.n_records > before.n_records, "{engine:?}: the waiting key goes on the day of its end");
        assert!(!is_here(&house, person));
    }
}

// ── the whole of it ───────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn what_ended_by_itself_leaves_a_house_in_which_every_record_is_as_the_log_says() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let text = promise::fixture::SHOP
            .replace("keep = \"36 months\"", "keep = \"200 days\"")
            .replace("days(90)", "days(30)")
            .replace("full = [\"group\", \"item\"] }", "full = [\"group\", \"item\"] }\nlapses_after = \"500 days\"");
        let house = House::with(engine, &text);
        let (ada, bob) = (house.customer("ada", 3, 1), house.customer("bob", 1, 1));
        decide(&house, decision(&house, ada, 1)).unwrap();
        let noon = house.now();
        choose(&house, bob, Fate::Minimum, WhenLeaving::IfSilent).unwrap();
        hold(&house, bob, &["Order Completed"], noon.day().plus(300)).unwrap();
        let on_day = |day: i32| {
            house.clock.set(noon.plus_days(day));
            sweep(&house)
        };
        on_day(195);
        assert_eq!(on_day(365).n_reminded, 2, "{engine:?}");
        choose(&house, bob, Fate::Minimum, WhenLeaving::Now).unwrap();
        assert_eq!(on_day(500).n_lapsed, 1, "{engine:?}");
        house.vault.rotate().unwrap().wait().unwrap();
        let (options, household) = house.parts();
        let (options, household) = (options.clone(), household.clone());
        let folder = house.close();
        let mut findings = Vec::new();
        vault::fsck::fsck(&options, household, &mut |told| {
            if let vault::fsck::Told::Found(finding) = told {
                findings.push(format!("{finding:?}"));
            }
        })
        .unwrap();
        assert_eq!(findings, Vec::<String>::new(), "{engine:?}");
        drop(folder);
    }
}
