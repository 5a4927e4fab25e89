//! Random edits of rows, each on a fresh copy of the same store: flip a byte, delete, swap two values, copy to another key, put
//! an older version back. Every one is named, or changes nothing.

use super::*;
use model::Rng;
use std::collections::BTreeMap;

/// Edits per kind.
const N: usize = 60;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Edit {
    Flip,
    Delete,
    Swap,
    Copy,
    Older,
}

const EDITS: [Edit; 5] = [Edit::Flip, Edit::Delete, Edit::Swap, Edit::Copy, Edit::Older];

/// What kind of row: keyspace, and for index and house how the key begins.
fn kind(keyspace: Keyspace, key: &[u8]) -> String {
    let begins = match keyspace {
        Keyspace::Index => key.get(..1),
        Keyspace::House if key.first() == Some(&0) => {
            let end = key[1..].iter().position(|byte| !byte.is_ascii_lowercase()).map_or(key.len(), |at| at + 1);
            key.get(1..end)
        }
        Keyspace::House if key.starts_with(b"n/") => Some(key),
        Keyspace::House => key.get(..2),
        Keyspace::Keys if key.len() != 16 => Some(b"day".as_slice()),
        Keyspace::Profiles if key.ends_with(&[0; 4]) => Some(b"core".as_slice()),
        _ => None,
    };
    format!("{} {}", keyspace.name(), String::from_utf8_lossy(begins.unwrap_or_default())).trim_end().to_owned()
}

/// Edits that change nothing that a check could tell: a secret of a day that nothing is sealed under, and keys as they were
/// under the same version.
fn may_pass(edit: Edit, kind: &str) -> bool {
    match edit {
        Edit::Delete => kind == "keys day",
        Edit::Older => ["keys", "keys day"].contains(&kind),
        Edit::Flip | Edit::Swap | Edit::Copy => false,
    }
}

struct Store {
    rows: Vec<(Keyspace, Vec<u8>, Vec<u8>)>,
    older: BTreeMap<(Keyspace, Vec<u8>), Vec<u8>>,
}

fn all_rows(options: &Options) -> Vec<(Keyspace, Vec<u8>, Vec<u8>)> {
    let snapshot = store(options).snapshot();
    let rows =
        |keyspace| snapshot.scan(keyspace, &[]).map(move |row| row.map(|(key, value)| (keyspace, key, value)).unwrap());
    Keyspace::ALL.into_iter().flat_map(rows).collect()
}

fn pick<'r, T>(from: &'r [T], rng: &Seeded) -> &'r T {
    let at = u64::from_be_bytes(rng_bytes(rng)) % from.len() as u64;
    &from[usize::try_from(at).unwrap()]
}

fn rng_bytes<const N: usize>(rng: &Seeded) -> [u8; N] {
    (rng as &dyn Rng).bytes()
}

impl Store {
    /// One edit of a row of a kind, as ops; `None` when the kind has no such edit.
    fn edit(&self, edit: Edit, which: &str, rng: &Seeded) -> Option<Vec<Op>> {
        let here: Vec<_> = self.rows.iter().filter(|(keyspace, key, _)| kind(*keyspace, key) == which).collect();
        let (keyspace, key, value) = (*pick(&here, rng)).clone();
        let put = |key: &[u8], value: &[u8]| Op::Put(keyspace, key.to_vec(), value.to_vec());
        match edit {
            Edit::Flip => {
                let [a, b, bit] = rng_bytes(rng);
                let mut changed = value.clone();
                let at = usize::from(u16::from_be_bytes([a, b])) % changed.len().max(1);
                *changed.get_mut(at)? ^= 1 << (bit % 8);
                Some(vec![put(&key, &changed)])
            }
            Edit::Delete => Some(vec![Op::Delete(keyspace, key)]),
            Edit::Swap => {
                let others: Vec<_> = here.iter().filter(|(_, _, other)| *other != value).collect();
                let (_, other, theirs) = **others.get(usize::from(rng_bytes::<1>(rng)[0]) % others.len().max(1))?;
                Some(vec![put(&key, theirs), put(other, &value)])
            }
            Edit::Copy => {
                let mut other = key.clone();
                let last = other.last_mut()?;
                *last = last.wrapping_add(1 + rng_bytes::<1>(rng)[0] % 200);
                let is_free = !self.rows.iter().any(|(there, taken, _)| (*there, taken) == (keyspace, &other));
                is_free.then(|| vec![put(&other, &value)])
            }
            Edit::Older => {
                let older = self.older.get(&(keyspace, key.clone()))?;
                (*older != value).then(|| vec![put(&key, older)])
            }
        }
    }
}

#[test]
fn d14_random_edits_are_named() {
    let home = Home::new();
    let (_older, before) = home.copied();
    // More of the same house, so that rows have an older version.
    let vault = home.open();
    home.later(1_000);
    vault.take(vec![home.order("ada", "ada-9"), home.order("eve", "eve-9")]).unwrap().wait().unwrap();
    vault.consent(home.answer(Subject::Profile(home.ada), ConsentStatus::Withdrawn)).unwrap().wait().unwrap();
    vault.put_house_record("campaign/win_back", Some(b"paused".to_vec())).unwrap().wait().unwrap();
    vault.erase(home.eve, Erasure::Now).unwrap().wait().unwrap();
    vault.close().unwrap();
    drop(vault);
    assert_eq!(home.check(), [], "control");
    let older = all_rows(&before).into_iter().map(|(keyspace, key, value)| ((keyspace, key), value)).collect();
    let all = Store { rows: all_rows(&home.options), older };
    let mut kinds: Vec<String> = all.rows.iter().map(|(keyspace, key, _)| kind(*keyspace, key)).collect();
    kinds.sort();
    kinds.dedup();
    let rng = Seeded::new(11);
    let (mut tally, mut wrong) = (BTreeMap::<(Edit, String), (u32, u32)>::new(), Vec::new());
    let (_folder, options) = home.copied();
    let engine = store(&options);
    drop(engine);
    for edit in EDITS {
        for which in &kinds {
            for _ in 0..N.div_ceil(kinds.len()).max(2) {
                let Some(ops) = all.edit(edit, which, &rng) else { continue };
                let undo: Vec<Op> = ops.iter().map(|op| all.undo(op)).collect();
                store(&options).commit(ops).unwrap();
                let findings = check(&options, home.household());
                store(&options).commit(undo).unwrap();
                let counts = tally.entry((edit, which.clone())).or_default();
                counts.0 += 1;
                if findings.is_empty() {
                    counts.1 += 1;
                    if !may_pass(edit, which) {
                        wrong.push(format!("{edit:?} of {which}"));
                    }
                }
            }
        }
    }
    let (n, passed) = tally.values().fold((0, 0), |sum, (n, passed)| (sum.0 + n, sum.1 + passed));
    assert!(n > 200 && passed * 20 < n, "{passed} of {n} not noticed: {tally:#?}");
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(check(&options, home.household()), [], "control: every edit was undone");
}

impl Store {
    fn undo(&self, op: &Op) -> Op {
        let (Op::Put(keyspace, key, _) | Op::Delete(keyspace, key)) = op;
        let stood = self.rows.iter().find(|(there, known, _)| there == keyspace && known == key);
        match stood {
            Some((_, _, value)) => Op::Put(*keyspace, key.clone(), value.clone()),
            None => Op::Delete(*keyspace, key.clone()),
        }
    }
}
