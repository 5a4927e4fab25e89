//! What has ended is read by nobody, to the second, whether or not anybody has swept; and within the bound that people were
//! told it is in no file.

use crate::fixture::{ENGINES, House, computed, contains, event, field, files, purpose, user};
use crate::sending::{decide, decision};
use model::{At, ConsentStatus, Day, ProfileId, SegmentName, Trust, Value};
use promise::ArtefactKind;
use proptest::prelude::*;
use std::path::Path;
use vault::census::{Census, Needle, Notes};
use vault::{EngineKind, Identifier, IdentifierKind, Intake, MessageKey, Outcome, Subject};

/// The shop's promise with other lengths of time.
fn shop(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(promise::fixture::SHOP.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// The shop's server reports an order just now.
fn order_now(house: &House, name: &str, key: &str) -> Intake {
    let mut order = house.order(name, house.now(), key);
    order.source = model::SourceName::parse("shop").unwrap();
    order.trust = Trust::Server;
    order.message_key = MessageKey::Wire(key.to_owned());
    order
}

fn sweep(house: &House) -> vault::Swept {
    house.vault.sweep().unwrap().wait().unwrap()
}

fn events(house: &House, person: ProfileId, name: &str) -> usize {
    let snapshot = house.vault.snapshot();
    let Ok(permit) = snapshot.permit(person, house.portal()) else { return 0 };
    permit.events(&event(name), 100).unwrap().len()
}

fn shows(house: &House, person: ProfileId, name: &model::FactName) -> bool {
    let snapshot = house.vault.snapshot();
    let Ok(permit) = snapshot.permit(person, house.portal()) else { return false };
    permit.fact(name).unwrap().is_some()
}

fn email_of(name: &str) -> Identifier {
    Identifier { kind: IdentifierKind::Email, value: format!("{name}@shop.example") }
}

// ── to the second ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// What one person did on a day of the simulation, at an hour.
#[derive(Debug, Clone, Copy)]
struct Step {
    day: i32,
    hour: i64,
    is_order: bool,
}

/// A promise in numbers.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    orders: i32,
    pages: i32,
    email: i32,
    /// 0 receipt, 1 last order, 2 leaving.
    email_since: u8,
    inactive: i32,
    /// Whether an order ends what is known of page views.
    ends: bool,
}

/// The slow and obvious model: when each thing was received, and what is left of it.
#[derive(Default)]
struct Model {
    orders: Vec<At>,
    pages: Vec<At>,
}

impl Model {
    fn last_act(&self) -> At {
        self.orders.iter().chain(&self.pages).copied().max().unwrap()
    }

    fn leaves(&self, lengths: &Lengths) -> Day {
        self.last_act().day().plus(lengths.inactive)
    }

    fn is_gone(&self, lengths: &Lengths, now: At) -> bool {
        self.leaves(lengths).start() <= now
    }

    fn n_orders(&self, lengths: &Lengths, now: At) -> usize {
        self.orders.iter().filter(|at| at.day().plus(lengths.orders).start() > now).count()
    }

    fn n_pages(&self, lengths: &Lengths, now: At) -> usize {
        let ended = |at: &At| lengths.ends && self.orders.iter().any(|order| order >= at);
        self.pages.iter().filter(|at| at.day().plus(lengths.pages).start() > now && !ended(at)).count()
    }

    fn has_email(&self, lengths: &Lengths, now: At) -> bool {
        let Some(last) = self.orders.iter().max() else { return false };
        let from = if lengths.email_since == 2 { self.leaves(lengths) } else { last.day() };
        from.plus(lengths.email).start() > now
    }

    /// Every instant on which something ends.
    fn ends(&self, lengths: &Lengths) -> Vec<At> {
        let orders = self.orders.iter().flat_map(|at| [at.day().plus(lengths.orders), at.day().plus(lengths.email)]);
        let pages = self.pages.iter().map(|at| at.day().plus(lengths.pages));
        let left = self.leaves(lengths);
        orders.chain(pages).chain([left, left.plus(lengths.email)]).map(Day::start).collect()
    }
}

fn check(house: &House, person: ProfileId, model: &Model, lengths: &Lengths) {
    let now = house.now();
    let gone = model.is_gone(lengths, now);
    let told = |n: usize| if gone { 0 } else { n };
    let n_orders = told(model.n_orders(lengths, now));
    let at = format!("{lengths:?} at {now}");
    assert_eq!(house.vault.snapshot().permit(person, house.portal()).is_err(), gone, "{at}");
    assert_eq!(events(house, person, "Order Completed"), n_orders, "orders, {at}");
    assert_eq!(events(house, person, "Page Viewed"), told(model.n_pages(lengths, now)), "pages, {at}");
    let has_email = !gone && model.has_email(lengths, now);
    assert_eq!(shows(house, person, &field("email")), has_email, "the address, {at}");
    let snapshot = house.vault.snapshot();
    assert_eq!(snapshot.find(&email_of("ada")).is_some(), has_email, "the way from the address, {at}");
    assert_eq!(snapshot.find(&user("ada")).is_some(), !gone, "the way from the id, {at}");
    // Columns and segments: what is worked out ends with its inputs.
    let count = snapshot.permit(person, house.campaign()).ok().map(|permit| {
        let fact = permit.fact(&computed("orders_all")).unwrap();
        fact.map_or(0, |fact| match fact.reveal().value {
            Value::Number(number) => number,
            _ => panic!("a count is a number"),
        })
    });
    let is_bought = |count: Option<i64>| count.is_none_or(|count| count == i64::try_from(n_orders).unwrap());
    assert!(is_bought(count), "the count of orders is {count:?} of {n_orders}, {at}");
    let set = snapshot.permit_set(house.campaign()).unwrap();
    assert_eq!(set.contains(person), count.is_some(), "the set, {at}");
    let column = set.column(&model::TraitName::parse("orders_all").unwrap()).unwrap();
    let expected = count.map(|_| (n_orders > 0).then(|| i64::try_from(n_orders).unwrap()));
    let in_column = column.first().map(|value| value.filter(|value| *value > 0));
    assert_eq!(in_column, expected, "the column, {at}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Random promises, random histories, nobody sweeps: on the last millisecond of its life each thing is there, and on
    /// the next one it is on no read path.
    #[test]
    fn d03_what_has_ended_is_read_by_nobody_to_the_second_with_the_sweeper_stopped(
        lengths in (3..50i32, 2..40i32, 2..40i32, 0..3u8, 30..70i32, any::<bool>()).prop_map(
            |(orders, pages, email, email_since, inactive, ends)| Lengths { orders, pages, email, email_since, inactive, ends },
        ),
        steps in prop::collection::vec((0..60i32, 0..24i64, any::<bool>()), 1..8),
    ) {
        let since = ["", "\nsince = \"last order\"", "\nsince = \"leaving\""][usize::from(lengths.email_since)];
        let end_on = if lengths.ends { "\nend_on = \"Order Completed\"" } else { "" };
        let text = shop(&[
            ("keep = \"36 months\"", &format!("keep = \"{} days\"", lengths.orders)),
            ("days(90)", "days(3)"),
            ("keep = \"2 years\"\nsince = \"last order\"", &format!("keep = \"{} days\"{since}", lengths.email)),
            ("keep = \"30 days\"\nhas = { path", &format!("keep = \"{} days\"{end_on}\nhas = {{ path", lengths.pages)),
            ("inactive = \"3 years\"", &format!("inactive = \"{} days\"", lengths.inactive)),
            ("basis = \"consent\"\n\n", "basis = \"consent\"\nlapses_after = \"5 years\"\n\n"),
            ("full = [\"group\", \"item\"] }", "full = [\"group\", \"item\"] }\nlapses_after = \"5 years\""),
        ]);
        let house = House::with(EngineKind::Memory, &text);
        let mut steps: Vec<Step> =
            steps.into_iter().map(|(day, hour, is_order)| Step { day, hour, is_order }).collect();
        steps.sort_by_key(|step| (step.day, step.hour));
        let begin = house.now().day();
        // Somebody known by both: a person who ordered, in a browser of theirs.
        let mut model = Model::default();
        house.take(order_now(&house, "ada", "first"));
        model.orders.push(house.now());
        let person = house.find("ada").unwrap();
        for name in ["offers", "measuring"] {
            house.consent(Subject::Profile(person), name, ConsentStatus::Given);
        }
        check(&house, person, &model, &lengths);
        for (n, step) in steps.iter().enumerate() {
            let at = begin.plus(step.day).start().plus_ms(step.hour * 3_600_000).max(house.now().plus_ms(1));
            probe(&house, person, &model, &lengths, at);
            if model.is_gone(&lengths, at) {
                break;
            }
            house.clock.set(at);
            let key = format!("step-{n}");
            let intake = if step.is_order {
                order_now(&house, "ada", &key)
            } else {
                Intake { subject: Subject::Profile(person), ..house.page("unused", &key) }
            };
            let is_kept = matches!(house.take(intake), Outcome::Kept { .. });
            prop_assert!(is_kept);
            if step.is_order { model.orders.push(at) } else { model.pages.push(at) }
            check(&house, person, &model, &lengths);
        }
        probe(&house, person, &model, &lengths, begin.plus(400).start());
    }
}

/// Looks on both sides of every end up to an instant.
fn probe(house: &House, person: ProfileId, model: &Model, lengths: &Lengths, until: At) {
    let mut ends = model.ends(lengths);
    ends.retain(|at| *at > house.now() && *at < until);
    ends.sort_unstable();
    ends.dedup();
    for end in ends {
        house.clock.set(end.plus_ms(-1).max(house.now()));
        check(house, person, model, lengths);
        house.clock.set(end);
        check(house, person, model, lengths);
        house.clock.set(end.plus_ms(1_000));
        check(house, person, model, lengths);
    }
}

#[test]
fn d03_a_decision_tells_no_value_that_has_ended_and_ends_itself_unswept() {
    let house = House::with(
        EngineKind::Memory,
        &shop(&[("keep = \"36 months\"", "keep = \"120 days\""), ("days(90)", "days(30)")]),
    );
    let person = house.customer("ada", 3, 90);
    let id = decide(&house, decision(&house, person, 1)).unwrap();
    let view = |house: &House| {
        let snapshot = house.vault.snapshot();
        let permit = snapshot.permit(person, house.portal()).unwrap();
        let listed = permit.decisions(10).unwrap().len();
        let view = snapshot.decision(&permit, id).unwrap();
        let why = |view: &vault::DecisionView<'_>| view.trace.reveal().why().filter(|why| !why.is_empty());
        let told = view.map(|view| (view.trace.reveal().facts.len(), why(&view), view.item.is_some()));
        (listed, told)
    };
    assert_eq!(view(&house), (1, Some((1, Some("You placed 3 orders.".into()), true))));
    // The earliest of the three orders was 110 days ago: it ends in ten.
    house.clock.set(house.now().day().plus(10).start().plus_ms(-1));
    assert_eq!(view(&house).1.map(|told| told.0), Some(1));
    house.clock.set(house.now().plus_ms(1));
    assert_eq!(view(&house), (1, Some((0, None, true))), "nor a sentence made of it");
    let swept_at = house.now();
    sweep(&house);
    house.clock.set(swept_at);
    assert_eq!(view(&house), (1, Some((0, None, true))));
    let decided_on = At::parse(crate::fixture::TODAY).unwrap().day();
    house.clock.set(decided_on.plus(400).start().plus_ms(-1));
    assert_eq!(view(&house).0, 1);
    house.clock.set(decided_on.plus(400).start());
    assert_eq!(view(&house), (0, None));
}

#[test]
fn d03_a_segment_forgets_who_is_in_it_only_by_an_order_that_has_ended() {
    let house = House::with(
        EngineKind::Memory,
        &shop(&[("keep = \"36 months\"", "keep = \"130 days\""), ("days(90)", "days(30)")]),
    );
    let person = house.customer("ada", 3, 100);
    let lapsed = SegmentName::parse("lapsed").unwrap();
    let is_member = || {
        let snapshot = house.vault.snapshot();
        let in_set = snapshot.permit_set(house.campaign()).unwrap().within(&lapsed).unwrap().contains(person);
        let permit = snapshot.permit(person, house.campaign()).unwrap();
        assert_eq!(permit.is_member(&lapsed).unwrap(), in_set);
        in_set
    };
    assert!(is_member());
    // Three orders, 100, 110 and 120 days ago: the third ends in ten days.
    house.clock.set(house.now().day().plus(10).start().plus_ms(-1));
    assert!(is_member());
    house.clock.set(house.now().plus_ms(1));
    assert!(!is_member(), "two are left, and three are asked for");
}

#[test]
fn d03_an_address_that_has_ended_is_swept_with_the_way_to_it() {
    for engine in ENGINES {
        let house = House::over(engine);
        let person = house.customer("ada", 1, 1);
        house.vault.snapshot().find(&email_of("ada")).expect("while it lasts");
        house.clock.advance_days(729);
        // The person goes on being heard of, without an order.
        house.vault.visited(person).unwrap().wait().unwrap();
        assert_eq!(house.vault.snapshot().find(&email_of("ada")), None, "{engine:?}: two years after the last order");
        assert!(!shows(&house, person, &field("email")));
        sweep(&house);
        let house = house.reopened();
        assert_eq!(house.vault.snapshot().find(&email_of("ada")), None);
        assert_eq!(house.find("ada"), Some(person), "the person is still there");
    }
}

// ── out of the files ──────────────────────────────────────────────────────────────────────────────────────────────────

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A census of the data folder as it lies on the disk, with the root key.
fn census(house: &House, engine: EngineKind) -> (Census, tempfile::TempDir) {
    let (options, _) = house.parts();
    let copied = tempfile::tempdir().unwrap();
    copy(&options.data.join("store"), &copied.path().join("store"));
    let mut census = Census::begin(&options.data, &options.root, std::slice::from_ref(&options.data)).unwrap();
    census.read_store(engine, &copied.path().join("store")).unwrap();
    (census, copied)
}

fn words() -> Vec<Needle> {
    [("a page", "/candles-canary"), ("a taste", "stationery")]
        .iter()
        .filter_map(|(what, text)| Needle::new(what, text.as_bytes()))
        .collect()
}

/// Ciphertexts of what is looked for, which stand in the files as they are.
fn tails(notes: &Notes) -> Vec<Vec<u8>> {
    let events = notes.records.iter().filter(|record| record.keyspace == "events");
    events.map(|record| record.value[record.value.len() - 32..].to_vec()).collect()
}

fn state_taste(house: &House, person: ProfileId) {
    let fact = model::Fact {
        name: field("favourite_group"),
        value: Value::Text("stationery".into()),
        class: model::Class::Plain,
        context: model::Context::Shopping,
        provenance: model::Provenance::Provided { source: model::SourceName::parse("portal").unwrap() },
        as_of: house.now(),
        told_at: Some(house.now()),
        told_how: model::Awareness::AtTheMoment,
        purposes: Vec::new(),
        notice_version: 1,
        expires_at: house.now(),
    };
    let artefact = house.artefact(ArtefactKind::Page, "portal");
    let write = vault::FactWrite { person, artefact, fact: Some(fact), remove: None, inputs_expire_at: None };
    house.vault.write_facts(vec![write]).unwrap().wait().unwrap()[0].clone().unwrap();
}

#[test]
fn d03_within_the_bound_no_byte_of_what_has_ended_opens_and_none_is_left() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let text = shop(&[(
            "[\"bags\", \"candles\", \"christmas\", \"games\", \"garden\", \"kitchen\", \"stationery\"]\nfrom = \"you\"\nfor = [\"offers\"]\nkeep = \"2 years\"",
            "[\"stationery\"]\nfrom = \"you\"\nfor = [\"offers\"]\nkeep = \"30 days\"",
        )]);
        let house = House::with(engine, &text);
        let person = house.customer("ada", 1, 1);
        house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
        let mut page = Intake { subject: Subject::Profile(person), ..house.page("unused", "m1") };
        page.properties.insert("path".into(), Value::Text("/candles-canary".into()));
        assert!(matches!(house.take(page), Outcome::Kept { .. }));
        state_taste(&house, person);
        let (before, _kept) = census(&house, engine);
        let notes = before.note(&person).unwrap();
        assert!(
            before.reach(&notes, &words()).out_of_reach.is_empty(),
            "control: while it lives, the root key opens it"
        );
        drop(before);
        let ended = house.now().day().plus(30).start();
        house.clock.set(ended);
        assert_eq!(house.vault.removal().unwrap().clean_at, At::parse(crate::fixture::TODAY).unwrap());
        let (control, _kept) = census(&house, engine);
        assert!(
            control.reach(&control.note(&person).unwrap(), &words()).out_of_reach.is_empty(),
            "control: ended, and nobody has swept: the bytes are there"
        );
        drop(control);
        sweep(&house);
        house.clock.advance_days(6);
        house.vault.rotate().unwrap().wait().unwrap();
        assert!(house.vault.removal().unwrap().clean_at >= ended);
        let folder = house.folder().unwrap().to_path_buf();
        for tail in tails(&notes).iter().filter(|tail| !tails(&now_noted(&house, engine, person)).contains(tail)) {
            let left: Vec<_> = files(&folder).into_iter().filter(|(_, content)| contains(content, tail)).collect();
            assert!(left.is_empty(), "{engine:?}: a record that has ended lies in {:?}", left[0].0);
        }
        let (after, _kept) = census(&house, engine);
        let reach = after.reach(&after.note(&person).unwrap(), &words());
        assert_eq!(reach.reached, [], "{engine:?}: nothing on the disk opens to it");
        // The page was of one day, whose secret is gone: also a copy of the old disk stays closed.
        let old = after.reach(&notes, &words());
        assert!(old.out_of_reach.contains(&"a page".to_owned()), "{engine:?}: {old:?}");
        assert!(house.vault.snapshot().permit(person, house.portal()).is_ok(), "the person is still here");
    }
}

