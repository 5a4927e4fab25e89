//! A permit cannot be copied.
fn twice(permit: &vault::Permit<'_>) {
    fn is_clone<T: Clone>(_: &T) {}
    is_clone(permit);
}
fn main() {
    let _ = twice;
}
