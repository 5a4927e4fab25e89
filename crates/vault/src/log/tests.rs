//! The tree gives the hashes and proofs that RFC 6962 and its reference implementation give, and no others.

use super::*;
use crate::key::Secret;
use model::chance::Seeded;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::convert::Infallible;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The eight leaves and roots of the reference implementation of certificate transparency (`merkle_tree_test`).
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn grown(leaves: &[Hash]) -> (Tree, BTreeMap<Node, Hash>, Vec<Vec<Hash>>) {
    let (mut tree, mut nodes) = (Tree::default(), BTreeMap::new());
    let paths = leaves
        .iter()
        .map(|leaf| {
            tree.append(*leaf, |node, hash| {
                nodes.insert(node, hash);
            })
        })
        .collect();
    (tree, nodes, paths)
}

fn known_leaves() -> Vec<Hash> {
    LEAVES.iter().map(|leaf| leaf_hash(&hex(leaf))).collect()
}

#[test]
fn roots_are_those_of_rfc_6962() {
    assert_eq!(
        Tree::default().root().to_vec(),
        hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    );
    for (n, root) in ROOTS.iter().enumerate() {
        assert_eq!(root_of(&known_leaves()[..=n]).to_vec(), hex(root), "{} leaves", n + 1);
    }
}

#[test]
fn inclusion_paths_are_those_of_rfc_6962() {
    let known: [(u64, u64, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    let (_, nodes, _) = grown(&known_leaves());
    for (index, size, path) in known {
        let found = inclusion(index, size, &mut |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        assert_eq!(
            found,
            path.iter().map(|hash| hex(hash).try_into().unwrap()).collect::<Vec<Hash>>(),
            "{index} of {size}"
        );
    }
}

#[test]
fn consistency_paths_are_those_of_rfc_6962() {
    let known: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    let (_, nodes, _) = grown(&known_leaves());
    for (first, second, path) in known {
        let found = consistency(first, second, &mut |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        assert_eq!(
            found,
            path.iter().map(|hash| hex(hash).try_into().unwrap()).collect::<Vec<Hash>>(),
            "{first} to {second}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_leaf_proves_itself_and_no_other(n in 1..70usize, at: prop::sample::Index, wrong: prop::sample::Index) {
        let leaves: Vec<Hash> = (0..n).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let (tree, nodes, paths) = grown(&leaves);
        let size = n as u64;
        prop_assert_eq!(&tree, &Tree::load(size, |node| Ok::<_, Infallible>(nodes[&node])).unwrap());
        prop_assert_eq!(tree.root(), root_of(&leaves));
        let index = at.index(n) as u64;
        let path = inclusion(index, size, &mut |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        prop_assert_eq!(root_from_path(leaves[at.index(n)], index, size, &path), Some(tree.root()));
        prop_assert_eq!(&paths[n - 1], &inclusion(size - 1, size, &mut |node| Ok::<_, Infallible>(nodes[&node])).unwrap());
        if wrong.index(n) != at.index(n) {
            prop_assert_ne!(root_from_path(leaves[wrong.index(n)], index, size, &path), Some(tree.root()));
            prop_assert_ne!(root_from_path(leaves[at.index(n)], wrong.index(n) as u64, size, &path), Some(tree.root()));
        }
        prop_assert_eq!(root_from_path(leaves[at.index(n)], index, size, &[path.as_slice(), &[[0; 32]]].concat()), None);
        if let [_, rest @ ..] = path.as_slice() {
            prop_assert_ne!(root_from_path(leaves[at.index(n)], index, size, rest), Some(tree.root()));
        }
    }

    #[test]
    fn a_tree_is_the_beginning_of_what_it_grew_into_and_of_nothing_else(n in 2..70usize, at: prop::sample::Index) {
        let leaves: Vec<Hash> = (0..n).map(|at| leaf_hash(&at.to_be_bytes())).collect();
        let first = at.index(n - 1) + 1;
        let (tree, nodes, _) = grown(&leaves);
        let path = consistency(first as u64, n as u64, &mut |node| Ok::<_, Infallible>(nodes[&node])).unwrap();
        let (old, new) = ((first as u64, root_of(&leaves[..first])), (n as u64, tree.root()));
        prop_assert!(is_consistent(old, new, &path));
        let mut rewritten = leaves[..first].to_vec();
        rewritten[0] = leaf_hash(b"another history");
        prop_assert!(!is_consistent((first as u64, root_of(&rewritten)), new, &path));
        prop_assert!(!is_consistent(old, (n as u64, [7; 32]), &path));
    }
}

#[test]
fn a_checkpoint_reads_back_and_knows_its_signer() {
    let (ours, other) = (Secret::generate(&Seeded::new(1)), Secret::generate(&Seeded::new(2)));
    let (ours, other) = (Signer::new(&ours).unwrap(), Signer::new(&other).unwrap());
    let checkpoint = Checkpoint { origin: "fineline/house".to_owned(), size: 42, root: [7; 32] };
    let note = checkpoint.sign(&ours).unwrap();
    assert_eq!(Checkpoint::verify(&note, ours.public()), Some(checkpoint.clone()));
    assert_eq!(Checkpoint::read(&note), Some(checkpoint));
    assert_eq!(Checkpoint::verify(&note, other.public()), None);
    for (at, _) in note.char_indices() {
        let mut changed = note.clone().into_bytes();
        changed[at] ^= 1;
        let changed = String::from_utf8_lossy(&changed).into_owned();
        let verified = Checkpoint::verify(&changed, ours.public());
        // The last base64 digit of a signature has spare bits; anything else must be noticed.
        assert!(verified.is_none() || Checkpoint::read(&changed) == Checkpoint::read(&note), "byte {at}");
    }
}
