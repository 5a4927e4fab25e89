//! No personal value in the log, in metrics, in errors: planted ones are looked for in everything that the program says.

use crate::durable::serve;
use crate::house::House;
use crate::program::Desk;
use fineline::loopback::Loopback;
use http::StatusCode;
use serde_json::json;
use std::io::Read;
use vault::EngineKind;

/// Stands in every place where a value of a person can stand.
const CANARY: &str = "canary7f3a";

#[test]
fn no_value_of_a_person_stands_in_the_log_at_its_loudest() {
    let desk = Desk::applied();
    let key = desk.run(&["source", "key", "shop", "--json"]).fine().json()["key"].as_str().unwrap().to_owned();
    desk.write("fineline.toml", "log = \"json\"\nlog_level = \"trace\"\nstop_accept_seconds = 0\n");
    let (mut child, at) = serve(&desk, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = runtime.block_on(async {
        let mut answers = Vec::new();
        let good = Loopback::with_key(at, &key).unwrap();
        let bad = Loopback::with_key(at, &format!("fl_sec_{CANARY}")).unwrap();
        let order = |user: &str| {
            json!({
                "type": "track", "event": "Order Completed", "userId": user, "messageId": format!("{CANARY}-1"),
                "properties": { "order_id": CANARY, "total": "not-money-canary7f3a", "colour": CANARY },
                "context": { "traits": { "email": format!("{CANARY}@mail.example") } },
            })
        };
        for server in [&good, &bad] {
            answers.push(server.post("/v1/track", &order(&format!("user-{CANARY}"))).await.unwrap());
            let undeclared = json!({ "type": "track", "event": format!("Saw {CANARY}"), "userId": CANARY, "messageId": "2" });
            answers.push(server.post("/v1/track", &undeclared).await.unwrap());
            let identify = json!({ "type": "identify", "userId": CANARY, "messageId": "3", "traits": { "email": format!("{CANARY}@mail.example") } });
            answers.push(server.post("/v1/batch", &json!({ "batch": [identify] })).await.unwrap());
            answers.push(server.post("/v1/consent", &json!({ "userId": CANARY, "purpose": CANARY, "status": CANARY })).await.unwrap());
            answers.push(server.post("/v1/decide", &json!({ "userId": CANARY, "placement": CANARY })).await.unwrap());
            answers.push(server.post("/v1/people/lookup", &json!({ "userId": CANARY })).await.unwrap());
            answers.push(server.post(&format!("/m/{CANARY}/less"), &json!({})).await.unwrap());
            answers.push(server.post(&format!("/nowhere/{CANARY}?email={CANARY}"), &json!({})).await.unwrap());
        }
        answers
    });
    assert!(answers.iter().filter(|(status, _)| status.is_client_error()).count() > 8, "control: much was refused");
    for (status, body) in &answers {
        assert!(!body.to_string().contains(CANARY), "an answer of {status} repeats a value: {body}");
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(log.contains("\"closed\"") || log.contains("closed"), "control: the log was read");
    let answered = log.lines().filter(|line| line.contains("\"answered\"")).count();
    assert_eq!(answered, answers.len(), "control: at its loudest it tells of every request\n{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains(CANARY)).collect();
    assert!(told.is_empty(), "{} lines tell a value, such as {:?}", told.len(), told.first());
}

#[test]
fn d27_an_event_without_a_purpose_in_force_leaves_nothing_but_a_count() {
    let house = House::open(EngineKind::Fjall);
    let event = json!({
        "type": "page", "anonymousId": format!("device-{CANARY}"), "messageId": CANARY,
        "properties": { "path": format!("/{CANARY}") },
    });
    house.browser_post("/v1/page", &event).fine();
    house
        .post(
            "/v1/track",
            &json!({ "type": "track", "event": format!("Undeclared {CANARY}"), "userId": CANARY, "messageId": "u" }),
        )
        .fine();
    let metrics = house.get("/metrics").fine().text();
    assert!(metrics.contains("reason=\"no_purpose\""), "counted with its reason");
    assert!(metrics.contains("reason=\"undeclared_event\""), "counted with its reason");
    assert!(!metrics.contains(CANARY));
    house.vault.put_house_record("control", Some(b"bytes that are there".to_vec())).unwrap().wait().unwrap();
    let needle = vault::census::Needle::new("canary", CANARY.as_bytes()).unwrap();
    let searched = vault::census::search(&[house.folder().to_owned()], &[needle]).unwrap();
    assert_eq!(searched.n_findings, 0, "{:?}", searched.findings.first());
    assert!(searched.n_files > 3, "control: files were searched");
    assert_eq!(house.person(CANARY), None);
}

#[test]
fn malformed_large_and_unknown_input_is_answered_clearly_and_nothing_is_lost() {
    let house = House::open(EngineKind::Memory);
    let deep = format!("{}1{}", "{\"a\":".repeat(500), "}".repeat(500));
    for body in ["", "{", "null", "[]", "{\"batch\": 7}", deep.as_str()] {
        let answer = house.raw("/v1/batch", body.as_bytes());
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:.20}");
        assert!(answer.json()["code"].is_string() && answer.json()["message"].is_string(), "{}", answer.text());
    }
    assert_eq!(house.raw("/v1/batch", &[0xff, 0xfe, 0x00]).status, StatusCode::BAD_REQUEST);
    let large = json!({ "batch": [House::order("p1", "large", &["MUG01"])], "context": { "x": "y".repeat(600_000) } });
    assert_eq!(house.post("/v1/batch", &large).status, StatusCode::BAD_REQUEST);
    let one_large = json!({ "batch": [
        { "type": "track", "event": "Order Completed", "userId": "p2", "messageId": "l", "properties": { "x": "y".repeat(40_000) } },
        House::order("p3", "small", &["MUG01"]),
    ] });
    house.post("/v1/batch", &one_large);
    house.post("/v1/batch", &json!({ "batch": [House::order("p3", "small", &["MUG01"])] })).fine();
    assert!(house.person("p3").is_some());
    assert_eq!(house.get("/v1/nothing").status, StatusCode::NOT_FOUND);
}
