//! Backup and restore as the operator has them: of a house that is served and of one that is not, and what a census finds
//! in the streams.

use crate::durable::serve;
use crate::house::House;
use crate::program::Desk;
use fineline::loopback::Loopback;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Child;
use vault::{EngineKind, Pass};

const BACKUP: [&str; 6] = ["backup", "--to", "backup", "--keys-to", "keys-apart", "--json"];
const RESTORE: [&str; 8] =
    ["restore", "--from", "backup", "--keys", "keys-apart", "--tombstones", "data/tombstones", "--json"];

/// The shop's server tells of an order of each, in a house that is served.
pub fn order(at: SocketAddr, key: &str, users: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shop = Loopback::with_key(at, key).unwrap();
    for user in users {
        let order = House::order(user, &format!("{user}-1"), &["MUG01"]);
        let (status, answer) = runtime.block_on(shop.post("/v1/track", &order)).unwrap();
        assert!(status.is_success(), "{answer}");
    }
}

fn stop(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn found(desk: &Desk, data: &str, user: &str) -> bool {
    desk.write("id", user);
    let arguments = ["--data", data, "person", "show", "--id-file", "id", "--as", "Test", "--reason", "test", "--json"];
    desk.run(&arguments).code == 0
}

fn json_of(desk: &Desk, arguments: &[&str]) -> Value {
    desk.run(arguments).fine().json()
}

#[test]
fn c22_a_house_is_backed_up_while_it_is_served_and_restored_beside() {
    let desk = Desk::applied();
    let key = json_of(&desk, &["source", "key", "shop", "--json"])["key"].as_str().unwrap().to_owned();
    let (child, at) = serve(&desk, &[]);
    order(at, &key, &["ada", "bob"]);
    let first = json_of(&desk, &BACKUP);
    assert!(first["base"].is_null() && first["rows"] == first["written"], "{first}");
    order(at, &key, &["cy"]);
    let second = json_of(&desk, &BACKUP);
    assert_eq!(second["base"], first["batch"], "while it is served, on the one before");
    assert!(second["written"].as_u64() < second["rows"].as_u64(), "{second}");
    stop(child);
    // The same of a house that nobody serves.
    let third = json_of(&desk, &BACKUP);
    assert!(third["batch"].as_u64() >= second["batch"].as_u64(), "{third}");
    let drill = [&RESTORE[..], &["--data", "new", "--drill"]].concat();
    let drilled = json_of(&desk, &drill);
    assert_eq!((&drilled["sound"], &drilled["differing"]), (&json!(true), &json!(0)), "{drilled}");
    assert!(!desk.path("new").exists() && !desk.path("new.drill").exists());
    let into = [&RESTORE[..], &["--data", "new"]].concat();
    let restored = json_of(&desk, &into);
    assert_eq!(restored["people"], 3, "{restored}");
    assert!(["ada", "bob", "cy"].iter().all(|user| found(&desk, "new", user)));
    desk.run(&into).failed(5, "not empty");
    let at_first = ["--data", "older", "--at", &first["batch"].to_string()].map(str::to_owned);
    json_of(&desk, &[&RESTORE[..], &at_first.each_ref().map(String::as_str)].concat());
    assert!(found(&desk, "older", "ada") && !found(&desk, "older", "cy"));
    let (child, at) = serve(&desk, &["--data", "new"]);
    order(at, &key, &["dora"]);
    stop(child);
}

#[test]
fn streams_are_given_only_to_whoever_can_read_the_data_folder() {
    let house = House::open(EngineKind::Redb);
    let pass = Pass::read(&house.folder().join("data")).unwrap().unwrap();
    for token in ["", "wrong", &pass.token()[1..]] {
        assert_eq!(house.post_as_operator("/backup", token, &json!({})).status.as_u16(), 401);
    }
    assert_eq!(house.post("/backup", &json!({})).status.as_u16(), 404, "not on the public listener");
    let answer = house.post_as_operator("/backup", pass.token(), &json!({})).fine();
    assert!(answer.bytes.starts_with(b"FLBACK1\n"));
}

#[test]
fn d10_a_census_opens_key_streams_as_key_backups_until_they_are_gone() {
    let desk = Desk::applied();
    let key = json_of(&desk, &["source", "key", "shop", "--json"])["key"].as_str().unwrap().to_owned();
    let (child, at) = serve(&desk, &[]);
    order(at, &key, &["ada", "bob"]);
    stop(child);
    desk.write("id", "ada");
    let older = json_of(&desk, &BACKUP);
    desk.run(&["census", "note", "--id-file", "id", "--notes", "notes.json"]).fine();
    desk.run(&["person", "erase", "--id-file", "id", "--as", "Test", "--reason", "test", "--now", "--yes"]).fine();
    desk.run(&["key", "rotate"]).fine();
    let newer = json_of(&desk, &BACKUP);
    let census = |folder: &str| {
        let searched = desk.run(&["census", "search", "--notes", "notes.json", folder, "--json"]);
        let answer = searched.json();
        (searched.code, answer["reach"]["words_reached"].as_u64().unwrap(), answer["findings"].as_u64().unwrap())
    };
    let (code, n_reached, n_found) = census("keys-apart");
    assert!(code == 1 && n_reached > 0 && n_found > 0, "control: the older key stream opens what somebody kept");
    std::fs::remove_file(desk.path(older["keys"].as_str().unwrap())).unwrap();
    assert_eq!(census("keys-apart"), (0, 0, 0), "the newer one, and the copies beside it, say nothing of her");
    let (_, n_reached, n_found) = census("backup");
    assert_eq!(n_reached, 0, "data streams alone open nothing");
    assert!(n_found > 0, "the older data stream still holds sealed rows of hers, and the census says so");
    assert!(newer["base"] == older["batch"] && newer["written"].as_u64() > Some(0));
    let restored = json_of(&desk, &[&RESTORE[..], &["--data", "new"]].concat());
    assert_eq!(restored["people"], 1, "{restored}");
    assert!(!found(&desk, "new", "ada") && found(&desk, "new", "bob"));
}
