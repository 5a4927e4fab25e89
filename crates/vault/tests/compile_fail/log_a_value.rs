//! A value under a permit is no log field.
fn log(fact: &vault::Disclosed<'_, model::Fact>) {
    tracing::info!(fact = %fact, "seen");
}
fn main() {
    let _ = log;
}
