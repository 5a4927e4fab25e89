//! A permit cannot outlive its reading in a static.
static KEPT: std::sync::Mutex<Option<vault::Permit<'static>>> = std::sync::Mutex::new(None);
fn main() {
    let _ = &KEPT;
}
