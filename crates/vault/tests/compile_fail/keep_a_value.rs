//! A value ends with the permit that opened it.
fn keep(snapshot: &vault::Snapshot, person: model::ProfileId, page: model::ArtefactId, name: model::FactName) {
    let permit = snapshot.permit(person, page).unwrap();
    let fact = permit.fact(&name).unwrap();
    drop(permit);
    let _ = fact.is_some();
}
fn main() {
    let _ = keep;
}
