//! What an erasure takes and leaves, row by row: undone in its day everything is as before, and after it nothing is left of
//! a person but what the design names.

use super::*;
use crate::engine::Op;
use crate::fixture::{ENGINES, fresh};
use crate::format::{CoreForm, UseRunForm};
use crate::record::{
    ConsentChange, ErasedWho, Identifier, IdentifierKind, Intake, Join, JoinProof, MessageKey, NewDecision, NotUndone,
    Reduction, StaffAct, Subject, UndoneBy,
};
use crate::{EngineKind, Household, ItemBasis, NoProjection, Options, Trace, Vault};
use model::chance::Seeded;
use model::time::ManualClock;
use model::{
    CampaignName, ConsentStatus, EventKind, EventName, FieldName, ItemCode, Method, OfferName, PurposeName, SourceName,
    Trust, Value, Words,
};
use promise::{ArtefactKind, ChannelKind};
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::path::Path;

struct Shop {
    vault: Vault,
    clock: Arc<ManualClock>,
    household: Household,
    options: Options,
    folder: tempfile::TempDir,
}

/// Every row of a store.
type Store = BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>;

fn identifier(kind: IdentifierKind, value: &str) -> Identifier {
    Identifier { kind, value: value.into() }
}

fn user(name: &str) -> Identifier {
    identifier(IdentifierKind::User, name)
}

fn browser(name: &str) -> Identifier {
    identifier(IdentifierKind::Anonymous, name)
}

fn by_user(name: &str) -> Subject {
    Subject::Identifiers { user: Some(user(name)), anonymous: None }
}

fn staff() -> UndoneBy {
    UndoneBy::Staff { staff: "Ada".into(), reason: "the wrong Mr Smith".into() }
}

