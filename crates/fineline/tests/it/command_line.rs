//! What a newcomer types: exit codes, data on stdout, talk on stderr, and a house that refuses what it must not open.

use crate::durable::serve;
use crate::program::Desk;
use serde_json::json;

#[test]
fn a_newcomer_gets_from_nothing_to_a_promise_in_force() {
    let desk = Desk::new();
    std::fs::remove_file(desk.path("promise.toml")).unwrap();
    desk.run(&["check"]).failed(5, "promise.toml");
    let init = desk.run(&["init"]).fine();
    assert_eq!(init.out, "promise.toml\n");
    assert!(init.err.contains("next: fineline check"), "{}", init.err);
    desk.run(&["check"]).fine();
    assert_eq!(desk.run(&["plan", "--exit-code"]).code, 3);
    desk.run(&["apply", "--as", "Ada"]).fine();
    assert_eq!(desk.run(&["plan", "--exit-code"]).code, 0);
    let key = desk.run(&["source", "key", "shop", "--json"]).fine();
    assert!(key.json()["key"].as_str().unwrap().starts_with("fl_sec_"));
    desk.run(&["init"]).fine();
}

#[test]
fn a_mistake_is_shown_with_file_line_caret_and_what_was_meant() {
    let desk = Desk::new();
    desk.write(
        "promise.toml",
        &promise::fixture::SHOP.replacen("for = [\"orders\", \"offers\"]", "for = [\"ofers\"]", 1),
    );
    let check = desk.run(&["check"]);
    assert_eq!(check.code, 1);
    for part in ["error[FL101]", "promise.toml:", "^^^^^", "did you mean `offers`?"] {
        assert!(check.out.contains(part), "{part} is not in\n{}", check.out);
    }
    let json = desk.run(&["check", "--format", "json"]).json();
    assert_eq!(json["diagnostics"][0]["code"], "FL101");
    desk.run(&["init"]).failed(1, "promise.toml is refused");
    assert!(!desk.path("data").exists(), "a bad file is refused before anything starts");
    assert!(desk.run(&["explain", "fl101"]).fine().out.contains("FL101"));
    desk.run(&["explain", "FL999"]).failed(2, "no code");
}

#[test]
fn a_weaker_promise_is_told_first_and_waits_its_days() {
    let desk = Desk::applied();
    let shop = promise::fixture::SHOP;
    let longer = shop.replacen("keep = \"90 days\"", "keep = \"120 days\"", 1);
    desk.write("promise.toml", &longer);
    let plan = desk.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 3);
    assert!(plan.out.contains("weaker"), "{}", plan.out);
    desk.run(&["apply", "--as", "Test", "--yes"]).failed(4, "higher version");
    let told = longer.replacen("version = 1", "version = 2", 1).replacen(
        "basis = \"consent\"",
        "basis = \"consent\"\nsince_notice = 2",
        1,
    );
    desk.write("promise.toml", &told);
    desk.run(&["apply", "--as", "Test"]).failed(2, "--yes");
    desk.run(&["apply", "--as", "Test", "--yes"]).failed(3, "tell people yourself");
    desk.run(&["import", "none.toml", "none.csv"]).failed(3, "differs from what is promised now");
    desk.write("promise.toml", shop);
    desk.run(&["plan", "--exit-code"]).fine();
}

#[test]
fn commands_work_under_the_promise_in_force_and_not_under_an_edited_file() {
    let desk = Desk::applied();
    let shop = promise::fixture::SHOP;
    desk.write("promise.toml", &shop.replacen("[campaign.win_back]", "[campaign.another]", 1));
    let start = desk.run(&["campaign", "start", "another", "--as", "Test"]);
    start.failed(2, "no [campaign.another] is declared");
    let lift = desk.run(&["campaign", "lift", "win_back"]).fine();
    assert!(lift.err.contains("the file differs, see `fineline plan`"), "{}", lift.err);
    assert_eq!(desk.run(&["plan", "--exit-code"]).code, 3, "the edited file still waits");
    desk.write("promise.toml", shop);
    assert!(!desk.run(&["campaign", "lift", "win_back"]).fine().err.contains("differs"));
}