fn now_noted(house: &House, engine: EngineKind, person: ProfileId) -> Notes {
    let (census, _kept) = census(house, engine);
    census.note(&person).unwrap()
}

#[test]
fn d03_the_bound_is_measured_and_past_it_the_house_says_so() {
    let house = House::over(EngineKind::Fjall);
    house.customer("ada", 1, 1);
    let begin = house.now();
    let late = |house: &House| house.vault.removal().unwrap().is_late(house.now());
    // Nobody sweeps: red as soon as something that ended on the first midnight is over its seven days.
    house.clock.set(begin.day().plus(8).start());
    assert!(!late(&house));
    house.clock.set(house.now().plus_ms(1));
    assert!(late(&house), "the sweeper is stopped");
    house.vault.rotate().unwrap().wait().unwrap();
    assert!(late(&house), "to rewrite files that were not swept removes nothing");
    sweep(&house);
    assert!(late(&house), "what is swept still lies in the files");
    house.vault.rotate().unwrap().wait().unwrap();
    assert!(!late(&house));
    let record = house.vault.removal().unwrap().record.expect("one round removed something");
    assert_eq!(
        (record.n_rounds, record.longest_days),
        (1, 8),
        "from the first midnight on: seven days and a millisecond"
    );
    let house = house.reopened();
    assert!(!late(&house), "remembered");
}

