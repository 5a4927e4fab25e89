//! A permit cannot be built outside the vault.
fn main() {
    let _permit = vault::Permit {};
}
