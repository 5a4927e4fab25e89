//! Keys and sealed records cannot be opened from outside.
fn main() {
    let _ = vault::seal::open;
    let _ = vault::key::Ring::unwrap;
}
