//! Random histories through the reference and through every engine: each answer and everything that can be seen must be
//! equal. A history is a list of steps drawn from a seed; when one fails, steps are left out until none can be, and what
//! is left is shown with its seed.
//!
//! A small number runs in the tests; `./gate histories N` runs more (`FINELINE_HISTORIES`, `FINELINE_SEED`).

mod act;
mod engine;
mod play;
mod reference;
mod world;

use crate::fixture::{ENGINES, House, TODAY, fresh};
use act::{Act, draw};
use engine::Engine;
use model::At;
use play::play;
use promise::Promise;
use reference::{Fault, Reference};
use std::sync::Arc;
use vault::EngineKind;

/// Steps of one history.
const N_ACTS: usize = 60;

/// Histories of a house in memory in the tests; on a disk, where each step waits for it, a sixth.
const N_HISTORIES: u64 = 18;
const DISK_SHARE: u64 = 6;

/// Histories within which a planted fault must show.
const N_CONTROLS_MAX: u64 = 400;

/// Histories shown that differ, per engine.
const SHOWN_MAX: usize = 5;

/// The promise and its later versions: a purpose that reads otherwise from a later notice on.
fn promises() -> Vec<Arc<Promise>> {
    // Silence ends nothing in these histories: lapses, leaving and reminders have tests of their own.
    let long = "lapses_after = \"5 years\"\n";
    let text = ["offers", "measuring"].into_iter().fold(promise::fixture::SHOP.to_owned(), |text, purpose| {
        text.replace(&format!("[purpose.{purpose}]\n"), &format!("[purpose.{purpose}]\n{long}"))
    });
    let (before, leaving) = text.split_once("[after_leaving]\n").expect("the shop has an end to silence");
    let (_, after) = leaving.split_once("\n# ").expect("and something after it");
    let text = format!("{before}\n# {after}");
    let text = text.as_str();
    let later = |version: u32, starts: &str, purpose: &str, before: &str| {
        let says = format!("[purpose.{purpose}]\n");
        let since = format!("{says}since_notice = {version}\n");
        let notice = format!("version = {version}\nstarts = {starts}");
        let (_, old) = before.split_once("[notice]\n").unwrap();
        let old: String = old.lines().take(2).collect::<Vec<_>>().join("\n");
        before.replace(&says, &since).replace(&old, &notice)
    };
    let second = later(2, "2027-03-01", "measuring", text);
    let third = later(3, "2027-06-01", "offers", &second);
    [text, &second, &third].map(|text| Arc::new(promise::parse("shop.toml", text).expect("it parses"))).to_vec()
}

/// A house in memory cannot be opened again, so not under another promise.
fn versions(engine: EngineKind, promises: &[Arc<Promise>]) -> &[Arc<Promise>] {
    if engine == EngineKind::Memory { &promises[..1] } else { promises }
}

fn by_reference(promises: &[Arc<Promise>], acts: &[Act], n_crowd: usize, fault: Option<Fault>) -> Vec<String> {
    let now = At::parse(TODAY).unwrap();
    play(&mut Reference::new(Arc::clone(&promises[0]), now, fault), promises, acts, n_crowd)
}

fn by_engine(engine: EngineKind, promises: &[Arc<Promise>], acts: &[Act], n_crowd: usize) -> Vec<String> {
    play(&mut Engine::new(House::under(engine, &promises[0], 7)), promises, acts, n_crowd)
}

/// The first line on which two histories differ, with the step it belongs to.
fn difference(left: &[String], right: &[String]) -> Option<String> {
    let at = (0..left.len().max(right.len())).find(|at| left.get(*at) != right.get(*at))?;
    let step = left.iter().take(at + 1).rev().find(|line| line.starts_with("──"));
    Some(format!(
        "{}\n reference: {:?}\n    engine: {:?}",
        step.map_or("", String::as_str),
        left.get(at),
        right.get(at)
    ))
}

/// Leaves out whatever can be left out.
fn shrink(acts: &[Act], fails: impl Fn(&[Act]) -> Option<String>) -> (Vec<Act>, Option<String>) {
    let (mut acts, mut said) = (acts.to_vec(), fails(acts));
    let mut size = acts.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < acts.len() {
            let fewer = [&acts[..at], &acts[(at + size).min(acts.len())..]].concat();
            match fails(&fewer) {
                Some(now) => (acts, said) = (fewer, Some(now)),
                None => at += size,
            }
        }
        size /= 2;
    }
    (acts, said)
}

