//! Responsible for the named places before and after each step that must last on the disk: every step of the house stands in
//! this one list. What lies on the disk at such a place is what a killed process leaves behind, so the gates and tests look
//! exactly there. In the program itself they are nothing.
//!
//! In the build of the fault gates (`--cfg failpoints`) the process ends without a further word at the k-th time it comes to
//! the place that `FINELINE_FAILPOINT=before_urgent_append:3` names. In a test, whoever copies the folder at a place and opens
//! the copy has seen the kill.
//!
//! Deliberately not: failing (`tests/gates/faults`).

#[cfg(test)]
use std::sync::{Mutex, PoisonError};

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $name:literal,)*) => {
        /// A step that must last.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Step {
            $($(#[$doc])* $step,)*
        }

        impl Step {
            /// Every one of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$step),*];

            /// What its two places are called.
            pub(crate) const fn names(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$step => (concat!("before_", $name), concat!("after_", $name)),)*
                }
            }
        }
    };
}

// A name says when its step is met, for `./gate kill`: while a house is made (`make_`), its keys rotate (`rotation_`), it is
// backed up (`backup_`) or restored (`restore_`), after years or thousands of notes (`late_`); the others while it serves.
steps! {
    /// The key ring of a new house.
    MakeRing = "make_ring",
    /// Its empty files of erasures, of what was taken back, and of urgent commands.
    MakeFiles = "make_files",
    /// The `house` file, the last of them.
    MakeHouse = "make_house",
    /// An urgent command, before its acknowledgement.
    UrgentAppend = "urgent_append",
    /// The store has what was on the urgent log.
    UrgentDrain = "urgent_drain",
    /// The urgent log is written anew with what still waits.
    UrgentRewrite = "urgent_rewrite",
    /// An erasure, before its acknowledgement.
    TombstoneAppend = "tombstone_append",
    /// What people took back, before the batch that holds it.
    NarrowingAppend = "narrowing_append",
    /// Entries that nobody needs any more go.
    NarrowingRewrite = "late_narrowing_rewrite",
    /// A batch.
    EngineCommit = "engine_commit",
    /// How far the store reached.
    HeadNote = "head_note",
    /// How far log and tombstones reached, for a second disk.
    WitnessNote = "witness_note",
    /// The witness file keeps its newest notes.
    WitnessRewrite = "late_witness_rewrite",
    /// A rotation is on record.
    RotationBegin = "rotation_begin",
    /// A new version of the key-encryption key.
    RotationAddVersion = "rotation_add_version",
    /// A slice of keys.
    RotationRewrapKeys = "rotation_rewrap_keys",
    /// A slice of keys that wait with the recovery key.
    RotationRewrapRecoveries = "rotation_rewrap_recoveries",
    /// An old version goes.
    RotationDestroy = "rotation_destroy",
    /// The key ring file, each time it is replaced.
    RingReplace = "rotation_ring_replace",
    /// The log says that the keys were rotated.
    RotationLog = "rotation_log",
    /// The store is written anew, without what was deleted.
    RotationCompact = "rotation_compact",
    /// Nothing of the rotation is left to do.
    RotationEnd = "rotation_end",
    /// A stream has its name.
    BackupStream = "backup_stream",
    /// The copies of erasures and of what was taken back.
    BackupBeside = "backup_beside",
    /// A key stream that is too old goes.
    BackupPrune = "late_backup_prune",
    /// The folder of a restored house, with its keys and its files.
    RestoreFolder = "restore_folder",
    /// Rows of the streams.
    RestoreRows = "restore_rows",
    /// Everything that must not come back is out; the `house` file.
    RestoreHouse = "restore_house",
    /// The mark of an unfinished restore goes.
    RestoreMark = "restore_mark",
}

/// Takes a step, between its two places.
#[inline]
pub(crate) fn around<T>(step: Step, take: impl FnOnce() -> T) -> T {
    let (before, after) = step.names();
    reach(before);
    let taken = take();
    reach(after);
    taken
}

#[cfg(not(any(test, failpoints)))]
#[inline]
const fn reach(_: &'static str) {}

/// Ends the process where the gate asked for it.
#[cfg(all(failpoints, not(test)))]
fn reach(name: &'static str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static WANTED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let wanted = std::env::var("FINELINE_FAILPOINT").ok()?;
        let (name, times) = wanted.rsplit_once(':')?;
        Some((name.to_owned(), AtomicU64::new(times.parse().ok()?)))
    });
    if let Some((wanted, left)) = WANTED.as_ref()
        && wanted == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        std::process::abort();
    }
}

/// What a test does at each place.
#[cfg(test)]
type Act = Box<dyn FnMut(&'static str) + Send>;

/// The places of every house of this process, for a test that has a process of its own.
#[cfg(test)]
static EVERYWHERE: Mutex<Option<Act>> = Mutex::new(None);

#[cfg(test)]
fn reach(name: &'static str) {
    if let Some(act) = EVERYWHERE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        act(name);
    }
}

/// The places of one house.
#[derive(Default)]
pub(crate) struct Failpoints {
    #[cfg(test)]
    act: Mutex<Option<Act>>,
}

impl Failpoints {
    /// Takes a step, between its two places.
    pub(crate) fn around<T>(&self, step: Step, take: impl FnOnce() -> T) -> T {
        let (before, after) = step.names();
        self.reach(before);
        let taken = take();
        self.reach(after);
        taken
    }

    /// A place where nothing is on its way to the disk: only a test that asked for the places of this house hears of it.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in a test it has something to do")]
    pub(crate) const fn passes(&self, _: &'static str) {}

    #[cfg(test)]
    pub(crate) fn passes(&self, name: &'static str) {
        if let Some(act) = self.act.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            act(name);
        }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in a test it has something to do")]
    fn reach(&self, name: &'static str) {
        reach(name);
    }

    #[cfg(test)]
    fn reach(&self, name: &'static str) {
        self.passes(name);
        reach(name);
    }

    /// From now on this is done at each.
    #[cfg(test)]
    pub(crate) fn at_each(&self, act: impl FnMut(&'static str) + Send + 'static) {
        *self.act.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(act));
    }
}

#[cfg(test)]
mod tests;