#[test]
fn d03_no_backup_of_keys_holds_a_day_that_was_over_when_it_was_made() {
    let house = House::over(EngineKind::Fjall);
    let person = house.customer("ada", 1, 1);
    house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "m1") });
    let n_keys = |house: &House| {
        let mut streams = Vec::new();
        house.vault.backup().unwrap().wait().unwrap().write(&mut streams).unwrap();
        let (options, _) = house.parts();
        let folder = tempfile::tempdir().unwrap();
        let shelf = vault::backup::Shelf { data: folder.path().join("d"), keys: folder.path().join("k") };
        let beside = vault::backup::Beside::of(&options.data);
        let taken =
            vault::backup::take(&mut streams.as_slice(), &shelf, &beside, vault::backup::Extent::Full, house.now())
                .unwrap();
        std::fs::metadata(taken.keys).unwrap().len()
    };
    let before = n_keys(&house);
    // Thirty days on, without a sweep.
    house.clock.set(house.now().day().plus(30).start());
    assert!(n_keys(&house) < before, "the day of the page view is in no new stream of keys");
}

// ── other words ───────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn d03_what_is_stored_goes_on_under_the_stricter_of_both_words() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let longer = shop(&[("keep = \"30 days\"", "keep = \"60 days\"")]);
        let shorter = shop(&[("keep = \"30 days\"", "keep = \"10 days\"")]);
        for (text, kept_days) in [(longer, 30), (shorter, 10)] {
            let house = House::over(engine);
            let person = house.customer("ada", 1, 1);
            house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
            house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "old") });
            let stored_on = house.now().day();
            let house = house.reopened_with(&text);
            assert_eq!(events(&house, person, "Page Viewed"), 1, "not closed by other words");
            house.clock.set(stored_on.plus(kept_days).start().plus_ms(-1));
            sweep(&house);
            assert_eq!(events(&house, person, "Page Viewed"), 1, "{kept_days}");
            house.clock.set(stored_on.plus(kept_days).start());
            assert_eq!(events(&house, person, "Page Viewed"), 0, "{kept_days}");
            assert_eq!(sweep(&house).n_records, 1, "and it goes");
            let house = house.reopened();
            assert_eq!(events(&house, person, "Page Viewed"), 0);
        }
    }
}