#[test]
fn a_stronger_promise_is_in_force_at_once() {
    let desk = Desk::applied();
    desk.write("promise.toml", &promise::fixture::SHOP.replacen("keep = \"90 days\"", "keep = \"60 days\"", 1));
    assert!(desk.run(&["plan"]).fine().out.contains("stronger"));
    desk.run(&["apply", "--as", "Test", "--yes"]).fine();
    desk.run(&["plan", "--exit-code"]).fine();
}

#[test]
fn a_campaign_for_fewer_than_the_smallest_group_is_refused_in_a_sentence() {
    let start = ["campaign", "start", "win_back", "--as", "Test"];
    let refused = Desk::applied().run(&start).failed(4, "campaign win_back may not run");
    assert!(refused.err.contains("Fewer people match than the smallest group"), "{}", refused.err);
}

#[test]
fn a_second_process_is_refused_while_the_house_is_open() {
    let desk = Desk::applied();
    let options = vault::Options {
        data: desk.path("data"),
        engine: vault::EngineKind::Fjall,
        root: desk.path("keys/root").into(),
        queue_max: 10,
        witness: None,
    };
    let promise = promise::parse("promise.toml", promise::fixture::SHOP).unwrap();
    let open = vault::Vault::open(&options, fineline::house::household(promise.into())).unwrap();
    desk.run(&["segment", "count", "lapsed"]).failed(5, "being served by another process");
    assert!(desk.run(&["doctor"]).out.contains("in use by a running"));
    open.close().unwrap();
    drop(open);
    desk.run(&["segment", "count", "lapsed"]).fine();
}

#[test]
fn a_wrong_root_key_is_refused_before_any_write() {
    let desk = Desk::applied();
    let other = Desk::applied();
    let before = desk.bytes_of("data");
    let foreign = other.path("keys/root").display().to_string();
    desk.run(&["segment", "count", "lapsed", "--root", &foreign]).failed(5, "does not open this data folder");
    assert_eq!(desk.bytes_of("data"), before);
    desk.run(&["segment", "count", "lapsed"]).fine();
}

#[test]
fn a_data_folder_of_another_version_is_refused_before_any_write() {
    let desk = Desk::applied();
    let house = desk.read("data/house");
    assert!(house.contains("format 1\n"), "{house}");
    desk.write("data/house", &house.replace("format 1\n", "format 9\n"));
    let before = desk.bytes_of("data");
    desk.run(&["upgrade", "--check"]).failed(5, "has format 9");
    assert_eq!(desk.bytes_of("data"), before);
}

#[test]
fn an_upgrade_is_looked_at_without_a_change_while_the_house_is_served_and_ends_with_three_codes() {
    let desk = Desk::applied();
    let before = desk.bytes_of("data");
    let fine = desk.run(&["upgrade", "--check", "--json"]).fine().json();
    assert_eq!((&fine["opens"], &fine["format"], &fine["engine"]), (&true.into(), &1.into(), &"fjall".into()));
    assert_eq!((&fine["previous"], &fine["findings"]), (&serde_json::Value::Null, &serde_json::json!([])));
    assert_eq!(desk.bytes_of("data"), before, "nothing was written");
    // 1: it opens, and something should be known first.
    let other = desk.command(&["upgrade", "--check", "--json"]).env("FINELINE_ENGINE", "redb").output().unwrap();
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    desk.write("promise.toml", "edition = 9\n");
    let refused = desk.run(&["upgrade", "--check", "--json"]);
    assert!(refused.code == 1 && refused.out.contains("is refused by this program"), "{refused:?}");
    desk.write("promise.toml", promise::fixture::SHOP);
    // 5: another root key, a later file, a word that is not known.
    let root = desk.read("keys/root");
    desk.write("keys/root", &"0".repeat(64));
    desk.run(&["upgrade", "--check"]).failed(5, "does not open this data folder");
    desk.write("keys/root", &root);
    let house = desk.read("data/house");
    desk.write("data/house", &format!("{house}needs sealed-names\n"));
    for command in [&["upgrade", "--check"][..], &["fsck"], &["serve"]] {
        desk.run(command).failed(5, "holds `sealed-names`, which this program does not know");
    }
    desk.write("data/house", &house);
    // Served meanwhile: no lock is needed.
    let (mut child, _) = crate::durable::serve(&desk, &[]);
    desk.run(&["upgrade", "--check"]).fine();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn settings_say_where_they_come_from_and_secrets_never_stand_in_flags() {
    let desk = Desk::new();
    desk.write("fineline.toml", "listen = \"127.0.0.1:4700\"\n");
    let config = desk.run(&["config", "--json"]).fine();
    let listen = config.out.lines().find(|line| line.contains("\"listen\"")).unwrap();
    assert!(listen.contains("fineline.toml:1"), "{listen}");
    desk.write("fineline.toml", "lisen = \"127.0.0.1:4700\"\n");
    desk.run(&["config"]).failed(2, "did you mean `listen`?");
    let help = fineline::reference::cli_page();
    for word in ["--password", "--token", "--secret", "--id ", "--email"] {
        assert!(!help.contains(word), "{word}");
    }
}

#[test]
fn every_command_ends_with_its_exit_code_and_json_errors_are_json() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["nonsense"]).code, 2);
    let failed = desk.run(&["segment", "count", "lapsed", "--json"]);
    assert_eq!(failed.code, 5);
    let error: serde_json::Value = serde_json::from_str(failed.err.trim()).unwrap();
    assert!(error["error"]["message"].as_str().unwrap().contains("not a fineline data folder"), "{error}");
    assert_eq!(failed.out, "");
    desk.run(&["completions", "bash"]).fine();
    assert!(desk.run(&["man"]).fine().out.contains("fineline"));
    assert!(desk.run(&["notice", "render"]).fine().out.contains("Corner Gifts Ltd"));
    desk.run(&["notice", "render", "--lang", "tlh"]).failed(2, "it has en");
}

