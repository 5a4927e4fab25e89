//! A set cannot be built outside the vault.
fn widen(set: vault::PermitSet<'_>) -> vault::PermitSet<'_> {
    vault::PermitSet { people: Default::default(), ..set }
}
fn main() {
    let _ = widen;
}
