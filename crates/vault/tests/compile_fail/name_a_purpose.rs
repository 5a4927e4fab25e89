//! A request names an artefact, never a purpose: a purpose named by the caller is forgeable.
fn ask(snapshot: &vault::Snapshot, person: model::ProfileId, purpose: model::PurposeName) {
    let _ = snapshot.permit(person, purpose);
}
fn main() {
    let _ = ask;
}
