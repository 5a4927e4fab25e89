//! Only the vault opens a reading.
fn main() {
    let _ = vault::Snapshot::new;
}