impl Shop {
    fn over(engine: EngineKind) -> Self {
        let engine = fresh(engine);
        let clock = Arc::new(ManualClock::new(At::parse("2026-11-23T12:00:00Z").unwrap()));
        let household = Household {
            promise: Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap()),
            clock: Arc::clone(&clock) as Arc<dyn model::Clock>,
            rng: Arc::new(Seeded::new(11)),
            projection: Arc::new(NoProjection),
        };
        let folder = tempfile::tempdir().unwrap();
        let (data, root) = (folder.path().join("data"), folder.path().join("root").into());
        let options = Options { data, engine, root, queue_max: 100, witness: None };
        let vault = match engine {
            EngineKind::Memory => Vault::in_memory(household.clone()).unwrap(),
            EngineKind::Fjall | EngineKind::Redb | EngineKind::Postgres(_) => {
                Vault::create(&options, &household).unwrap();
                let vault = Vault::open(&options, household.clone()).unwrap();
                vault.review_everything().unwrap();
                vault
            }
        };
        Self { vault, clock, household, options, folder }
    }

    fn settle(&self) {
        self.vault.put_items(Vec::new()).unwrap().wait().unwrap();
    }

    fn answer(&self, subject: Subject, purpose: &str, status: ConsentStatus) -> ProfileId {
        let change = ConsentChange {
            subject,
            source: None,
            purpose: PurposeName::parse(purpose).unwrap(),
            status,
            level: None,
            words: Words { text: "Offers?".into(), language: "en".into(), answered_at: self.vault.now() },
            method: Method::Portal,
            notice_version: 1,
            made_up: false,
        };
        self.vault.consent(change).unwrap().wait().unwrap().profile.unwrap()
    }

    fn order(&self, name: &str, message: &str) -> Intake {
        Intake {
            subject: by_user(name),
            kind: EventKind::Track,
            name: EventName::parse("Order Completed").unwrap(),
            source: SourceName::parse("shop").unwrap(),
            trust: Trust::Server,
            occurred_at: self.vault.now(),
            source_day: None,
            properties: BTreeMap::new(),
            lines: Vec::new(),
            fields: vec![(FieldName::parse("email").unwrap(), Value::Text(format!("{name}@shop.example")))],
            told_version: Some(1),
            consent: BTreeMap::new(),
            message_key: MessageKey::Wire(message.into()),
        }
    }

    /// A customer with everything that can lie in the store of one: facts, events, answers, a browser of their own and one
    /// that they share with `with`, a decision whose message waits, and its links.
    fn customer(&self, name: &str, with: Option<&str>) -> ProfileId {
        let person = self.answer(by_user(name), "offers", ConsentStatus::Given);
        for n in 0..3 {
            self.vault.take(vec![self.order(name, &format!("{name} {n}"))]).unwrap().wait().unwrap();
        }
        let (own, shared) = (format!("{name}'s phone"), with.map(|with| format!("{with}'s phone")));
        for device in std::iter::once(own).chain(shared) {
            let anonymous = browser(&device);
            let subject = Subject::Identifiers { user: None, anonymous: Some(anonymous.clone()) };
            if self.vault.snapshot().find(&anonymous).is_none() {
                self.answer(subject, "measuring", ConsentStatus::Given);
            }
            let join = Join { anonymous, user: user(name), proof: JoinProof::ServerKey, at: self.vault.now() };
            self.vault.join(join).unwrap().wait().unwrap().unwrap();
        }
        let campaign = self.household.promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().id;
        let snapshot = self.vault.snapshot();
        let consent_seq = snapshot.permit(person, campaign).unwrap().consent_seq();
        drop(snapshot);
        let decision = NewDecision {
            id: DecisionId::from_bytes(*person.as_bytes()),
            person,
            artefact: campaign,
            campaign: CampaignName::parse("win_back").unwrap(),
            consent_seq,
            offer: Some(OfferName::parse("come_back").unwrap()),
            item: ItemCode::parse("22423"),
            held_out: false,
            channel: ChannelKind::Email,
            send_at: None,
            run: 1,
            replaces: None,
            trace: Trace {
                facts: Vec::new(),
                steps: Vec::new(),
                texts: ["title".into(), "says".into(), "why".into()],
                slots: BTreeMap::new(),
                propensity_micros: 1_000_000,
                basis: ItemBasis::Purchase,
                shared_by: 80,
                exposure: "private_mail".into(),
                promise: self.household.promise.hash,
                notice_version: 1,
            },
        };
        let id = self.vault.decide(decision).unwrap().wait().unwrap().unwrap();
        self.vault.message_token(id).unwrap().wait().unwrap().unwrap();
        self.settle();
        person
    }

    fn erase(&self, person: ProfileId, how: Erasure) -> RequestId {
        let request = self.vault.erase(person, how).unwrap().wait().unwrap().request;
        self.settle();
        request
    }

    fn undo(&self, who: ErasedWho) -> Result<crate::ErasureUndone, NotUndone> {
        self.vault.undo_erasure(who, staff()).unwrap().wait().unwrap()
    }

    fn is_there(&self, vault: &Vault, person: ProfileId) -> bool {
        let portal = self.household.promise.artefact(ArtefactKind::Page, "portal").unwrap().id;
        vault.snapshot().permit(person, portal).is_ok()
    }

    fn core(&self, vault: &Vault, person: ProfileId) -> CoreForm {
        let house = &vault.inner.house;
        Open::load(house, &*house.generation().store, &person).unwrap().unwrap().core
    }

    /// The disk as it is now, opened by another process's vault.
    fn crashed(&self, name: &str) -> Vault {
        let data = self.folder.path().join(name);
        copy(&self.options.data, &data);
        Vault::open(&Options { data, ..self.options.clone() }, self.household.clone()).unwrap()
    }
}

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

fn rows(vault: &Vault) -> Store {
    let store = Arc::clone(&vault.inner.house.generation().store);
    let all = Keyspace::ALL.into_iter();
    all.flat_map(|keyspace| store.scan(keyspace, &[]).map(move |row| (keyspace, row.unwrap())))
        .map(|(keyspace, (key, value))| ((keyspace, key), value))
        .collect()
}

