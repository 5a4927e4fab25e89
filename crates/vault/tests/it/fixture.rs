//! One house, one shop, some people: what every test begins with.

use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    ArtefactId, At, ConsentStatus, Currency, Day, Event, EventKind, EventName, FieldName, ItemCode, LineItem, Method,
    Money, ProfileId, PurposeName, SegmentName, SourceName, TraitName, Trust, Value, Words,
};
use promise::{ArtefactKind, Promise};
use std::collections::BTreeMap;
use std::sync::Arc;
use vault::{
    Bucket, ConsentChange, EngineKind, Household, Identifier, IdentifierKind, Intake, MessageKey, Options, Outcome,
    Projection, Subject, TraitColumn, Vault,
};

/// Today, in the tests.
pub const TODAY: &str = "2026-11-23T12:00:00Z";

/// Every engine: PostgreSQL too, where there is a server to start (said aloud where there is none).
pub struct Engines;

pub const ENGINES: Engines = Engines;

impl IntoIterator for Engines {
    type Item = EngineKind;
    type IntoIter = std::vec::IntoIter<EngineKind>;

    fn into_iter(self) -> Self::IntoIter {
        let embedded = [EngineKind::Memory, EngineKind::Fjall, EngineKind::Redb];
        embedded.into_iter().chain(postgres()).collect::<Vec<_>>().into_iter()
    }
}

/// A schema that nobody uses in a server of the tests' own.
pub fn postgres() -> Option<EngineKind> {
    Some(EngineKind::Postgres(vault::Server::new(&crate::local::schema()?, None, None).unwrap()))
}

/// The same engine for another house: in PostgreSQL a schema that nobody uses.
pub fn fresh(engine: EngineKind) -> EngineKind {
    if matches!(engine, EngineKind::Postgres(_)) { postgres().unwrap() } else { engine }
}

/// A house with its clock.
pub struct House {
    pub vault: Vault,
    pub clock: Arc<ManualClock>,
    pub promise: Arc<Promise>,
    household: Household,
    options: Option<Options>,
    folder: Option<tempfile::TempDir>,
}

impl House {
    pub fn memory() -> Self {
        Self::over(EngineKind::Memory)
    }

    pub fn over(engine: EngineKind) -> Self {
        Self::with(engine, promise::fixture::SHOP)
    }

    pub fn with(engine: EngineKind, text: &str) -> Self {
        Self::seeded(engine, text, 7)
    }

    pub fn seeded(engine: EngineKind, text: &str, seed: u64) -> Self {
        Self::under(engine, &Arc::new(promise::parse("shop.toml", text).expect("the shop's promise parses")), seed)
    }

    /// The same with a promise that was read already. Each house in a schema of its own, also when two are made over one
    /// engine.
    pub fn under(engine: EngineKind, promise: &Arc<Promise>, seed: u64) -> Self {
        Self::in_schema(fresh(engine), promise, seed)
    }

    /// In the very schema that the engine names.
    pub fn exactly(engine: EngineKind, text: &str, seed: u64) -> Self {
        Self::in_schema(engine, &Arc::new(promise::parse("shop.toml", text).expect("the shop's promise parses")), seed)
    }

    fn in_schema(engine: EngineKind, promise: &Arc<Promise>, seed: u64) -> Self {
        let promise = Arc::clone(promise);
        let house = Self::bare(engine, promise, At::parse(TODAY).unwrap(), seed);
        if engine != EngineKind::Memory {
            house.review_all();
        }
        house
    }

