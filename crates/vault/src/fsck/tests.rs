//! A whole house is found whole; every edit of a row is named, or is of a kind that nothing counts, or changes nothing. Random
//! edits in `edits`; here each check by itself.

mod edits;

use super::*;
use crate::disk::Disk;
use crate::engine::{Engine, Op};
use crate::record::{
    AnonymousSale, ConsentChange, Erasure, Identifier, IdentifierKind, Intake, Item, ItemBasis, Join, JoinProof,
    MessageKey, NewDecision, Reduction, Review, Subject, Trace,
};
use crate::{NoProjection, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    At, CampaignName, Class, ConsentStatus, Currency, DecisionId, EventKind, EventName, FieldName, ItemCode, LineItem,
    Method, Money, OfferName, PurposeName, SourceName, Trust, Value, Words,
};
use promise::{ArtefactKind, ChannelKind};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(super) struct Home {
    household: Household,
    clock: Arc<ManualClock>,
    pub(super) options: Options,
    folder: tempfile::TempDir,
    ada: ProfileId,
    eve: ProfileId,
}

pub(super) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

fn user(name: &str) -> Identifier {
    Identifier { kind: IdentifierKind::User, value: name.into() }
}

fn purpose(name: &str) -> PurposeName {
    PurposeName::parse(name).unwrap()
}

impl Home {
    /// A house with something of everything in it.
    pub(super) fn new() -> Self {
        Self::seeded(5)
    }

    fn seeded(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let household = Household {
            promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
            clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
            rng: Arc::new(Seeded::new(seed)),
            projection: Arc::new(NoProjection),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let options = Options {
            data: path("data"),
            engine: EngineKind::Redb,
            root: path("root").into(),
            queue_max: 100,
            witness: Some(path("witness")),
        };
        Vault::create(&options, &household).unwrap();
        let nobody = ProfileId::from_bytes([0; 16]);
        let mut home = Self { household, clock, options, folder, ada: nobody, eve: nobody };
        home.live();
        home
    }

    fn open(&self) -> Vault {
        Vault::open(&self.options, self.household.clone()).unwrap()
    }

    fn order(&self, name: &str, key: &str) -> Intake {
        let price = Money::parse("12.50", Currency::GBP).unwrap();
        Intake {
            subject: Subject::Identifiers { user: Some(user(name)), anonymous: None },
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.household.clock.now(),
            source_day: None,
            properties: BTreeMap::from([
                ("order_id".into(), Value::Text(key.into())),
                ("total".into(), Value::Money(price)),
            ]),
            lines: vec![LineItem { row: 1, item: ItemCode::parse("85123A").unwrap(), quantity: 1, price }],
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{name}@shop.example")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(key.into()),
        }
    }

    fn answer(&self, subject: Subject, status: ConsentStatus) -> ConsentChange {
        ConsentChange {
            subject,
            source: None,
            purpose: purpose("offers"),
            status,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.household.clock.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        }
    }

    fn later(&self, ms: i64) {
        self.clock.set(self.household.clock.now().plus_ms(ms));
    }

    fn decide(&self, vault: &Vault, person: ProfileId, channel: ChannelKind, run: u32) -> DecisionId {
        let snapshot = vault.snapshot();
        let campaign = self.household.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        let permit = snapshot.permit(person, campaign).unwrap();
        let trace = Trace {
            facts: Vec::new(),
            steps: Vec::new(),
            texts: ["Back?".into(), "Come".into(), "Because".into()],
            slots: BTreeMap::new(),
            propensity_micros: 900_000,
            basis: ItemBasis::Popular,
            shared_by: 60,
            exposure: "private_mail".into(),
            promise: [0; 32],
            notice_version: 1,
        };
        let decision = NewDecision {
            id: DecisionId::new(vault.now(), self.household.rng.as_ref()),
            person,
            artefact: campaign,
            campaign: CampaignName::parse("win_back").unwrap(),
            consent_seq: permit.consent_seq(),
            offer: Some(OfferName::parse(self.household.promise.offers.keys().next().unwrap().as_str()).unwrap()),
            item: None,
            held_out: false,
            channel,
            send_at: None,
            run,
            replaces: None,
            trace,
        };
        drop(permit);
        vault.decide(decision).unwrap().wait().unwrap().unwrap()
    }

    fn live(&mut self) {
        let vault = self.open();
        for artefact in self.household.promise.artefacts().values() {
            let review = Review { artefact: artefact.id, staff: "Ada".into(), role: "privacy".into(), at: vault.now() };
            vault.review(review).unwrap().wait().unwrap();
        }
        let item = Item {
            code: ItemCode::parse("85123A").unwrap(),
            title: "Candle".into(),
            group: "LIGHT".into(),
            class: Class::Plain,
            price: None,
        };
        vault.put_items(vec![item]).unwrap().wait().unwrap();
        let shop = SourceName::parse("shop").unwrap();
        vault.issue_source_key(&shop, false).unwrap().wait().unwrap();
        vault.put_house_record("campaign/win_back", Some(b"running".to_vec())).unwrap().wait().unwrap();
        let price = Money::parse("3.00", Currency::GBP).unwrap();
        let sale = AnonymousSale {
            row: 1,
            invoice: [9; 16],
            occurred_at: vault.now(),
            line: LineItem { row: 1, item: ItemCode::parse("85123A").unwrap(), quantity: 2, price },
            event: EventName::parse("Order Completed").unwrap(),
        };
        vault.put_anonymous_sales(vec![sale]).unwrap().wait().unwrap();
        for name in ["ada", "eve", "ida", "zoe"] {
            for n in 0..3 {
                self.later(1_000);
                vault.take(vec![self.order(name, &format!("{name}-{n}"))]).unwrap().wait().unwrap();
            }
            let subject = Subject::Identifiers { user: Some(user(name)), anonymous: None };
            vault.consent(self.answer(subject, ConsentStatus::Given)).unwrap().wait().unwrap();
        }
        let find = |name: &str| vault.snapshot().find(&user(name)).unwrap();
        let (ada, eve, ida, zoe) = (find("ada"), find("eve"), find("ida"), find("zoe"));
        (self.ada, self.eve) = (ada, eve);
        let anonymous = Identifier { kind: IdentifierKind::Anonymous, value: "browser".into() };
        let browser = Subject::Identifiers { user: None, anonymous: Some(anonymous.clone()) };
        vault.consent(self.answer(browser, ConsentStatus::Given)).unwrap().wait().unwrap();
        let join = Join { anonymous, user: user("ada"), proof: JoinProof::ServerKey, at: vault.now() };
        vault.join(join).unwrap().wait().unwrap().unwrap();
        let mail = self.decide(&vault, ada, ChannelKind::Email, 1);
        vault.message_token(mail).unwrap().wait().unwrap().unwrap();
        self.decide(&vault, eve, ChannelKind::Page, 1);
        self.decide(&vault, ida, ChannelKind::Email, 1);
        self.later(60_000);
        vault.consent(self.answer(Subject::Profile(eve), ConsentStatus::Withdrawn)).unwrap().wait().unwrap();
        vault.consent(self.answer(Subject::Profile(eve), ConsentStatus::Given)).unwrap().wait().unwrap();
        vault.reduce(ida, Reduction::Less).unwrap().wait().unwrap();
        vault.erase(zoe, Erasure::WithinADay).unwrap().wait().unwrap();
        let subject = Subject::Identifiers { user: Some(user("uma")), anonymous: None };
        let uma = vault.consent(self.answer(subject, ConsentStatus::Given)).unwrap().wait().unwrap().profile.unwrap();
        vault.erase(uma, Erasure::Now).unwrap().wait().unwrap();
        vault.sweep().unwrap().wait().unwrap();
        vault.close().unwrap();
    }

    pub(super) fn check(&self) -> Vec<Finding> {
        check(&self.options, &self.household)
    }

    pub(super) fn household(&self) -> &Household {
        &self.household
    }

    /// A copy of the data folder to be spoiled.
    pub(super) fn copied(&self) -> (tempfile::TempDir, Options) {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&self.options.data, &data);
        let options = Options { data, ..self.options.clone() };
        (folder, options)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.options.data.join(name)
    }
}

