//! What one person costs among a million: reading through a permit, and being erased. Opens a house that `fixture` made, in
//! this process, without HTTP, so that what is measured is the vault (`./gate read`, `./gate erase`).
//!
//! `scale read PROMISE FOLDER PEOPLE SEED N`: N people, drawn by SEED, are found by their user id and read as their own page
//! reads them. `scale erase …`: N people are erased, and each is asked for in every way there is. Both print one line of JSON.
//! `held` counts those who were still found where nobody may be found any more; `seen_before` those whom the same questions,
//! put to a reading from before, did find: a question that never finds anybody proves nothing.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring program of its own: it looks at the clock, reads /proc, prints, and ends at its first surprise"
)]

use fineline::{chance::SystemChance, clock::SystemClock, house::household_with};
use model::{ArtefactId, EventKind, EventName, ProfileId, SourceName, Trust};
use promise::ArtefactKind;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault::{
    EngineKind, Erasure, Identifier, IdentifierKind, Intake, MessageKey, Options, Outcome, Snapshot, Subject, Vault,
};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, promise, folder, numbers @ ..] = args.as_slice() else {
        panic!("scale read|erase PROMISE FOLDER PEOPLE SEED N")
    };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [people, seed, n] = numbers[..] else { panic!("PEOPLE SEED N") };
    let text = std::fs::read_to_string(promise).expect("the promise file");
    let promise = Arc::new(promise::parse("promise.toml", &text).expect("a promise without mistakes"));
    let portal = promise.artefact(ArtefactKind::Page, "portal").expect("the portal").id;
    let set = promise.artefacts().values().find(|one| one.kind == ArtefactKind::Campaign).expect("a campaign").id;
    let household = household_with(promise, Arc::new(SystemClock), Arc::new(SystemChance::default()));
    let folder = Path::new(folder);
    let root = folder.join("keys").join("root").into();
    let options =
        Options { data: folder.join("data"), engine: EngineKind::Fjall, root, queue_max: 10_000, witness: None };
    let began = Instant::now();
    let vault = Vault::open(&options, household).expect("the house");
    let opened = began.elapsed();
    drop(vault.snapshot());
    let everybody = began.elapsed();
    let numbers = (0..n).map(|at| (seed.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % people);
    let house = Measured { vault, portal, set };
    let found = match what.as_str() {
        "read" => house.read(numbers),
        "erase" => house.erase(numbers),
        other => panic!("no such measurement: {other}"),
    };
    println!(
        "{{\"n\":{n},\"opened_ms\":{:.1},\"everybody_ms\":{:.1},\"rss_mib\":{:.0},{found}}}",
        opened.as_secs_f64() * 1e3,
        everybody.as_secs_f64() * 1e3,
        resident_mib()
    );
    house.vault.close().expect("a clean end");
}

struct Measured {
    vault: Vault,
    portal: ArtefactId,
    set: ArtefactId,
}

impl Measured {
    /// Found by the blind index, judged, every fact, every event.
    fn read(&self, numbers: impl Iterator<Item = u64>) -> String {
        let (mut points, mut pages, mut n_facts) = (Vec::new(), Vec::new(), 0);
        let strangers = self.vault.snapshot().find(&user(u64::MAX)).is_some();
        let cpu = cpu_seconds();
        for number in numbers {
            let began = Instant::now();
            let snapshot = self.vault.snapshot();
            let person = snapshot.find(&user(number)).expect("somebody of the fixture");
            let permit = snapshot.permit(person, self.portal).expect("their own page");
            n_facts += permit.facts().len();
            points.push(began.elapsed());
            n_facts += permit.all_events(1_000).expect("their events").len();
            pages.push(began.elapsed());
        }
        let cpu = (cpu_seconds() - cpu) / points.len() as f64 * 1e6;
        assert!(n_facts > 0, "nothing was read");
        format!(
            "\"point_us\":{},\"page_us\":{},\"people_per_second\":{:.0},\"cpu_us\":{cpu:.1},\"stranger_found\":{strangers}",
            shown(&mut points),
            shown(&mut pages),
            points.len() as f64 / pages.iter().sum::<Duration>().as_secs_f64()
        )
    }

    /// Acknowledged, and from then on found in no way at all.
    fn erase(&self, numbers: impl Iterator<Item = u64>) -> String {
        let (mut acknowledged, mut invisible) = (Vec::new(), Vec::new());
        let (mut held, mut seen_before) = (0, 0);
        for number in numbers {
            let before = self.vault.snapshot();
            // Drawn twice is erased once.
            let Some(person) = before.find(&user(number)) else { continue };
            let seq = before.permit(person, self.portal).expect("their own page").consent_seq();
            seen_before += usize::from(self.is_found(&before, person, number));
            drop(before);
            let began = Instant::now();
            self.vault.erase(person, Erasure::Now).expect("taken").wait().expect("acknowledged");
            acknowledged.push(began.elapsed());
            let is_found =
                self.is_found(&self.vault.snapshot(), person, number) || self.vault.look(person, seq).is_ok();
            invisible.push(began.elapsed());
            held += usize::from(is_found || self.is_kept(number));
        }
        format!(
            "\"acknowledged_us\":{},\"invisible_us\":{},\"erased\":{},\"held\":{held},\"seen_before\":{seen_before}",
            shown(&mut acknowledged),
            shown(&mut invisible),
            acknowledged.len()
        )
    }

    fn is_found(&self, snapshot: &Snapshot, person: ProfileId, number: u64) -> bool {
        let by_permit = snapshot.permit(person, self.portal).is_ok();
        // Not everybody is in it: it counts where they were.
        let in_set = snapshot.permit_set(self.set).is_ok_and(|set| set.contains(person));
        by_permit || in_set || snapshot.find(&user(number)).is_some()
    }

    /// Whether an event about somebody who left is kept: a late one from the company's server.
    fn is_kept(&self, number: u64) -> bool {
        let late = Intake {
            subject: Subject::Identifiers { user: Some(user(number)), anonymous: None },
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.vault.now(),
            source_day: None,
            properties: BTreeMap::new(),
            lines: Vec::new(),
            fields: Vec::new(),
            told_version: None,
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(format!("late-{number}")),
        };
        let outcomes = self.vault.take(vec![late]).expect("taken").wait().expect("judged");
        outcomes.iter().any(|outcome| matches!(outcome, Outcome::Kept { .. }))
    }
}

fn user(number: u64) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: format!("u{number}") }
}

/// Median, 99th percentile and longest, in microseconds.
fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    format!("{{\"p50\":{:.1},\"p99\":{:.1},\"max\":{:.1}}}", at(0.5), at(0.99), at(1.0))
}

/// User and system time of this process; the kernel counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