    /// An empty house at an instant. In memory everything is reviewed, by somebody else than [`House::review_all`] names.
    pub fn bare(engine: EngineKind, promise: Arc<Promise>, now: At, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(now));
        let household = Household {
            promise: Arc::clone(&promise),
            clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
            rng: Arc::new(Seeded::new(seed)),
            projection: Arc::new(Counts::new()),
        };
        if engine == EngineKind::Memory {
            return Self::in_memory(household, clock);
        }
        Self::within(tempfile::tempdir().unwrap(), engine, household, clock, None)
    }

    pub fn in_memory(household: Household, clock: Arc<ManualClock>) -> Self {
        Self::opened(Vault::in_memory(household.clone()).unwrap(), household, clock)
    }

    /// A house that is made in this folder.
    pub fn within(
        folder: tempfile::TempDir,
        engine: EngineKind,
        household: Household,
        clock: Arc<ManualClock>,
        witness: Option<&str>,
    ) -> Self {
        let promise = Arc::clone(&household.promise);
        let options = Options {
            data: folder.path().join("data"),
            engine,
            root: folder.path().join("root").into(),
            queue_max: 1_000,
            witness: witness.map(|name| folder.path().join(name)),
        };
        Vault::create(&options, &household).unwrap();
        let vault = Vault::open(&options, household.clone()).unwrap();
        Self { vault, clock, promise, household, options: Some(options), folder: Some(folder) }
    }

    /// One that is open already.
    pub fn opened(vault: Vault, household: Household, clock: Arc<ManualClock>) -> Self {
        let promise = Arc::clone(&household.promise);
        Self { vault, clock, promise, household, options: None, folder: None }
    }

    pub fn review_all(&self) {
        for artefact in self.vault.snapshot().artefacts() {
            let review =
                vault::Review { artefact: artefact.id, staff: "Ada".into(), role: "privacy".into(), at: self.now() };
            self.vault.review(review).unwrap().wait().unwrap();
        }
    }

    /// Closes and opens again; in memory nothing happens.
    pub fn reopened(self) -> Self {
        let Self { vault, clock, promise, household, options, folder } = self;
        let Some(options) = options else { return Self { vault, clock, promise, household, options: None, folder } };
        drop(vault);
        let vault = Vault::open(&options, household.clone()).unwrap();
        Self { vault, clock, promise, household, options: Some(options), folder }
    }

    /// Another node over the same store: the same folder and clock, chance of its own.
    pub fn another_node(&self, seed: u64) -> Vault {
        let (options, household) = self.parts();
        let household = Household { rng: Arc::new(Seeded::new(seed)), ..household.clone() };
        Vault::open(options, household).unwrap()
    }

    /// Opens again under another promise.
    pub fn reopened_with(self, text: &str) -> Self {
        self.reopened_under(Arc::new(promise::parse("shop.toml", text).expect("the promise parses")))
    }

    /// The same with a promise that was read already.
    pub fn reopened_under(self, promise: Arc<Promise>) -> Self {
        let mut house = self;
        house.promise = Arc::clone(&promise);
        house.household.promise = promise;
        house.reopened()
    }

    pub fn parts(&self) -> (&Options, &Household) {
        (self.options.as_ref().unwrap(), &self.household)
    }

    /// Closes the vault; the folder stays as long as what is returned.
    pub fn close(self) -> Option<tempfile::TempDir> {
        drop(self.vault);
        self.folder
    }

    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(tempfile::TempDir::path)
    }

    pub fn now(&self) -> At {
        self.vault.now()
    }

    pub fn artefact(&self, kind: ArtefactKind, name: &str) -> ArtefactId {
        self.promise.artefact(kind, name).unwrap().id
    }

    pub fn campaign(&self) -> ArtefactId {
        self.artefact(ArtefactKind::Campaign, "win_back")
    }

    pub fn portal(&self) -> ArtefactId {
        self.artefact(ArtefactKind::Page, "portal")
    }

    pub fn take(&self, intake: Intake) -> Outcome {
        self.vault.take(vec![intake]).unwrap().wait().unwrap()[0]
    }

    pub fn find(&self, user: &str) -> Option<ProfileId> {
        self.vault.snapshot().find(&self::user(user))
    }

    pub fn consent(&self, subject: Subject, name: &str, status: ConsentStatus) -> vault::ConsentAnswer {
        self.vault.consent(self.answer(subject, name, status)).unwrap().wait().unwrap()
    }

    pub fn answer(&self, subject: Subject, name: &str, status: ConsentStatus) -> ConsentChange {
        ConsentChange {
            subject,
            source: None,
            purpose: purpose(name),
            status,
            level: None,
            words: words(self.now()),
            method: Method::SiteForm,
            notice_version: 1,
            made_up: false,
        }
    }

    /// A customer with some orders, the last one so many days ago, who said yes to offers.
    pub fn customer(&self, name: &str, n_orders: u32, last_days_ago: i32) -> ProfileId {
        for n in 0..n_orders {
            let at = self.now().plus_days(-last_days_ago - i32::try_from(n).unwrap() * 10);
            let outcome = self.take(self.order(name, at, &format!("{name}-{n}")));
            assert!(matches!(outcome, Outcome::Kept { .. }), "{outcome:?}");
        }
        let person = self.find(name).unwrap();
        let answer = self.consent(Subject::Profile(person), "offers", ConsentStatus::Given);
        assert_eq!(answer.profile, Some(person));
        person
    }

    /// An order as the shop's server or a history reports it.
    pub fn order(&self, name: &str, at: At, key: &str) -> Intake {
        let mut bytes = [0; 16];
        for (target, source) in bytes.iter_mut().zip(key.bytes().rev()) {
            *target = source;
        }
        let price = Money::parse("12.50", Currency::GBP).unwrap();
        Intake {
            subject: Subject::Identifiers { user: Some(user(name)), anonymous: None },
            kind: EventKind::Track,
            name: event("Order Completed"),
            source: SourceName::parse("history").unwrap(),
            trust: Trust::Import,
            occurred_at: at,
            source_day: None,
            properties: BTreeMap::from([
                ("order_id".into(), Value::Text(key.into())),
                ("total".into(), Value::Money(price)),
            ]),
            lines: vec![LineItem { row: 1, item: ItemCode::parse("85123A").unwrap(), quantity: 1, price }],
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{name}@shop.example")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::History(bytes),
        }
    }

    /// A page view as a browser sends it.
    pub fn page(&self, browser: &str, message: &str) -> Intake {
        Intake {
            subject: Subject::Identifiers { user: None, anonymous: Some(anonymous(browser)) },
            kind: EventKind::Page,
            name: event("Page Viewed"),
            source: SourceName::parse("web").unwrap(),
            trust: Trust::Browser,
            occurred_at: self.now(),
            source_day: None,
            properties: BTreeMap::from([("path".into(), Value::Text("/candles".into()))]),
            lines: Vec::new(),
            fields: Vec::new(),
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(message.into()),
        }
    }
}

