//! A permit ends with its snapshot.
fn for_ever(vault: &vault::Vault, person: model::ProfileId, page: model::ArtefactId) -> vault::Permit<'static> {
    let snapshot = vault.snapshot();
    snapshot.permit(person, page).unwrap()
}
fn main() {
    let _ = for_ever;
}
