//! What a thief with the disk learns, and what a program beside this room can reach.

use crate::fixture::{House, contains, files};
use crate::sending::{begin, decide, decision};
use vault::{EngineKind, Vault, VaultError};

fn bytes_of(folder: &std::path::Path) -> Vec<u8> {
    files(folder).into_iter().flat_map(|(_, content)| content).collect()
}

#[test]
fn d14_a_stolen_disk_yields_no_fact() {
    for engine in [EngineKind::Fjall, EngineKind::Redb] {
        let house = House::over(engine);
        let person = house.customer("ada-lovelace", 3, 100);
        decide(&house, decision(&house, person, 1)).unwrap();
        let act = vault::StaffAct {
            staff: "Grace Hopper".into(),
            act: "opened_person",
            person: Some(person),
            reason: "asked by telephone".into(),
            at: house.now(),
        };
        house.vault.staff_act(act).unwrap().wait().unwrap();
        {
            let snapshot = house.vault.snapshot();
            let everybody = snapshot.permit_set(house.artefact(promise::ArtefactKind::Segment, "lapsed")).unwrap();
            everybody.column(&model::TraitName::parse("orders_all").unwrap()).unwrap();
        }
        // In the middle of the night: the message waits, and says why.
        house.clock.advance_ms(12 * 60 * 60 * 1_000);
        begin(&house).unwrap_err();
        house
            .vault
            .put_house_record("campaign/win_back", Some(b"house-secret-value".to_vec()))
            .unwrap()
            .wait()
            .unwrap();
        let data = house.folder().unwrap().join("data");
        let bytes = bytes_of(&data);
        let words = [
            "ada-lovelace",
            "shop.example",
            "85123A",
            "12500000",
            "orders_all",
            "come_back",
            "pick offers from",
            "house-secret-value",
            "given",
            "Grace Hopper",
            "asked by telephone",
            "quiet_hours",
        ];
        for word in words {
            assert!(!contains(&bytes, word.as_bytes()), "{engine:?}: {word:?} stands in the data folder");
        }
        let root = bytes_of(house.folder().unwrap());
        assert!(root.len() > bytes.len(), "control: the root key lies elsewhere");
    }
}

#[test]
fn d14_another_root_key_opens_nothing_and_writes_nothing() {
    let house = House::over(EngineKind::Redb);
    house.customer("ada", 1, 10);
    let (options, household) = house.parts();
    let stranger = House::seeded(EngineKind::Redb, promise::fixture::SHOP, 8);
    let (other, _) = stranger.parts();
    let wrong = vault::Options { root: other.root.clone(), ..options.clone() };
    let (options, household) = (options.clone(), household.clone());
    let kept = house.close();
    let before = bytes_of(&options.data);
    assert!(matches!(Vault::open(&wrong, household.clone()), Err(VaultError::WrongRoot { .. })));
    assert_eq!(bytes_of(&options.data), before);
    Vault::open(&options, household).unwrap();
    drop(kept);
}
