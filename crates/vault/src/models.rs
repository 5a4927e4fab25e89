//! Responsible for `./gate models`: every order of what can happen to one person's answers, one person's messages, and one person's
//! keys, tried to exhaustion (stateright). The steps are the product's own pure functions, which the committer, the urgent path, the
//! rotation and the restore call; a model only says who may take which step when. Each must reach every variant of its actions
//! and every end, end by exhaustion, and notice what is planted.
//!
//! Deliberately not: threads (`interleave`), disks (`tests/gates`), or more than two of anything.

mod answers;
mod cap;
mod forgetting;

use crate::fixture;
use model::{At, ProfileId};
use stateright::{Checker, Model};
use std::collections::BTreeSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

const PERSON: ProfileId = ProfileId::from_bytes([7; 16]);

fn now() -> At {
    At::parse(fixture::TODAY).unwrap()
}

/// What was met on the way, by name.
#[derive(Default)]
struct Met(Mutex<BTreeSet<&'static str>>);

impl Met {
    fn note(&self, what: &'static str) {
        self.0.lock().unwrap().insert(what);
    }
}

/// Runs a model to its end: nothing found, everything met.
fn holds<M>(name: &str, model: M, met: &Arc<Met>, all: &[&'static str])
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Send + Sync + Clone + 'static,
{
    let checker = model.checker().spawn_bfs().join();
    eprintln!("{name}: {} states, {} steps deep", checker.unique_state_count(), checker.max_depth());
    assert!(checker.is_done(), "{name}: it did not end by exhaustion");
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!("{name}: {property}: {:?}", path.into_actions());
    }
    let met = met.0.lock().unwrap();
    let missing: Vec<_> = all.iter().filter(|each| !met.contains(**each)).collect();
    assert!(missing.is_empty(), "{name}: never met {missing:?}");
}

/// Runs a model in which something is planted: it must be found.
fn finds<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: std::fmt::Debug + PartialEq + Send + Sync + Clone + 'static,
{
    let checker = model.checker().spawn_bfs().join();
    let found: Vec<_> = checker.discoveries().into_keys().collect();
    eprintln!("control {}: {name}: {found:?}", if found.is_empty() { "NOT caught" } else { "caught" });
    assert!(!found.is_empty(), "what was planted was not found: {name}");
}