/// Everything that has to be the same again: all rows but those that say that something happened (log, chain, tally,
/// requests), the wrapped keys, which are wrapped anew, and the core records, which are compared opened.
fn comparable(rows: &Store) -> Store {
    let is_said = |key: &[u8]| {
        let said = [House::LOG, House::REQUESTS, House::RECORDS, b"\0", b"n/"];
        said.iter().any(|prefix| key.starts_with(prefix))
    };
    let is_core = |key: &[u8]| key.ends_with(&crate::retention::CORE.0);
    rows.iter()
        .filter(|((keyspace, key), _)| match keyspace {
            Keyspace::Keys => false,
            Keyspace::Profiles => !is_core(key),
            Keyspace::House => !is_said(key),
            _ => true,
        })
        .map(|(place, value)| (place.clone(), value.clone()))
        .collect()
}

fn find(vault: &Vault, name: &str) -> [Option<ProfileId>; 3] {
    let snapshot = vault.snapshot();
    let email = identifier(IdentifierKind::Email, &format!("{name}@shop.example"));
    [user(name), email, browser(&format!("{name}'s phone"))].map(|identifier| snapshot.find(&identifier))
}

#[test]
fn d10_undone_in_its_last_millisecond_the_person_is_there_again_and_sees_who_did_it() {
    for engine in ENGINES {
        let shop = Shop::over(engine);
        let ada = shop.customer("ada", None);
        let request = shop.erase(ada, Erasure::WithinADay);
        assert!(!shop.is_there(&shop.vault, ada) && find(&shop.vault, "ada") == [None; 3]);
        shop.clock.advance_ms(DAY_MS - 1);
        shop.vault.rotate().unwrap().wait().unwrap();
        let undone = shop.undo(ErasedWho::Request(request)).unwrap();
        assert_eq!((undone.person, undone.request), (ada, request));
        assert!(crate::receipt::verify(&undone.receipt, None).unwrap().payload.contains("\"undo\""));
        assert!(shop.is_there(&shop.vault, ada), "{engine:?}");
        assert_eq!(find(&shop.vault, "ada"), [Some(ada); 3]);
        assert!(rows(&shop.vault).keys().all(|(_, key)| !key.starts_with(House::RECOVERIES)));
        let seen = shop.core(&shop.vault, ada).staff_reads.pop().unwrap();
        assert_eq!((seen.staff.as_str(), seen.reason.as_str()), ("Ada", "the wrong Mr Smith"));
        assert_eq!(seen.act.as_deref(), Some(StaffAct::UNDID_ERASURE));
        assert_eq!(shop.undo(ErasedWho::Request(request)).unwrap_err(), NotUndone::NobodyWaits, "once");
    }
}