pub(super) fn check(options: &Options, household: &Household) -> Vec<Finding> {
    let mut findings = Vec::new();
    let checked = fsck(options, household.clone(), &mut |told| {
        if let Told::Found(finding) = told {
            findings.push(finding);
        }
    });
    assert_eq!(checked.unwrap().n_findings, findings.len() as u64);
    findings
}

pub(super) fn store(options: &Options) -> Arc<dyn Engine> {
    engine::open(options.engine, &options.data.join("store")).unwrap()
}

/// What is found after some ops on a copy.
fn after(home: &Home, ops: Vec<Op>) -> Vec<Finding> {
    let (_folder, options) = home.copied();
    store(&options).commit(ops).unwrap();
    check(&options, home.household())
}

fn rows(home: &Home, keyspace: Keyspace, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    store(&home.options).snapshot().scan(keyspace, prefix).map(Result::unwrap).collect()
}

#[test]
fn a_whole_house_has_no_findings_and_something_of_everything() {
    let home = Home::new();
    assert_eq!(home.check(), []);
    for keyspace in Keyspace::ALL {
        assert!(!rows(&home, keyspace, &[]).is_empty(), "{}", keyspace.name());
    }
    for prefix in [b"s/", b"y/", b"i/", b"h/", b"r/", b"k/", b"n/", b"l/", b"q/", b"g/"] {
        assert!(!rows(&home, Keyspace::House, prefix).is_empty(), "{}", String::from_utf8_lossy(prefix));
    }
    for prefix in [b"b", b"d", b"m", b"t"] {
        assert!(!rows(&home, Keyspace::Index, prefix).is_empty(), "{}", String::from_utf8_lossy(prefix));
    }
    let mut n_told = 0;
    let checked = fsck(&home.options, home.household.clone(), &mut |_| n_told += 1).unwrap();
    assert!(checked.n_batches > 20 && checked.n_people == 4 && checked.n_rows > 40, "{checked:?}");
    assert!(n_told > 0, "it says how far it is");
}

