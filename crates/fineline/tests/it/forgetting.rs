//! Sealed while living, gone when erased: on the disk, under every key, and in the memory of the serving process.

use crate::house::{House, address};
use serde_json::{Value, json};
use vault::census::{MemoryNeedle, Needle, search};
use vault::{EngineKind, Pass};

#[test]
fn d14_no_value_of_a_living_person_lies_in_clear_on_the_disk() {
    let house = House::open(EngineKind::Fjall);
    house.customers(3, 1);
    let values = [address("p0"), address("p2"), "0-1".to_owned(), "order-0-1".to_owned()];
    let needles: Vec<Needle> = values.iter().filter_map(|value| Needle::new(value, value.as_bytes())).collect();
    assert!(needles.len() >= 3);
    let searched = search(&[house.folder().to_owned()], &needles).unwrap();
    assert!(searched.findings.is_empty(), "{}", searched.findings[0]);
    assert!(searched.unread.is_empty(), "everything was looked into");
    let control = Needle::new("control", b"house_").unwrap();
    assert!(search(&[house.folder().to_owned()], &[control]).unwrap().n_findings > 0, "control: bytes are read");
}

#[test]
fn d14_the_serving_process_can_be_asked_for_keys_in_its_memory_by_hash_alone() {
    let house = House::open(EngineKind::Fjall);
    // Stands in this process, and therefore in what is searched.
    let planted: [u8; 32] = std::array::from_fn(|at| (at as u8).wrapping_mul(37).wrapping_add(11));
    let kept = std::hint::black_box(Box::new(planted));
    let needle = MemoryNeedle::new(7, &kept);
    let key = |whole: &[u8]| json!({ "salt": needle.salt, "first": needle.first, "whole": fineline::http::hex(whole) });
    let pass = Pass::read(&house.folder().join("data")).unwrap().expect("a house that is served has a pass");
    let ask = |keys: &Value| house.post_as_operator("/census/memory", pass.token(), keys);
    let found = ask(&json!([key(&needle.whole)])).fine().json();
    assert_eq!(found["found"][0], fineline::http::hex(&needle.whole), "control: {found}");
    let other = ask(&json!([key(&[9; 32])])).fine().json();
    assert_eq!(other["found"], json!([]), "{other}");
    assert_eq!(ask(&json!([{ "salt": 1, "first": 2, "whole": "zz" }])).status.as_u16(), 400);
    assert_eq!(house.post("/census/memory", &json!([])).status.as_u16(), 404, "not on the public listener");
    drop(kept);
}

#[test]
fn memory_is_searched_only_for_whoever_can_read_the_data_folder() {
    let mut house = House::open(EngineKind::Fjall);
    let data = house.folder().join("data");
    let pass = Pass::read(&data).unwrap().unwrap();
    let longer = format!("{}x", pass.token());
    let wrong = ["", "wrong", &pass.token()[1..], &longer];
    for token in wrong {
        let answer = house.post_as_operator("/census/memory", token, &json!("not even a list"));
        assert_eq!(answer.status.as_u16(), 401, "{token:?}: {}", answer.text());
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let unasked = house.post(&format!("{}/census/memory", house.console), &json!([]));
    assert_eq!(unasked.status.as_u16(), 401, "a server key is no pass");
    let searched = house.post_as_operator("/census/memory", pass.token(), &json!([])).fine().json();
    assert!(searched["bytes"].as_u64().unwrap() > 100_000, "{searched}");
    house.close();
    assert!(Pass::read(&data).unwrap().is_none(), "a pass ends with the process that it is for");
}
