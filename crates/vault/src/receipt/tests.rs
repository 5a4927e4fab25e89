//! A receipt holds with nothing but the file, and says how far.

use super::*;
use crate::EngineKind;
use crate::chain::{Chain, proof_of};
use crate::engine;
use crate::key::Ring;
use model::HouseId;
use model::chance::Seeded;
use std::sync::Arc;

const PAYLOAD: &str = r#"{"what":"consent","purpose":"offers","status":"withdrawn","seq":7}"#;
const SALT: [u8; 16] = [9; 16];

fn keys(seed: u64) -> Arc<HouseKeys> {
    let house = HouseId::from_bytes([1; 16]);
    Arc::new(Ring::in_memory(&house, &Seeded::new(seed)).house_keys().unwrap())
}

fn proven() -> (Arc<HouseKeys>, String) {
    let keys = keys(1);
    let engine = engine::open(EngineKind::Memory, std::path::Path::new("")).unwrap();
    let mut chain = Chain::open(engine.snapshot().as_ref(), Arc::clone(&keys), &HouseId::from_bytes([1; 16])).unwrap();
    for n in 0..5u8 {
        let mut ops = Vec::new();
        let entries = [LogLeaf::commit(&[n; 16], b"another"), LogLeaf::commit(&SALT, PAYLOAD.as_bytes())];
        chain.next(&mut ops, &entries[..if n == 2 { 2 } else { 1 }]).unwrap();
        engine.commit(ops).unwrap();
    }
    let proof = proof_of(engine.snapshot().as_ref(), 3, 1).unwrap().unwrap();
    let receipt = with_proof(&sign(&keys.receipt, PAYLOAD).unwrap(), &SALT, &proof).unwrap();
    (keys, receipt)
}

#[test]
fn a_receipt_says_whether_its_key_was_pinned_or_only_embedded() {
    let keys = keys(1);
    let receipt = sign(&keys.receipt, PAYLOAD).unwrap();
    let verified = verify(&receipt, None).unwrap();
    assert_eq!((verified.payload.as_str(), verified.key), (PAYLOAD, KeyTrust::Embedded));
    assert_eq!(verify(&receipt, Some(&public_keys_json(&keys))).unwrap().key, KeyTrust::Pinned);
    let refused = verify(&receipt, Some(&public_keys_json(&super::tests::keys(2))));
    assert_eq!(refused, Err(ReceiptError::UnknownKey { kid: keys.receipt.kid().to_owned() }));
}

#[test]
fn a_receipt_says_whether_the_log_holds_it() {
    let (keys, receipt) = proven();
    let Inclusion::Proven { batch, size, log } = verify(&receipt, None).unwrap().inclusion else { panic!() };
    assert_eq!((batch, size, log.starts_with("fineline/house_")), (3, 5, true));
    let without = sign(&keys.receipt, PAYLOAD).unwrap();
    assert_eq!(verify(&without, None).unwrap().inclusion, Inclusion::Unsaid);
    let promise = sign(&keys.receipt, r#"{"what":"erase","included_by":"2026-11-24T17:32:00Z"}"#).unwrap();
    let promised = Inclusion::Promised { by: "2026-11-24T17:32:00Z".to_owned() };
    assert_eq!(verify(&promise, None).unwrap().inclusion, promised);
}

#[test]
fn a_proof_of_something_else_is_refused() {
    let (keys, receipt) = proven();
    let proof: Value = serde_json::from_str(&receipt).unwrap();
    let mut other: Value =
        serde_json::from_str(&sign(&keys.receipt, &PAYLOAD.replace("withdrawn", "given")).unwrap()).unwrap();
    other["header"] = proof["header"].clone();
    assert_eq!(verify(&other.to_string(), None), Err(ReceiptError::Proof));

    let mut foreign: Value = serde_json::from_str(&sign(&super::tests::keys(2).receipt, PAYLOAD).unwrap()).unwrap();
    foreign["header"] = proof["header"].clone();
    assert_eq!(verify(&foreign.to_string(), None), Err(ReceiptError::Proof), "a checkpoint of another house");
}

#[test]
fn every_changed_byte_is_noticed_or_changes_nothing() {
    let (_, receipt) = proven();
    let whole = verify(&receipt, None).unwrap();
    for at in 0..receipt.len() {
        let mut changed = receipt.clone().into_bytes();
        changed[at] ^= 1;
        if let Ok(changed) = String::from_utf8(changed)
            && let Ok(verified) = verify(&changed, None)
        {
            assert_eq!(verified, whole, "byte {at}");
        }
    }
}

#[test]
fn another_algorithm_or_a_renamed_key_is_refused() {
    let keys = keys(1);
    let receipt: Value = serde_json::from_str(&sign(&keys.receipt, PAYLOAD).unwrap()).unwrap();
    let header = String::from_utf8(decoded(receipt["protected"].as_str().unwrap()).unwrap()).unwrap();
    for (old, new) in [("EdDSA", "none"), ("EdDSA", "HS256"), (r#""kid":""#, r#""kid":"x"#), ("OKP", "EC")] {
        let mut changed = receipt.clone();
        changed["protected"] = BASE64.encode(header.replacen(old, new, 1)).into();
        assert!(matches!(verify(&changed.to_string(), None), Err(ReceiptError::Form(_))), "{old} to {new}");
    }
    let mut extra = receipt.clone();
    extra["crit"] = "anything".into();
    assert!(matches!(verify(&extra.to_string(), None), Err(ReceiptError::Form(_))));
}

#[test]
fn what_cannot_be_read_back_exactly_is_not_signed() {
    let keys = keys(1);
    for payload in [r#"{"sum":1.5}"#, r#"{"sum":1e9}"#, r#"{"yes":true}"#, r#"{"none":null}"#, "[]", "text", ""] {
        assert!(sign(&keys.receipt, payload).is_err(), "{payload}");
    }
}
