//! What the tests of this room share: the shop's promise, the demo's mapping, the committed sample. Not in the program.

use crate::State;
use crate::import::Mapping;
use crate::live::Live;
use model::chance::Seeded;
use model::time::ManualClock;
use model::{At, Buckets, SourceName};
use promise::Promise;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use vault::projection::NoProjection;
use vault::{Household, Review, Vault};

/// Names of the two files of the sample.
pub(crate) const SAMPLE: [&str; 2] =
    ["online-retail-ii-sample-2009-2010.csv.gz", "online-retail-ii-sample-2010-2011.csv.gz"];

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn shop() -> Promise {
    promise::parse("shop.toml", promise::fixture::SHOP).expect("the shop's promise is right")
}

#[expect(clippy::disallowed_methods, reason = "tests read the mapping they try")]
pub(crate) fn mapping_text() -> String {
    std::fs::read_to_string(root().join("mappings/online-retail.toml")).expect("the mapping is there")
}

pub(crate) fn mapping() -> Mapping {
    let text = mapping_text();
    Mapping::parse("online-retail.toml", &text, &shop())
        .unwrap_or_else(|report| panic!("{}", report.render(&text, promise::Style::Plain)))
}

pub(crate) fn sample(name: &str) -> impl BufRead + use<> {
    open(root().join("data").join(name)).expect("the sample is there")
}

#[expect(clippy::disallowed_methods, reason = "tests open the files they import")]
pub(crate) fn open(path: PathBuf) -> std::io::Result<impl BufRead> {
    std::fs::File::open(path).map(BufReader::new)
}

/// A shop in memory, its clock, and the keys of its two doors.
pub(crate) struct House {
    pub(crate) state: Arc<State>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) web: String,
    pub(crate) shop: String,
}

/// When the house opens.
pub(crate) const OPENED: &str = "2026-11-23T12:00:00Z";

pub(crate) fn house() -> House {
    let clock = Arc::new(ManualClock::new(At::parse(OPENED).expect("an instant")));
    let promise = Arc::new(shop());
    let rng = Arc::new(Seeded::new(7));
    let vault = Vault::in_memory(Household {
        promise: promise.clone(),
        clock: clock.clone(),
        rng: rng.clone(),
        projection: Arc::new(NoProjection),
    })
    .expect("a house in memory");
    let key = |source: &str| {
        let source = SourceName::parse(source).expect("a name");
        vault.issue_source_key(&source, false).expect("not busy").wait().expect("a key")
    };
    let (web, shop) = (key("web"), key("shop"));
    let base_url = "http://localhost:4000".to_owned();
    let subjects = Buckets::new(crate::PER_SUBJECT, rng.as_ref());
    let state = Arc::new(State { vault, promise, live: Live::default(), rng, base_url, subjects });
    House { state, clock, web, shop }
}

pub(crate) fn review(vault: &Vault, mapping: &Mapping) {
    let (staff, role) = ("Test".to_owned(), "privacy".to_owned());
    let review = Review { artefact: mapping.artefact_id(), staff, role, at: vault.now() };
    vault.review(review).expect("not busy").wait().expect("reviewed");
}