#[test]
fn d03_a_shorter_life_in_between_is_not_undone_by_going_back_to_the_longer_words() {
    let house = House::over(EngineKind::Fjall);
    let person = house.customer("ada", 1, 1);
    house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "old") });
    let stored_on = house.now().day();
    let house = house.reopened_with(&shop(&[("keep = \"30 days\"", "keep = \"10 days\"")]));
    house.clock.advance_days(1);
    let house = house.reopened_with(promise::fixture::SHOP);
    house.clock.advance_days(1);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "new") });
    assert_eq!(events(&house, person, "Page Viewed"), 2);
    house.clock.set(stored_on.plus(10).start());
    assert_eq!(events(&house, person, "Page Viewed"), 1, "ten days were promised for the first");
    house.clock.set(stored_on.plus(31).start());
    assert_eq!(events(&house, person, "Page Viewed"), 1, "thirty for the second");
    house.clock.set(stored_on.plus(32).start());
    assert_eq!(events(&house, person, "Page Viewed"), 0);
}

#[test]
fn d03_a_purpose_more_opens_nothing_that_was_given_for_less() {
    let house = House::over(EngineKind::Fjall);
    let person = house.customer("ada", 3, 100);
    house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "old") });
    let wider = shop(&[("for = [\"measuring\"]", "for = [\"measuring\", \"offers\"]")]);
    let house = house.reopened_with(&wider);
    // At the instant of the change both wordings count.
    house.clock.advance_ms(1);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "new") });
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let purposes: Vec<Vec<_>> =
        permit.events(&event("Page Viewed"), 9).unwrap().iter().map(|view| view.reveal().purposes.clone()).collect();
    assert_eq!(purposes, [vec![purpose("measuring"), purpose("offers")], vec![purpose("measuring")]], "newest first");
}

