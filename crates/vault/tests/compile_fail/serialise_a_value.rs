//! A value under a permit is not serialisable.
fn write(fact: &vault::Disclosed<'_, model::Fact>) -> String {
    serde_json::to_string(fact).unwrap()
}
fn main() {
    let _ = write;
}
