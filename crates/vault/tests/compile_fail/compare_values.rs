//! Two values under permits cannot be compared: that would join people.
fn same(one: &vault::Disclosed<'_, model::Fact>, other: &vault::Disclosed<'_, model::Fact>) -> bool {
    one == other
}
fn main() {
    let _ = same;
}