/// One history through the reference and one engine; what is left of it when they differ.
fn differs(engine: EngineKind, seed: u64, n_acts: usize, fault: Option<Fault>) -> Option<String> {
    let promises = promises();
    let promises = versions(engine, &promises);
    let acts = draw(seed, n_acts);
    let n_crowd = if seed.is_multiple_of(6) { 58 } else { 0 };
    let fails = |acts: &[Act]| {
        difference(&by_reference(promises, acts, n_crowd, fault), &by_engine(engine, promises, acts, n_crowd))
    };
    fails(&acts)?;
    let (left, said) = shrink(&acts, fails);
    let steps: Vec<String> = left.iter().map(|act| format!("  {act:?}")).collect();
    Some(format!("{engine:?} seed {seed} crowd {n_crowd}:\n{}\n{}", steps.join("\n"), said.unwrap_or_default()))
}

/// Whether some history of these tells a reference with a planted fault from a house without one; after how many.
fn noticed(fault: Fault, seeds: std::ops::Range<u64>) -> Option<u64> {
    let promises = promises();
    let promises = &promises[..1];
    let first = seeds.start;
    let mut seeds = seeds;
    let seed = seeds.find(|seed| {
        let acts = draw(*seed, N_ACTS);
        let by_house = by_engine(EngineKind::Memory, promises, &acts, 0);
        difference(&by_reference(promises, &acts, 0, Some(fault)), &by_house).is_some()
    })?;
    Some(seed - first + 1)
}

fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn b02_every_engine_answers_a_random_history_as_the_reference_does() {
    let (n, first) = (asked("FINELINE_HISTORIES", N_HISTORIES), asked("FINELINE_SEED", 1) * 1_000_000);
    let (mut differences, mut n_played) = (Vec::new(), 0);
    for engine in ENGINES {
        let n = if engine == EngineKind::Memory { n } else { n.div_ceil(DISK_SHARE) };
        let seeds = (first..first + n).filter_map(|seed| differs(engine, seed, N_ACTS, None));
        differences.extend(seeds.take(SHOWN_MAX));
        n_played += n;
    }
    show(&format!("histories: {n_played} of {N_ACTS} steps, {} differ", differences.len()));
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// The house at the end of a history.
fn lived(engine: EngineKind, promises: &[Arc<Promise>], seed: u64) -> Engine {
    let mut house = Engine::new(House::under(engine, &promises[0], 7));
    let _ = play(&mut house, promises, &draw(seed, N_ACTS), 0);
    house
}

#[test]
fn b02_the_same_history_gives_the_same_state_on_every_engine() {
    let (n, first) = (asked("FINELINE_HISTORIES", N_HISTORIES), asked("FINELINE_SEED", 1) * 1_000_000);
    let promises = promises();
    for seed in first..first + n.div_ceil(DISK_SHARE) {
        let hash = |engine| (engine, lived(engine, &promises[..1], seed).house().vault.state_hash().unwrap());
        let hashes: Vec<(EngineKind, _)> = ENGINES.into_iter().map(hash).collect();
        assert!(hashes[0].1.n_people > 0, "seed {seed}");
        for (engine, hash) in &hashes {
            assert_eq!(*hash, hashes[0].1, "seed {seed}: {engine:?} differs from {:?}", hashes[0].0);
        }
    }
}

#[test]
fn b02_replay_of_the_records_of_those_who_are_left_gives_the_identical_state() {
    let (n, first) = (asked("FINELINE_HISTORIES", N_HISTORIES), asked("FINELINE_SEED", 1) * 1_000_000);
    let promises = promises();
    let (mut n_people, mut n_replayed) = (0, 0);
    for engine in ENGINES {
        let n = if engine == EngineKind::Memory { n } else { n.div_ceil(DISK_SHARE) };
        for seed in first..first + n {
            let lived = lived(engine, versions(engine, &promises), seed);
            let house = lived.house();
            // Rotated and swept, and without: what is known is the same.
            let before = house.vault.state_hash().unwrap();
            house.vault.rotate().unwrap().wait().unwrap();
            assert_eq!(house.vault.state_hash().unwrap(), before, "{engine:?} seed {seed}: a rotation changes nothing");
            let empty = House::bare(fresh(engine), Arc::clone(&house.promise), house.now(), seed + 1);
            n_people += house.vault.replay_into(&empty.vault).unwrap();
            n_replayed += 1;
            let (running, anew) = (house.vault.state_hash().unwrap(), empty.vault.state_hash().unwrap());
            let same = running.of_the_living() == anew.of_the_living();
            assert!(same, "{engine:?} seed {seed}:\n{running}\n{anew}");
            let opened = empty.reopened();
            assert_eq!(opened.vault.state_hash().unwrap(), anew, "{engine:?} seed {seed}: opened again");
        }
    }
    show(&format!("replayed: {n_replayed} houses of {n_people} people in all, each equal to the one that lived"));
}

/// The gate shows what was done.
#[expect(clippy::print_stdout, reason = "figures of a gate that runs this test")]
fn show(line: &str) {
    println!("{line}");
}

#[test]
fn b02_control_a_fault_planted_in_the_reference_is_noticed() {
    let first = asked("FINELINE_SEED", 1) * 1_000_000;
    for fault in Fault::ALL {
        let n = noticed(fault, first..first + N_CONTROLS_MAX);
        let n = n.unwrap_or_else(|| panic!("{fault:?} was not noticed in {N_CONTROLS_MAX} histories"));
        show(&format!("control caught: {fault:?}, in history {n}"));
    }
}

#[test]
fn b02_control_each_kind_of_change_moves_the_state_hash() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let mut before = house.vault.state_hash().unwrap();
    let mut moved = |what: &str| {
        let after = house.vault.state_hash().unwrap();
        assert_ne!(after.whole(), before.whole(), "{what}");
        before = after;
    };
    house.take(house.order("ada", house.now(), "one more"));
    moved("an event");
    house.vault.reduce(person, vault::Reduction::Less).unwrap().wait().unwrap();
    moved("a limit");
    house.consent(vault::Subject::Profile(person), "measuring", model::ConsentStatus::Given);
    moved("a yes");
    house.consent(vault::Subject::Profile(person), "measuring", model::ConsentStatus::Withdrawn);
    moved("a no");
    let mut order = house.order("ada", house.now(), "with another address");
    order.fields[0].1 = model::Value::Text("ada@new.example".into());
    house.take(order);
    moved("a fact");
    house.consent(crate::fixture::browser("b"), "measuring", model::ConsentStatus::Given);
    moved("a device");
    let (anonymous, user) = (crate::fixture::anonymous("b"), crate::fixture::user("ada"));
    let join = vault::Join { anonymous, user, proof: vault::JoinProof::Claim, at: house.now() };
    house.vault.join(join).unwrap().wait().unwrap().unwrap();
    moved("a tie");
    house.vault.decide(crate::sending::decision(&house, person, 1)).unwrap().wait().unwrap().unwrap();
    moved("a decision");
    crate::sending::begin(&house).unwrap();
    moved("an attempt");
    house.vault.put_house_record("campaign/win_back", Some(b"{}".to_vec())).unwrap().wait().unwrap();
    moved("a record of the house");
    house.clock.advance_days(91);
    moved("time: a trait, and what has expired");
    house.vault.erase(person, vault::Erasure::Now).unwrap().wait().unwrap();
    moved("an erasure");
}

#[test]
fn the_state_hash_does_not_tell_who_read_what_or_how_the_house_keeps_it() {
    let house = House::memory();
    let person = house.customer("ada", 3, 100);
    let before = house.vault.state_hash().unwrap();
    let snapshot = house.vault.snapshot();
    let permit = snapshot.permit(person, house.campaign()).unwrap();
    assert!(permit.fact(&crate::fixture::field("email")).unwrap().is_some());
    drop(permit);
    drop(snapshot);
    house.vault.sweep().unwrap().wait().unwrap();
    house.vault.rotate().unwrap().wait().unwrap();
    assert_eq!(house.vault.state_hash().unwrap(), before);
}
