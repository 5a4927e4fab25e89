//! A value under a permit does not fill a template.
fn page(title: impl std::fmt::Display) -> String {
    title.to_string()
}
fn show(fact: vault::Disclosed<'_, model::Fact>) -> String {
    page(fact)
}
fn main() {
    let _ = show;
}
