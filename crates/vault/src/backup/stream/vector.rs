//! The published vector of a stream: written once, read for ever.

use super::*;
use crate::log::sha256;
use model::HouseId;
use std::path::Path;

/// Rows as they may stand: one that only changed, one that is gone, one that is new.
fn rows(kind: Kind) -> Vec<Change> {
    let row = |keyspace, key: &[u8], value: &[u8]| Change { keyspace, key: key.to_vec(), value: Some(value.to_vec()) };
    match kind {
        Kind::Keys => vec![row(Keyspace::Keys, &[1; 16], b"wrapped"), row(Keyspace::House, b"g/token", b"left")],
        Kind::Data => vec![row(Keyspace::Profiles, &[1; 20], b"sealed"), row(Keyspace::House, b"h/name", b"record")],
    }
}

fn head(house: &HouseId, kind: Kind) -> Head {
    let reach = |epoch| Reach { epoch, mac: sha256(&[b"mac"]) };
    let facts = Facts {
        house: HouseFile { house: *house, check: sha256(&[b"check"]), stretch: None },
        batch: 300,
        log_root: sha256(&[b"root"]),
        tombstones: reach(2),
        narrowings: reach(5),
        at: At::from_ms(1_790_000_000_000),
    };
    Head::new(kind, &facts)
}

/// A key stream, a full data stream, and a stream of changes on an earlier one.
pub(crate) fn write(house: &HouseId, signer: &Signer) -> [Vec<u8>; 3] {
    [(Kind::Keys, false), (Kind::Data, false), (Kind::Data, true)].map(|(kind, of_changes)| {
        let head = head(house, kind);
        let base = Base { batch: 299, digest: sha256(&[b"before"]) };
        let mut writer = StreamWriter::new(Vec::new(), &head, of_changes.then_some(&base)).unwrap();
        let mut content = Content::new(&head);
        if kind == Kind::Keys {
            content.ring(b"ring");
            writer.ring(b"ring").unwrap();
        }
        for row in rows(kind) {
            content.row(&row);
            if !of_changes {
                writer.change(&row).unwrap();
            }
        }
        if of_changes {
            writer.change(&Change { keyspace: Keyspace::Events, key: vec![9; 40], value: None }).unwrap();
        }
        let (n_rows, digest) = content.finish();
        writer.finish(&Trailer::sign(n_rows, digest, signer).unwrap()).unwrap()
    })
}

/// Each reads back as what it was.
pub(crate) fn check(streams: &[Vec<u8>; 3], house: &HouseId, signer: &Signer) {
    let kinds = [(Kind::Keys, false), (Kind::Data, false), (Kind::Data, true)];
    for (bytes, (kind, of_changes)) in streams.iter().zip(kinds) {
        let mut reader = StreamReader::new(bytes.as_slice(), Path::new("vector")).unwrap();
        assert_eq!((reader.head.clone(), reader.head.house()), (head(house, kind), *house));
        assert_eq!(reader.ring.as_deref(), (kind == Kind::Keys).then_some(b"ring".as_slice()));
        assert_eq!(reader.base.map(|base| base.batch), of_changes.then_some(299));
        let mut found = Vec::new();
        while let Some(row) = reader.next().unwrap() {
            found.push(row);
        }
        match of_changes {
            true => assert_eq!((found[0].keyspace, found[0].value.clone()), (Keyspace::Events, None)),
            false => assert_eq!(found, rows(kind)),
        }
        assert!(reader.trailer().unwrap().is_signed(signer));
        reader.ends().unwrap();
    }
}