#[test]
fn d14_the_record_that_was_changed_is_the_one_that_is_named() {
    let home = Home::new();
    let (ada, eve) = (home.ada, home.eve);
    let key = |tail: &[u8]| [ada.as_bytes().as_slice(), tail].concat();
    let named = |ops: Vec<Op>, place: Keyspace, record: &str| {
        let findings = after(&home, ops);
        assert!(findings.iter().all(|finding| finding.place == place.name()), "{findings:#?}");
        assert!(findings.iter().any(|finding| finding.record.contains(record)), "{record}: {findings:#?}");
        findings.len()
    };
    let answer = rows(&home, Keyspace::Ledger, ada.as_bytes());
    let gone = Op::Delete(Keyspace::Ledger, answer[0].0.clone());
    assert_eq!(
        named(vec![gone], Keyspace::Ledger, &format!("{ada} answers 0 to 0")),
        2,
        "by its number, and by the tally"
    );
    let beyond = Op::Put(Keyspace::Ledger, key(&9u64.to_be_bytes()), answer[0].1.clone());
    assert_eq!(named(vec![beyond], Keyspace::Ledger, &format!("{ada} answer 9")), 2);
    let keys = [ada, eve].map(|id| rows(&home, Keyspace::Keys, id.as_bytes()).remove(0));
    let swapped = [(0, 1), (1, 0)].map(|(at, from)| Op::Put(Keyspace::Keys, keys[at].0.clone(), keys[from].1.clone()));
    let n = named(swapped.to_vec(), Keyspace::Keys, &ada.to_string());
    assert_eq!(n, 2, "each of the two, and nothing that only follows from it");
    let link = rows(&home, Keyspace::House, crate::chain::CHAIN).remove(4);
    let mut changed = link.1.clone();
    changed[3] ^= 1;
    assert_eq!(named(vec![Op::Put(Keyspace::House, link.0, changed)], Keyspace::House, "batch 5"), 1);
    let node = [crate::chain::NODE, &crate::chain::node_key(crate::log::Node { level: 2, index: 1 })].concat();
    let other = Op::Put(Keyspace::House, node, vec![7; 32]);
    assert_eq!(named(vec![other], Keyspace::House, "node 1 of level 2"), 1);
}

#[test]
fn d14_whoever_was_erased_and_comes_back_is_named() {
    let home = Home::new();
    let (folder, older) = home.copied();
    let vault = Vault::open(&Options { witness: None, ..home.options.clone() }, home.household.clone()).unwrap();
    vault.erase(home.ada, Erasure::Now).unwrap().wait().unwrap();
    vault.close().unwrap();
    drop(vault);
    assert_eq!(check(&Options { witness: None, ..home.options.clone() }, home.household()), []);
    let before = store(&older).snapshot();
    let back = |keyspace| {
        let rows = before.scan(keyspace, home.ada.as_bytes()).map(Result::unwrap);
        rows.map(move |(key, value)| Op::Put(keyspace, key, value)).collect::<Vec<_>>()
    };
    let with_key = after(&home, back(Keyspace::Keys));
    assert!(
        with_key.iter().any(|finding| finding.what.contains("was erased, and its key row is back")),
        "{with_key:#?}"
    );
    let without = after(&home, back(Keyspace::Events));
    assert!(
        without.iter().all(|finding| finding.what.contains("belongs to nobody")) && without.len() == 3,
        "{without:#?}"
    );
    drop(folder);
}

#[test]
fn d14_files_that_are_older_missing_or_of_another_house_are_named() {
    let home = Home::new();
    let (_folder, older) = home.copied();
    let vault = home.open();
    vault.erase(home.ada, Erasure::Now).unwrap().wait().unwrap();
    vault.close().unwrap();
    drop(vault);
    let other = Home::seeded(6);
    for (file, place) in
        [("tombstones", "tombstones"), ("head", "head"), ("urgent.log", "urgent.log"), ("keys/ring", "keys/ring")]
    {
        for (how, bytes) in [
            ("missing", None),
            ("empty", Some(Vec::new())),
            ("older", Disk::read(&older.data.join(file)).unwrap()),
            ("foreign", Disk::read(&other.file(file)).unwrap()),
        ] {
            let (_folder, options) = home.copied();
            let path = options.data.join(file);
            let now = Disk::read(&path).unwrap();
            match &bytes {
                Some(bytes) => Disk::replace(&path, bytes).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            let findings = check(&options, home.household());
            // An older or empty head, and an older or empty urgent log lose nothing.
            let is_harmless = bytes == now || (file == "head" && ["older", "empty"].contains(&how));
            let is_named = findings.iter().any(|finding| finding.place == place);
            assert_eq!(is_named, !is_harmless, "{file} {how}: {findings:#?}");
        }
    }
    let set_back = check(&Options { data: older.data, ..home.options.clone() }, home.household());
    assert!(set_back.iter().any(|finding| finding.place == "witness"), "{set_back:#?}");
    let missing = Options { witness: Some(home.folder.path().join("nowhere")), ..home.options.clone() };
    assert_eq!(check(&missing, home.household()).len(), 1);
}
