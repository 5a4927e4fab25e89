//! The house of the gates at scale: so many people and so many orders, taken through the vault's own door, and what each
//! hundred thousand of them cost. Made once, copied and measured by `./gate scale`.
//!
//! `fixture PROMISE FOLDER ENGINE PEOPLE EVENTS SEED` makes `FOLDER/data` and `FOLDER/root` and prints one line of JSON for
//! each block of events. A quarter of the people answered no to offers; each has an address.
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
use model::{EventKind, EventName, FieldName, ItemCode, LineItem, Money, SourceName, Trust, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use vault::{EngineKind, Identifier, IdentifierKind, Intake, MessageKey, Options, Outcome, Stage, Subject, Vault};

/// Events per call, and calls on their way at the same time: so that the committer never waits for us.
const CALL: u64 = 250;
const CALLS: usize = 4;

/// Events per printed line.
const BLOCK: u64 = 100_000;

const STAGES: [(Stage, &str); 4] =
    [(Stage::Judge, "judge"), (Stage::Seal, "seal"), (Stage::Write, "write"), (Stage::Publish, "publish")];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [promise, folder, engine, numbers @ ..] = args.as_slice() else {
        panic!("fixture PROMISE FOLDER ENGINE PEOPLE EVENTS SEED")
    };
    let numbers: Vec<u64> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [people, events, seed] = numbers[..] else { panic!("PEOPLE EVENTS SEED") };
    let text = std::fs::read_to_string(promise).expect("the promise file");
    let promise = Arc::new(promise::parse("promise.toml", &text).expect("a promise without mistakes"));
    let household = household_with(promise, Arc::new(SystemClock), Arc::new(SystemChance::default()));
    let folder = PathBuf::from(folder);
    let engine = match engine.as_str() {
        "fjall" => EngineKind::Fjall,
        "redb" => EngineKind::Redb,
        "memory" => EngineKind::Memory,
        other => panic!("no engine {other}"),
    };
    let root = folder.join("root").into();
    let options = Options { data: folder.join("data"), engine, root, queue_max: 10_000, witness: None };
    let vault = if engine == EngineKind::Memory {
        Vault::in_memory(household).expect("a house")
    } else {
        Vault::create(&options, &household).expect("a new house");
        Vault::open(&options, household).expect("the house")
    };
    let mut waiting = std::collections::VecDeque::new();
    let mut kept = 0;
    let mut meter = Meter::begin(&vault);
    for call in 0..events.div_ceil(CALL) {
        let numbers = call * CALL..((call + 1) * CALL).min(events);
        let intake = numbers.map(|number| order(number, people, seed)).collect();
        waiting.push_back(vault.take(intake).expect("room in the queue"));
        if waiting.len() >= CALLS {
            kept += n_kept(waiting.pop_front().unwrap().wait().expect("an answer"));
        }
        let done = ((call + 1) * CALL).min(events);
        if done % BLOCK == 0 || done == events {
            while let Some(one) = waiting.pop_front() {
                kept += n_kept(one.wait().expect("an answer"));
            }
            assert_eq!(kept, done, "every order is kept");
            meter.line(&vault, done);
        }
    }
    vault.close().expect("a clean end");
}

fn n_kept(outcomes: Vec<Outcome>) -> u64 {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Kept { .. })).count() as u64
}

/// One order of somebody: the first of each in turn, so that everybody is known, then of anybody.
fn order(number: u64, people: u64, seed: u64) -> Intake {
    let person = match number < people {
        true => number,
        false => (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % people,
    };
    let line = |row: u64, item: String, quantity: i32, pence: i64| LineItem {
        row,
        item: ItemCode::parse(&item).unwrap(),
        quantity,
        price: money(pence),
    };
    let first = number < people;
    Intake {
        subject: Subject::Identifiers {
            user: Some(Identifier { kind: IdentifierKind::User, value: format!("u{person}") }),
            anonymous: None,
        },
        kind: EventKind::Track,
        name: EventName::parse("Order Completed").unwrap(),
        source: SourceName::parse("shop").unwrap(),
        trust: Trust::Server,
        occurred_at: model::Clock::now(&SystemClock),
        source_day: None,
        properties: BTreeMap::from([
            ("order_id".to_owned(), Value::Text(format!("o-{seed}-{number}"))),
            ("total".to_owned(), Value::Money(money(2_450))),
        ]),
        lines: vec![line(0, format!("MUG{}", number % 97), 2, 725), line(1, format!("BAG{}", number % 89), 1, 1_000)],
        fields: match first {
            true => vec![(FieldName::parse("email").unwrap(), Value::Text(format!("u{person}@people.example")))],
            false => Vec::new(),
        },
        told_version: first.then_some(1),
        consent: BTreeMap::new(),
        message_key: MessageKey::Wire(format!("{seed}-{number}")),
    }
}

fn money(pence: i64) -> Money {
    Money { micros: pence * 10_000, currency: model::Currency::parse("GBP").unwrap() }
}

/// What a block cost.
struct Meter {
    began: Instant,
    cpu: f64,
    written: u64,
    stages: [f64; 4],
    batches: u64,
    events: u64,
}

impl Meter {
    fn begin(vault: &Vault) -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu_seconds(),
            written: written_bytes(),
            stages: STAGES.map(|(stage, _)| vault.spent(stage).as_secs_f64()),
            batches: vault.n_batches(),
            events: 0,
        }
    }

    fn line(&mut self, vault: &Vault, events: u64) {
        let now = Self { events, ..Self::begin(vault) };
        let n = (events - self.events) as f64;
        let stages: Vec<String> = (0..STAGES.len())
            .map(|at| format!("\"{}_us\":{:.2}", STAGES[at].1, (now.stages[at] - self.stages[at]) / n * 1e6))
            .collect();
        println!(
            "{{\"events\":{events},\"per_second\":{:.0},\"cpu_us\":{:.2},\"written_bytes\":{:.0},\"per_batch\":{:.0},\"rss_mib\":{:.0},{}}}",
            n / self.began.elapsed().as_secs_f64(),
            (now.cpu - self.cpu) / n * 1e6,
            (now.written - self.written) as f64 / n,
            n / (now.batches - self.batches).max(1) as f64,
            resident_mib(),
            stages.join(",")
        );
        *self = now;
    }
}

/// User and system time of this process; the kernel counts in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn written_bytes() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
