//! A value cannot be passed off as one that a permit opened.
fn main() {
    let _ = vault::Disclosed { value: 1, _permit: std::marker::PhantomData };
}
