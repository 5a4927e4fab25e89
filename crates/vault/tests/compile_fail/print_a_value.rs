//! A value under a permit has no `Display`.
fn print(fact: &vault::Disclosed<'_, model::Fact>) -> String {
    format!("{fact}")
}
fn main() {
    let _ = print;
}
