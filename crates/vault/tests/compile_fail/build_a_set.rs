//! A set cannot be built outside the vault.
fn main() {
    let _set = vault::PermitSet { people: Default::default() };
}
