//! Keys, by the real program: rotated while the house is served, and a root key out of a passphrase or a credential.

use crate::durable::serve;
use crate::program::Desk;

#[test]
fn d14_the_keys_are_rotated_while_the_house_is_served_and_after_it_was_killed() {
    let desk = Desk::applied();
    let version = |desk: &Desk| desk.run(&["key", "rotate", "--json"]).fine().json()["version"].as_u64().unwrap();
    assert_eq!(version(&desk), 2, "the house is opened for it");
    let (mut server, _) = serve(&desk, &[]);
    assert_eq!(version(&desk), 3);
    assert_eq!(version(&desk), 4, "and again");
    // Killed: its pass stays behind, and nobody answers there.
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(vault::Pass::read(&desk.path("data")).unwrap().is_some());
    assert_eq!(version(&desk), 5);
}

fn write_private(desk: &Desk, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    desk.write(name, text);
    std::fs::set_permissions(desk.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn d14_a_house_under_a_passphrase_opens_with_it_alone() {
    let desk = Desk::new();
    desk.write("fineline.toml", "root = \"passphrase\"\nroot_passphrase_file = \"words\"\n");
    desk.run(&["init"]).failed(5, "reading the root key words");
    write_private(&desk, "words", "too short\n");
    desk.run(&["init"]).failed(5, "at least 12 characters");
    write_private(&desk, "words", "a long walk by the river\n");
    desk.run(&["init"]).fine();
    assert!(!desk.path("keys/root").exists(), "no key file is made");
    assert!(desk.read("data/house").contains("root from argon2id m=65536 t=3 p=4 salt="));
    desk.run(&["apply", "--as", "Test"]).fine();
    let doctor = desk.run(&["doctor"]);
    assert!(doctor.out.contains("the passphrase in words"), "{doctor:?}");
    let before = desk.bytes_of("data");
    write_private(&desk, "words", "a long walk by the lake\n");
    desk.run(&["plan"]).failed(5, "the passphrase does not open this data folder");
    desk.run(&["plan", "--root", "keys/root"]).failed(5, "was made with a passphrase");
    // Nobody is at a terminal here, and a passphrase comes in no other way.
    desk.write("fineline.toml", "root = \"passphrase\"\n");
    desk.run_with(&["plan"], "a long walk by the river\n").failed(5, "no terminal");
    assert_eq!(desk.bytes_of("data"), before);
}

#[test]
fn d14_a_credential_of_the_service_manager_is_a_root_key() {
    let desk = Desk::applied();
    let open = |folder: &str| {
        let mut command = desk.command(&["plan", "--root", "credential:fineline-root"]);
        let output = command.env("CREDENTIALS_DIRECTORY", desk.path(folder)).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    std::fs::create_dir(desk.path("credentials")).unwrap();
    let (code, says) = open("credentials");
    assert!(code == Some(5) && says.contains("credentials/fineline-root"), "{says}");
    write_private(&desk, "credentials/fineline-root", &desk.read("keys/root"));
    let (code, says) = open("credentials");
    assert_eq!(code, Some(0), "{says}");
    desk.run(&["plan", "--root", "credential:../keys/root"]).failed(2, "a name without a slash");
}
