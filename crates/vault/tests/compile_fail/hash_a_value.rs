//! A value under a permit has no hash: it could be guessed from one.
fn hash(fact: &vault::Disclosed<'_, model::Fact>) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    fact.hash(&mut hasher);
    hasher.finish()
}
fn main() {
    let _ = hash;
}