#[test]
fn d10_undone_nothing_differs_from_a_house_where_nobody_was_erased() {
    for engine in ENGINES {
        let shop = Shop::over(engine);
        let bob = shop.customer("bob", None);
        let ada = shop.customer("ada", Some("bob"));
        let before = rows(&shop.vault);
        let cores = [ada, bob].map(|person| shop.core(&shop.vault, person));
        let devices: Vec<ProfileId> = before
            .keys()
            .filter(|(keyspace, key)| *keyspace == Keyspace::Keys && key.len() == 16)
            .map(|(_, key)| ProfileId::from_bytes(key.as_slice().try_into().unwrap()))
            .filter(|id| *id != ada && *id != bob)
            .collect();
        let of_devices: Vec<CoreForm> = devices.iter().map(|device| shop.core(&shop.vault, *device)).collect();
        shop.erase(ada, Erasure::WithinADay);
        let gone = devices.iter().filter(|device| !shop.is_there(&shop.vault, **device)).count();
        assert_eq!(gone, 1, "the browser that is hers alone went too");
        let stays = devices.iter().chain([&bob]).filter(|other| shop.is_there(&shop.vault, **other));
        for other in stays {
            let joins = shop.core(&shop.vault, *other).joins;
            assert!(joins.iter().all(|join| *join.other != *ada.as_bytes()), "{engine:?}: nobody is tied to her");
        }
        assert!(comparable(&rows(&shop.vault)) != comparable(&before), "control: an erasure changes rows");
        let who = ErasedWho::Identifier(identifier(IdentifierKind::Email, "ada@shop.example"));
        assert_eq!(shop.undo(who).unwrap().person, ada);
        let (then, now) = (comparable(&before), comparable(&rows(&shop.vault)));
        let missing: Vec<_> = then.iter().filter(|(place, value)| now.get(*place) != Some(value)).collect();
        let extra: Vec<_> = now.keys().filter(|place| !then.contains_key(*place)).collect();
        assert!(missing.is_empty() && extra.is_empty(), "{engine:?}: {missing:?} {extra:?}");
        let mut cores_now = [ada, bob].map(|person| shop.core(&shop.vault, person));
        cores_now[0].staff_reads.clear();
        assert!(cores_now == cores, "{engine:?}: the records are the same, but for who undid it");
        for (device, before) in devices.iter().zip(&of_devices) {
            let mut now = shop.core(&shop.vault, *device);
            now.staff_reads.clear();
            assert!(now == *before, "{engine:?}: a browser");
        }
        let due = shop.vault.snapshot().outbox_due(10).unwrap();
        assert_eq!(due.len(), 2, "both messages wait as they did");
    }
}

#[test]
fn d10_what_was_said_right_before_the_erasure_holds_after_the_undo() {
    let shop = Shop::over(EngineKind::Redb);
    let ada = shop.customer("ada", None);
    // The first halves alone: neither is with the committer when the erasure comes.
    shop.vault.inner.house.reduce(ada, Reduction::LeaveMeAlone).unwrap();
    shop.vault.inner.house.begin_erasure(ada, Erasure::WithinADay).unwrap();
    shop.settle();
    shop.undo(ErasedWho::Profile(ada)).unwrap();
    assert!(shop.core(&shop.vault, ada).restrained);
    let after = shop.crashed("after");
    assert!(shop.core(&after, ada).restrained, "and it is on the disk");
}

#[test]
fn d10_after_its_day_or_after_now_an_erasure_cannot_be_undone_and_says_why() {
    for engine in ENGINES {
        let shop = Shop::over(engine);
        let (ada, bob, cy) = (shop.customer("ada", None), shop.customer("bob", None), shop.customer("cy", None));
        assert_eq!(shop.undo(ErasedWho::Profile(cy)).unwrap_err(), NotUndone::NobodyWaits);
        let request = shop.erase(ada, Erasure::Now);
        assert_eq!(shop.undo(ErasedWho::Profile(ada)).unwrap_err(), NotUndone::Now);
        assert_eq!(shop.undo(ErasedWho::Request(request)).unwrap_err(), NotUndone::NobodyWaits);
        shop.erase(bob, Erasure::WithinADay);
        shop.clock.advance_ms(DAY_MS);
        assert_eq!(shop.undo(ErasedWho::Profile(bob)).unwrap_err(), NotUndone::TooLate, "to the millisecond");
        shop.vault.sweep().unwrap().wait().unwrap();
        assert_eq!(shop.undo(ErasedWho::Profile(bob)).unwrap_err(), NotUndone::TooLate, "and the rows are gone");
        // Said again as "now", it stands; and the browser goes with it.
        shop.erase(cy, Erasure::WithinADay);
        shop.erase(cy, Erasure::Now);
        assert_eq!(shop.undo(ErasedWho::Profile(cy)).unwrap_err(), NotUndone::Now);
        let left = rows(&shop.vault).into_keys().filter(|(_, key)| key.starts_with(House::RECOVERIES)).count();
        assert_eq!(left, 0, "{engine:?}: nothing of hers waits any more");
    }
}