#[test]
fn d03_a_fact_and_the_traits_of_old_words_are_still_there_under_new_ones() {
    let house = House::over(EngineKind::Fjall);
    let person = house.customer("ada", 3, 100);
    let longer =
        shop(&[("keep = \"36 months\"", "keep = \"40 months\""), ("keep = \"2 years\"", "keep = \"30 months\"")]);
    let house = house.reopened_with(&longer);
    house.clock.advance_ms(1);
    assert!(shows(&house, person, &field("email")));
    assert_eq!(house.vault.snapshot().find(&email_of("ada")), Some(person));
    house.take(order_now(&house, "ada", "new"));
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.portal()).unwrap();
    let fact = permit.fact(&computed("orders_all")).unwrap().unwrap();
    assert_eq!(fact.reveal().value, Value::Number(4), "three of the old class and one of the new");
    assert_eq!(fact.reveal().expires_at, house.now().day().plus(-120).plus(1_095).start(), "with the earliest of them");
    drop(fact);
    drop(permit);
    drop(snapshot);
    let emails = house.vault.snapshot();
    let permit = emails.permit(person, house.portal()).unwrap();
    let address = permit.fact(&field("email")).unwrap().unwrap();
    assert_eq!(address.reveal().expires_at, house.now().day().plus(912).start(), "given anew, under the new words");
}

#[test]
fn d03_what_is_declared_no_more_is_closed_and_ends_by_its_own_words() {
    let house = House::over(EngineKind::Fjall);
    let person = house.customer("ada", 1, 1);
    house.consent(Subject::Profile(person), "measuring", ConsentStatus::Given);
    house.take(Intake { subject: Subject::Profile(person), ..house.page("unused", "old") });
    let stored_on = house.now().day();
    let without = shop(&[(
        "[event.\"Page Viewed\"]\nfor = [\"measuring\"]\nkeep = \"30 days\"\nhas = { path = \"text\" }\n",
        "",
    )]);
    let house = house.reopened_with(&without);
    house.clock.set(stored_on.plus(28).start());
    sweep(&house);
    house.clock.set(stored_on.plus(29).start());
    assert_eq!(sweep(&house).n_records, 0, "not before its day");
    house.clock.set(stored_on.plus(30).start());
    assert_eq!(sweep(&house).n_records, 1);
}