pub fn user(name: &str) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: name.into() }
}

pub fn anonymous(name: &str) -> Identifier {
    Identifier { kind: IdentifierKind::Anonymous, value: name.into() }
}

pub fn browser(name: &str) -> Subject {
    Subject::Identifiers { user: None, anonymous: Some(anonymous(name)) }
}

pub fn purpose(name: &str) -> PurposeName {
    PurposeName::parse(name).unwrap()
}

pub fn event(name: &str) -> EventName {
    EventName::parse(name).unwrap()
}

pub fn field(name: &str) -> model::FactName {
    model::FactName::Field(FieldName::parse(name).unwrap())
}

pub fn computed(name: &str) -> model::FactName {
    model::FactName::Trait(TraitName::parse(name).unwrap())
}

pub fn words(at: At) -> Words {
    Words { text: "Yes, pick offers from what I bought.".into(), language: "en".into(), answered_at: at }
}

/// The shop's traits and its one segment, computed the slow and obvious way.
pub struct Counts {
    columns: Vec<TraitColumn>,
    segments: Vec<SegmentName>,
}

impl Counts {
    pub fn new() -> Self {
        let column = |name: &str| TraitColumn {
            name: TraitName::parse(name).unwrap(),
            event: EventName::parse("Order Completed").unwrap(),
        };
        Self {
            columns: ["orders_all", "orders_90d", "days_since_order", "spent_all"].map(column).to_vec(),
            segments: vec![SegmentName::parse("lapsed").unwrap()],
        }
    }
}

impl Projection for Counts {
    fn columns(&self) -> &[TraitColumn] {
        &self.columns
    }

    fn fold(&self, event: &Event, sign: i64, buckets: &mut Vec<Bucket>) {
        if event.name.as_str() != "Order Completed" {
            return;
        }
        let total = match event.properties.get("total") {
            Some(Value::Money(money)) => money.micros,
            _ => 0,
        };
        for (column, amount) in [(0, 1), (1, 1), (2, 1), (3, total)] {
            let day = event.occurred_at.day();
            match buckets.iter_mut().find(|bucket| bucket.column == column && bucket.day == day) {
                Some(bucket) => bucket.amount += sign * amount,
                None => buckets.push(Bucket { column, day, amount: sign * amount }),
            }
        }
        buckets.retain(|bucket| bucket.amount != 0);
        buckets.sort_by_key(|bucket| (bucket.column, bucket.day));
    }

    fn values(&self, buckets: &[Bucket], today: Day) -> (Vec<Option<i64>>, Option<Day>) {
        let of = |column: u16| buckets.iter().filter(move |bucket| bucket.column == column);
        let all: i64 = of(0).map(|bucket| bucket.amount).sum();
        let window = |bucket: &&Bucket| today.since(bucket.day) < 90;
        let recent: i64 = of(1).filter(window).map(|bucket| bucket.amount).sum();
        let last = of(2).map(|bucket| bucket.day).max();
        let spent: i64 = of(3).map(|bucket| bucket.amount).sum();
        let values = vec![Some(all), Some(recent), last.map(|day| i64::from(today.since(day))), last.map(|_| spent)];
        (values, last.map(|_| today.plus(1)))
    }

    fn segments(&self) -> &[SegmentName] {
        &self.segments
    }

    fn members(&self, values: &[Option<i64>]) -> Vec<bool> {
        let at_least_three = values.first().copied().flatten().is_some_and(|all| all >= 3);
        let none_lately = values.get(1).copied().flatten() == Some(0);
        vec![at_least_three && none_lately]
    }
}

/// Every file below a folder, whole, in order.
pub fn files(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            #[expect(clippy::disallowed_methods, reason = "the tests read what a thief would")]
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// Whether some bytes stand in others. Pages of zeros, of which engines make plenty, are passed over.
pub fn contains(content: &[u8], bytes: &[u8]) -> bool {
    const PAGE: usize = 4_096;
    let zeros = [0; PAGE];
    content.chunks(PAGE).enumerate().any(|(n, page)| {
        let end = (n * PAGE + PAGE + bytes.len()).min(content.len());
        page != &zeros[..page.len()] && content[n * PAGE..end].windows(bytes.len()).any(|window| window == bytes)
    }) || straddles(content, bytes, PAGE)
}

/// A page of zeros may end in the first byte of what is looked for only when that byte is zero.
fn straddles(content: &[u8], bytes: &[u8], page: usize) -> bool {
    bytes[0] == 0
        && (page..content.len()).step_by(page).any(|at| {
            let around = &content[at - bytes.len().min(at)..(at + bytes.len()).min(content.len())];
            around.windows(bytes.len()).any(|window| window == bytes)
        })
}
