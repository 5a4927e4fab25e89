//! The house of the gates at scale: so many people and so many orders, taken through the vault's own door, and what each
//! block of them cost. Made once and measured by `./gate read` and `erase` (`tests/gates/scale.py`).
//!
//! `fixture PROMISE FOLDER ENGINE PEOPLE EVENTS SEED` fills `FOLDER/data`, which it makes when it is not there, with its root
//! key in `FOLDER/keys/root`, and prints one line of JSON for each block of events. Each person has an address; one in
//! twenty answered about offers, every fourth of them no. It holds a few calls at a time, so its memory is the vault's.
//!
//! `device_bytes` are the sectors that the whole device wrote meanwhile: what others write to it is among them.
//! `written_bytes` is what this process gave to the kernel to be written.
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
use model::{
    ConsentStatus, EventKind, EventName, FieldName, ItemCode, LineItem, Method, Money, PurposeName, SourceName, Trust,
    Value, Words,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use vault::{
    ConsentChange, EngineKind, Identifier, IdentifierKind, Intake, MessageKey, Options, Outcome, Stage, Subject, Vault,
};

/// Events per call, and calls on their way at the same time: so that the committer never waits for us.
const CALL: u64 = 250;
const CALLS: usize = 4;

/// Events per printed line.
const BLOCK: u64 = 100_000;

/// One person in so many answered about offers.
const ANSWERED: u64 = 20;

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
    std::fs::create_dir_all(folder.join("keys")).expect("a folder for the root key");
    let root = folder.join("keys").join("root").into();
    let options = Options { data: folder.join("data"), engine, root, queue_max: 10_000, witness: None };
    let vault = if engine == EngineKind::Memory {
        Vault::in_memory(household).expect("a house")
    } else {
        if !options.data.exists() {
            Vault::create(&options, &household).expect("a new house");
        }
        Vault::open(&options, household).expect("the house")
    };
    let mut waiting = std::collections::VecDeque::new();
    let mut kept = 0;
    let mut meter = Meter::begin(&vault, &options.data);
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
    answers(&vault, people);
    vault.close().expect("a clean end");
}

/// Some people say yes or no to offers.
fn answers(vault: &Vault, people: u64) {
    let mut waiting = std::collections::VecDeque::new();
    for person in (0..people).step_by(usize::try_from(ANSWERED).unwrap()) {
        let status = match person / ANSWERED % 4 {
            0 => ConsentStatus::Refused,
            _ => ConsentStatus::Given,
        };
        waiting.push_back(vault.consent(answer(person, status)).expect("room in the queue"));
        if waiting.len() >= usize::try_from(CALL).unwrap() {
            waiting.pop_front().unwrap().wait().expect("an answer");
        }
    }
    waiting.into_iter().for_each(|one| drop(one.wait().expect("an answer")));
}

fn answer(person: u64, status: ConsentStatus) -> ConsentChange {
    let now = model::Clock::now(&SystemClock);
    ConsentChange {
        subject: somebody(person),
        source: Some(SourceName::parse("shop").unwrap()),
        purpose: PurposeName::parse("offers").unwrap(),
        status,
        level: None,
        words: Words {
            text: "Send you offers picked from what you bought.".to_owned(),
            language: "en".to_owned(),
            answered_at: now,
        },
        method: Method::Server,
        notice_version: 1,
        made_up: false,
    }
}

fn somebody(person: u64) -> Subject {
    let user = Identifier { kind: IdentifierKind::User, value: format!("u{person}") };
    Subject::Identifiers { user: Some(user), anonymous: None }
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
        subject: somebody(person),
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
    data: PathBuf,
    began: Instant,
    cpu: f64,
    written: u64,
    device: u64,
    plain: u64,
    stages: [f64; 4],
    batches: u64,
    events: u64,
}

impl Meter {
    fn begin(vault: &Vault, data: &Path) -> Self {
        Self {
            data: data.to_path_buf(),
            device: device_bytes(data),
            plain: vault.n_plain_bytes(),
            began: Instant::now(),
            cpu: cpu_seconds(),
            written: written_bytes(),
            stages: STAGES.map(|(stage, _)| vault.spent(stage).as_secs_f64()),
            batches: vault.n_batches(),
            events: 0,
        }
    }

    fn line(&mut self, vault: &Vault, events: u64) {
        let now = Self { events, ..Self::begin(vault, &self.data) };
        let n = (events - self.events) as f64;
        let stages: Vec<String> = (0..STAGES.len())
            .map(|at| format!("\"{}_us\":{:.2}", STAGES[at].1, (now.stages[at] - self.stages[at]) / n * 1e6))
            .collect();
        println!(
            "{{\"events\":{events},\"per_second\":{:.0},\"cpu_us\":{:.2},\"plain_bytes\":{:.0},\"written_bytes\":{:.0},\"device_bytes\":{:.0},\"longest_write_ms\":{:.0},\"per_batch\":{:.0},\"rss_mib\":{:.0},{}}}",
            n / self.began.elapsed().as_secs_f64(),
            (now.cpu - self.cpu) / n * 1e6,
            (now.plain - self.plain) as f64 / n,
            (now.written - self.written) as f64 / n,
            (now.device - self.device) as f64 / n,
            vault.longest_write().as_secs_f64() * 1e3,
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

/// What the device of a folder wrote since the machine began; 0 where the kernel does not tell.
fn device_bytes(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let device = std::fs::metadata(folder).unwrap().dev();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat")).unwrap_or_default();
    stat.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok()).unwrap_or(0) * 512
}

fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}
