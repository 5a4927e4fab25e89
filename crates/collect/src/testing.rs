//! What the tests of this room share: the shop's promise, the demo's mapping, the committed sample. Not in the program.

use crate::import::Mapping;
use promise::Promise;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

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