#[test]
fn d10_an_undo_that_would_make_two_people_of_one_is_refused() {
    let shop = Shop::over(EngineKind::Memory);
    let ada = shop.customer("ada", None);
    shop.erase(ada, Erasure::WithinADay);
    shop.clock.advance_ms(1_000);
    let new = shop.answer(by_user("ada"), "offers", ConsentStatus::Given);
    assert_ne!(new, ada);
    assert_eq!(shop.undo(ErasedWho::Profile(ada)).unwrap_err(), NotUndone::TakenMeanwhile);
    assert!(!shop.is_there(&shop.vault, ada) && shop.is_there(&shop.vault, new), "nothing has changed");
    // Once the new one is gone as well, the old one may come back; what the later erasure said of the number stays.
    shop.erase(new, Erasure::Now);
    shop.undo(ErasedWho::Profile(ada)).unwrap();
    let left = shop.vault.inner.house.left_row(&user("ada"));
    assert!(rows(&shop.vault).contains_key(&(Keyspace::House, left)));
}

#[test]
fn d10_a_crash_before_the_undo_changes_nothing_and_one_after_it_loses_nothing() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let shop = Shop::over(engine);
        let ada = shop.customer("ada", None);
        let before = shop.core(&shop.vault, ada);
        shop.erase(ada, Erasure::WithinADay);
        let still = shop.crashed("before");
        assert!(!shop.is_there(&still, ada));
        let (kept, target) = (shop.options.data.clone(), shop.folder.path().join("between"));
        shop.vault.inner.house.failpoints.at_each(move |name| {
            if name == "after_tombstone_append" {
                copy(&kept, &target);
            }
        });
        shop.undo(ErasedWho::Profile(ada)).unwrap();
        for (folder, is_cut) in [("between", true), ("after", false)] {
            let data = shop.folder.path().join(folder);
            if !is_cut {
                copy(&shop.options.data, &data);
            }
            let vault = Vault::open(&Options { data, ..shop.options.clone() }, shop.household.clone()).unwrap();
            assert!(shop.is_there(&vault, ada), "{engine:?} {folder}");
            assert_eq!(find(&vault, "ada"), [Some(ada); 3]);
            let mut core = shop.core(&vault, ada);
            assert_eq!(core.staff_reads.pop().unwrap().staff == "Fineline", is_cut, "who finished it is said");
            assert!(core == before, "{engine:?} {folder}");
            let checked = rows(&vault).into_keys().filter(|(_, key)| key.starts_with(House::RECOVERIES)).count();
            assert_eq!(checked, 0);
        }
        // The erased again is erased.
        let again = shop.crashed("again");
        again.erase(ada, Erasure::Now).unwrap().wait().unwrap();
        drop(again);
        let data = shop.folder.path().join("again");
        let again = Vault::open(&Options { data, ..shop.options.clone() }, shop.household.clone()).unwrap();
        assert!(!shop.is_there(&again, ada));
    }
}

// ── what remains ──────────────────────────────────────────────────────────────────────────────────────────────────────

