//! A permit stays in the thread that asked for it.
fn elsewhere(permit: vault::Permit<'_>) {
    std::thread::scope(|scope| {
        scope.spawn(move || permit.person());
    });
}
fn main() {
    let _ = elsewhere;
}
