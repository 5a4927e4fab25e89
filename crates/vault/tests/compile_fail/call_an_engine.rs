//! An engine cannot be called around the committer.
fn main() {
    let _ = vault::engine::open;
}
