//! The one log as an auditor has it, the witness on the second disk, and the check of a whole data folder: at the terminal.

use crate::durable::serve;
use crate::program::Desk;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "a test writes its own files")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test reads its own files")]
fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// Some more batches.
fn go_on(desk: &Desk) {
    desk.run(&["source", "key", "shop", "--json"]).fine();
}

#[test]
fn d14_a_packed_log_is_verified_offline_and_a_changed_file_is_named() {
    let desk = Desk::applied();
    let packed = desk.run(&["audit", "pack", "log", "--json"]).fine().json();
    let verify = ["audit", "verify", "--log", "log", "--json"];
    let verified = desk.run(&verify).fine().json();
    assert_eq!((&verified["holds"], &verified["key"]), (&true.into(), &"embedded".into()));
    assert_eq!(verified["size"], packed["size"]);
    copy(&desk.path("log"), &desk.path("older"));
    go_on(&desk);

    // While it is served, from the serving process; over the older pack.
    let (mut server, _) = serve(&desk, &[]);
    desk.run(&["audit", "pack", "log"]).fine();
    server.kill().unwrap();
    server.wait().unwrap();
    let keys = desk.path("older/fineline-keys.json").display().to_string();
    let since = desk.path("older/checkpoint").display().to_string();
    let later = desk.run(&[&verify[..], &["--keys", &keys, "--since", &since]].concat()).fine().json();
    assert_eq!((&later["key"], &later["since"]), (&"pinned".into(), &1.into()));
    assert!(later["size"].as_u64() > verified["size"].as_u64(), "{later}");

    let mut names = Vec::new();
    for (path, _) in desk.bytes_of("log").into_iter().filter(|(path, _)| path.to_string_lossy().contains("tile")) {
        names.push(path.strip_prefix(desk.path("log")).unwrap().display().to_string());
    }
    // The last of the level below 256 batches: the older ones beside it are not read any more.
    let tiles: Vec<&String> = names.iter().filter(|name| name.ends_with(&format!(".p/{}", later["size"]))).collect();
    assert_eq!(tiles.len(), 2, "{names:?}");
    for name in tiles.into_iter().map(String::as_str).chain(["checkpoint"]) {
        let path = desk.path("log").join(name);
        let stood = read(&path);
        let mut changed = stood.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        write(&path, &changed);
        let refused = desk.run(&verify);
        assert_eq!(refused.code, 1, "{name}: {refused:?}");
        write(&path, &stood);
    }
    desk.run(&verify).fine();
    let other = Desk::applied();
    other.run(&["audit", "pack", "log"]).fine();
    let foreign = other.path("log/fineline-keys.json").display().to_string();
    desk.run(&[&verify[..], &["--keys", &foreign]].concat()).failed(1, "not one that any of these keys signed");
    let foreign = other.path("log/checkpoint").display().to_string();
    desk.run(&[&verify[..], &["--since", &foreign]].concat()).failed(1, "neither a checkpoint nor a witness file");
    desk.run(&["audit", "pack", "data"]).failed(2, "something else than a packed log");
    desk.run(&["audit", "verify"]).failed(2, "--log");
}

#[test]
fn d14_a_data_folder_that_was_set_back_is_refused_and_the_log_tells_where() {
    let desk = Desk::applied();
    desk.write("fineline.toml", "witness = \"second disk\"\n");
    go_on(&desk);
    copy(&desk.path("data"), &desk.path("before"));
    go_on(&desk);
    desk.run(&["audit", "pack", "log"]).fine();
    let since = ["audit", "verify", "--log", "log", "--since", "second disk", "--json"];
    assert!(desk.run(&since).fine().json()["since"].as_u64() >= Some(2));
    assert!(desk.run(&["doctor"]).out.contains("ok      witness"), "{:?}", desk.run(&["doctor"]));
    assert!(desk.run(&["fsck"]).fine().err.contains("0 findings"));

    std::fs::rename(desk.path("data"), desk.path("newer")).unwrap();
    std::fs::rename(desk.path("before"), desk.path("data")).unwrap();
    desk.run(&["source", "key", "shop"]).failed(5, "the data folder is older than what the witness saw");
    let doctor = desk.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("BROKEN  witness"), "{doctor:?}");
    let fsck = desk.run(&["fsck"]);
    assert!(fsck.code == 1 && fsck.out.starts_with("witness: "), "{fsck:?}");
    let json: serde_json::Value =
        serde_json::from_str(desk.run(&["fsck", "--json"]).out.lines().next().unwrap()).unwrap();
    assert_eq!(json["place"], "witness");

    // Without a witness it is served, and goes another way: whoever kept what was seen finds it out.
    desk.write("fineline.toml", "");
    go_on(&desk);
    go_on(&desk);
    go_on(&desk);
    desk.run(&["audit", "pack", "log"]).fine();
    desk.run(&since).failed(1, "the log does not begin with what was seen of it");
}

#[test]
fn a_witness_that_cannot_be_written_stops_nobody_and_is_red() {
    let desk = Desk::applied();
    desk.write("fineline.toml", "witness = \"away/witness\"\n");
    go_on(&desk);
    let doctor = desk.run(&["doctor"]);
    assert!(doctor.code == 1 && doctor.out.contains("BROKEN  witness"), "{doctor:?}");
    let (mut server, _) = serve(&desk, &[]);
    assert!(desk.run(&["doctor"]).out.contains("BROKEN  witness"));
    desk.run(&["fsck"]).failed(5, "the house is being served");
    std::fs::create_dir(desk.path("away")).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    go_on(&desk);
    assert!(desk.read("away/witness").contains("/witness\n"));
}