/// Every row that may be left in the house once everybody was erased, and why. Nothing else may be there.
fn reason(
    shop: &Shop,
    keyspace: Keyspace,
    key: &[u8],
    tokens: &[Vec<u8>],
    requests: &[Vec<u8>],
) -> Option<&'static str> {
    Some(match keyspace {
        Keyspace::Keys if crate::key::DaySecrets::is_row(key) => "the secret of a day, which is the whole house's",
        Keyspace::House if key == House::NARROWINGS => "how far the file of what people took back reaches",
        Keyspace::House if key.first() == Some(&0) => "the chain, the log, and how far the tombstones reach",
        Keyspace::House if key.starts_with(House::LOG) => "one entry of the log: a salted hash",
        Keyspace::House if key.starts_with(b"n/") => "numbers of the house",
        Keyspace::House if key == House::record_row(crate::removal::RECORD) => {
            "how far the removal of what has ended is"
        }
        Keyspace::House if key == House::record_row(crate::terms::RECORD) => "every wording of the promise",
        Keyspace::House if key.starts_with(House::REVIEWS) => "reviews of artefacts by staff",
        Keyspace::House if key == House::record_row(House::ROTATION) => "where the rotation of keys stands",
        Keyspace::House if key.starts_with(&House::record_row(super::super::sweep::OUTCOMES)) => {
            "how many events of a day came to what, for 30 days"
        }
        Keyspace::House if key.starts_with(House::HOURS) => "how many were read in an hour, for the alarms",
        Keyspace::House if key.starts_with(House::LEFT) && tokens.contains(&key.to_vec()) => "KEYED TOKEN",
        Keyspace::House if requests.contains(&key.to_vec()) => "REQUEST RECORD",
        Keyspace::Marks if shop.vault.now() < At::parse("2026-11-30T12:00:00Z").unwrap() => {
            "the keyed hash of a message id, for seven days"
        }
        _ => return None,
    })
}

#[test]
fn d10_what_remains_is_exactly_tombstone_request_and_keyed_tokens() {
    for engine in ENGINES {
        let shop = Shop::over(engine);
        let ada = shop.customer("ada", None);
        // Somebody looked at her, one by one and as one of many.
        let model = shop.household.promise.artefact(ArtefactKind::Model, "items").unwrap().id;
        drop(shop.vault.snapshot().permit_set(model).unwrap().baskets(1).unwrap());
        shop.settle();
        let device = ProfileId::from_bytes(*shop.core(&shop.vault, ada).joins[0].other);
        let house = Arc::clone(&shop.vault.inner.house);
        let before = rows(&shop.vault);
        assert!(before.keys().any(|(keyspace, key)| *keyspace == Keyspace::House && key.starts_with(House::USES)));
        let request = shop.erase(ada, Erasure::Now);
        shop.vault.sweep().unwrap().wait().unwrap();
        shop.vault.rotate().unwrap().wait().unwrap();
        let names = [user("ada"), identifier(IdentifierKind::Email, "ada@shop.example"), browser("ada's phone")];
        let tokens: Vec<Vec<u8>> = names.iter().map(|name| house.left_row(name)).collect();
        // One for her and one for the browser that went with her.
        let of_device = {
            let urgent = house.urgent();
            let (at, _) = urgent.tombstones.erased(&device).unwrap();
            urgent.tombstones.request(&device, at)
        };
        let requests: Vec<Vec<u8>> = [request, of_device].iter().map(House::request_row).collect();
        let mut why: BTreeMap<&'static str, usize> = BTreeMap::new();
        for ((keyspace, key), value) in rows(&shop.vault) {
            let known = reason(&shop, keyspace, &key, &tokens, &requests);
            let shown = String::from_utf8_lossy(&key).into_owned();
            *why.entry(known.unwrap_or_else(|| panic!("{engine:?}: {keyspace:?} {shown:?} is left"))).or_default() += 1;
            for bytes in [&key, &value] {
                for id in [ada, device] {
                    assert!(!bytes.windows(16).any(|window| window == id.as_bytes()), "{keyspace:?} {shown:?}");
                }
            }
            // Opened, no record of the house names her or her number.
            let kinds = [RecordKind::House, RecordKind::UseRun, RecordKind::Request, RecordKind::Review];
            let opened = kinds.into_iter().find_map(|kind| house.open_house(kind, &key, &value).ok());
            for name in ["ada", ada.to_string().as_str(), device.to_string().as_str()] {
                let plain = opened.clone().unwrap_or_default();
                let holds = plain.windows(name.len()).any(|window| window == name.as_bytes());
                assert!(!holds, "{keyspace:?} {shown:?} holds {name}");
            }
        }
        assert_eq!(why.get("KEYED TOKEN"), Some(&tokens.len()), "{engine:?}");
        assert_eq!(why.get("REQUEST RECORD"), Some(&requests.len()), "{engine:?}");
        assert_eq!(house.urgent().tombstones.epoch(), 2, "one tombstone each");
        // After a week not even the hashes of message ids.
        shop.clock.advance_days(8);
        shop.vault.sweep().unwrap().wait().unwrap();
        assert!(rows(&shop.vault).keys().all(|(keyspace, _)| *keyspace != Keyspace::Marks));
        // Control: a row of hers that was forgotten is found.
        let planted = [ada.as_bytes().as_slice(), b"forgotten"].concat();
        house.engine.commit(vec![Op::Put(Keyspace::Events, planted.clone(), vec![1])]).unwrap();
        assert_eq!(reason(&shop, Keyspace::Events, &planted, &tokens, &requests), None);
    }
}