#[test]
fn a_promise_file_keeps_its_comments_when_formatted() {
    let desk = Desk::new();
    desk.write("promise.toml", &promise::fixture::SHOP.replacen("edition = 1", "edition   =    1 # first", 1));
    assert_eq!(desk.run(&["fmt", "--check"]).code, 1);
    desk.run(&["fmt"]).fine();
    let text = desk.read("promise.toml");
    assert!(text.contains("edition = 1 # first"), "{}", text.lines().take(6).collect::<Vec<_>>().join("\n"));
    desk.run(&["fmt", "--check"]).fine();
}

#[test]
fn d10_after_an_erasure_no_key_opens_and_no_byte_names_the_person() {
    let desk = Desk::applied();
    let promise: std::sync::Arc<promise::Promise> =
        promise::parse("promise.toml", promise::fixture::SHOP).unwrap().into();
    let options = vault::Options {
        data: desk.path("data"),
        engine: vault::EngineKind::Fjall,
        root: desk.path("keys/root").into(),
        queue_max: 10,
        witness: None,
    };
    let open = vault::Vault::open(&options, fineline::house::household(promise.clone())).unwrap();
    let text = include_str!("../../src/demo/promise.toml").replace("BASE_URL", "http://localhost:4000");
    let shop = promise::parse("demo.toml", &text.replace("QUIET", "21:00-08:00")).unwrap();
    let customers = fineline::demo::people::draw(6, 1);
    fineline::demo::load::load(&open, &shop, &customers, "Etc/UTC", |_| std::ops::ControlFlow::Continue(())).unwrap();
    open.close().unwrap();
    drop(open);

    let behalf = ["--as", "Dora", "--reason", "letter of 3 March"];
    let with = |head: &[&str]| [head, &behalf[..]].concat().iter().map(ToString::to_string).collect::<Vec<_>>();
    let run = |head: &[&str], stdin: &str| {
        let arguments = with(head);
        desk.run_with(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), stdin)
    };
    run(&["person", "show"], "nobody\n").failed(1, "nobody is known");
    let shown = run(&["person", "show"], "mia\n").fine();
    assert!(shown.json()["facts"].to_string().contains("mia@mail.example"), "{}", shown.out);
    desk.run_with(&["person", "show", "--as", "Dora", "--reason", " "], "mia\n").failed(2, "--reason");
    run(&["person", "export", "--out", "mia.zip"], "mia@mail.example\n").fine();
    assert!(desk.path("mia.zip").exists());

    desk.write("id", "mia\n");
    let noted = desk.run(&["census", "note", "--id-file", "id", "--notes", "notes.json", "--json"]).fine();
    assert_eq!(noted.json()["words_out_of_reach"], 0, "{}", noted.out);
    let searched = desk.run(&["census", "search", "--notes", "notes.json"]);
    assert_eq!(searched.code, 1, "control: a living person is in reach\n{}", searched.out);

    let memory = ["census", "memory", "--notes", "notes.json", "--json"];
    desk.run(&memory).failed(5, "nobody serves");
    // Living, but at rest: opened when the server starts, and wiped. Searching twice finds what searching itself leaves.
    let (mut server, _) = serve(&desk, &[]);
    for _ in 0..2 {
        let searched = desk.run(&memory).fine().json();
        assert_eq!((searched["keys"].as_u64() >= Some(2), &searched["found"]), (true, &json!(0)), "{searched}");
        assert!(searched["bytes"].as_u64() > Some(1_000_000), "{searched}");
    }
    // Control: 32 bytes that every serving process holds.
    let pass = vault::Pass::read(&desk.path("data")).unwrap().unwrap();
    let held = vault::census::MemoryNeedle::new(7, pass.token().as_bytes().first_chunk().unwrap());
    let mut notes: serde_json::Value = serde_json::from_str(&desk.read("notes.json")).unwrap();
    notes["memory"] = json!([{ "salt": 7, "first": held.first, "whole": fineline::http::hex(&held.whole) }]);
    desk.write("control.json", &notes.to_string());
    let control = desk.run(&["census", "memory", "--notes", "control.json"]);
    assert_eq!(control.code, 1, "control: {control:?}");
    assert!(control.out.contains("1 FOUND") && control.err.contains("out of reach"), "{control:?}");
    notes["house"] = json!("house_of_somebody_else");
    desk.write("control.json", &notes.to_string());
    desk.run(&["census", "memory", "--notes", "control.json"]).failed(2, "another house");
    server.kill().unwrap();
    server.wait().unwrap();
    desk.run(&memory).failed(5, "no server answers");

    // Within a day, and taken back by an id that leads nowhere any more.
    run(&["person", "restore"], "mia\n").failed(1, "no erasure waits under this id");
    run(&["person", "erase", "--yes"], "mia\n").fine();
    run(&["person", "show"], "mia\n").failed(1, "nobody is known");
    let back = run(&["person", "restore"], "mia@mail.example\n").fine();
    assert!(back.err.contains("as before the erasure"), "{}", back.err);
    desk.write("receipt.json", &back.out);
    assert!(desk.run(&["audit", "verify", "receipt.json"]).fine().out.contains("undo"));
    assert!(run(&["person", "show"], "mia\n").fine().out.contains("mia@mail.example"));
    assert!(desk.run(&["recipient", "list"]).fine().out.is_empty(), "nobody gets anything in this shop");
    desk.run(&["recipient", "secret", "crm"]).failed(2, "no [recipient.crm]");

    run(&["person", "erase", "--now"], "mia\n").failed(2, "--yes");
    let erased = run(&["person", "erase", "--now", "--yes"], "mia\n").fine();
    run(&["person", "restore"], "mia\n").failed(1, "no erasure waits");
    desk.write("receipt.json", &erased.out);
    let verified = desk.run(&["audit", "verify", "receipt.json", "--json"]).fine();
    assert_eq!(verified.json()["key"], "embedded");
    desk.write("receipt.json", &erased.out.replacen("\"payload\":\"e", "\"payload\":\"f", 1));
    assert_eq!(desk.run(&["audit", "verify", "receipt.json"]).code, 1, "a changed receipt does not hold");

    desk.run(&["key", "rotate"]).fine();
    let searched = desk.run(&["census", "search", "--notes", "notes.json", "--json"]);
    assert_eq!(searched.json()["reach"]["words_reached"], 0, "{}", searched.out);
    assert_eq!(searched.json()["where"], json!([]), "{}", searched.out);
    searched.fine();
    run(&["person", "show"], "mia\n").failed(1, "nobody is known");
    let (mut server, _) = serve(&desk, &[]);
    assert_eq!(desk.run(&memory).fine().json()["found"], 0);
    server.kill().unwrap();
    server.wait().unwrap();
}