#[test]
fn d10_no_list_of_who_was_read_keeps_the_number_of_somebody_who_is_gone() {
    let shop = Shop::over(EngineKind::Memory);
    let (ada, bob) = (shop.customer("ada", None), shop.customer("bob", None));
    let model = shop.household.promise.artefact(ArtefactKind::Model, "items").unwrap().id;
    drop(shop.vault.snapshot().permit_set(model).unwrap().baskets(1).unwrap());
    shop.settle();
    let runs = || -> Vec<RoaringBitmap> {
        let house = &shop.vault.inner.house;
        let runs = rows(&shop.vault).into_iter().filter(|((_, key), _)| key.starts_with(House::USES));
        runs.map(|((_, key), row)| {
            let plain = house.open_house(RecordKind::UseRun, &key, &row).unwrap();
            let run: UseRunForm = format::decode("house", &plain).unwrap();
            RoaringBitmap::deserialize_from(run.people.as_slice()).unwrap()
        })
        .collect()
    };
    let [of_ada, of_bob] = [ada, bob].map(|person| shop.core(&shop.vault, person).number);
    assert!(runs().iter().any(|run| run.contains(of_ada) && run.contains(of_bob)), "control: both were read");
    shop.erase(ada, Erasure::WithinADay);
    shop.vault.sweep().unwrap().wait().unwrap();
    assert!(runs().iter().any(|run| run.contains(of_ada)), "as long as it can be undone, it would be hers again");
    shop.clock.advance_days(1);
    shop.vault.sweep().unwrap().wait().unwrap();
    shop.vault.sweep().unwrap().wait().unwrap();
    assert!(runs().iter().all(|run| !run.contains(of_ada)) && runs().iter().any(|run| run.contains(of_bob)));
}

/// Among nodes: one stopped between the word and the rows, and the others go on.
#[test]
fn d10_an_undo_that_one_node_could_not_finish_is_finished_by_another() {
    let Some(engine) = crate::fixture::postgres() else { return };
    let shop = Shop::over(engine);
    let ada = shop.customer("ada", None);
    let other =
        Vault::open(&shop.options, Household { rng: Arc::new(Seeded::new(12)), ..shop.household.clone() }).unwrap();
    shop.erase(ada, Erasure::WithinADay);
    let settle = || other.put_items(Vec::new()).unwrap().wait().unwrap();
    settle();
    assert!(!shop.is_there(&other, ada));
    assert!(shop.vault.inner.house.exhume(&ada, shop.vault.now()).unwrap());
    settle();
    assert!(shop.is_there(&other, ada), "finished by the other node");
    assert_eq!(shop.core(&other, ada).staff_reads.pop().unwrap().staff, "Fineline");
    shop.settle();
    assert!(shop.is_there(&shop.vault, ada), "and known at the first");
    assert!(!rows(&other).contains_key(&(Keyspace::House, House::recovery_row(&ada))));
}
