//! What can go wrong in the vault, in words for the operator. Never a personal value.

use std::path::PathBuf;

/// An error of the vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The queue is full: try again soon.
    #[error("the committer's queue is full")]
    Busy,
    /// The vault was closed, or the committer stopped after a failed sync.
    #[error("the vault is closed")]
    Closed,
    /// The disk has no room left for anything but urgent commands.
    #[error("the disk is full: only opt-outs and erasures are taken")]
    DiskFull,
    /// A record is larger than its limit.
    #[error("{what} has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Another process has the data folder open.
    #[error("another process has {path} open; stop it, or choose another --data folder")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder was written by another version.
    #[error("{path} has format {found}, this program reads format {known}; see `fineline upgrade --check`")]
    Version {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A later program wrote something there that this one would take for damage.
    #[error("{path} holds `{what}`, which this program does not know: a later one wrote it, so open it with that one")]
    Needs {
        /// The folder.
        path: PathBuf,
        /// The word for it.
        what: String,
    },
    /// There is no data folder here.
    #[error("{path} is not a fineline data folder; `fineline init` makes one")]
    NoHouse {
        /// The folder.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{path} already holds a house")]
    HouseExists {
        /// The folder.
        path: PathBuf,
    },
    /// The root key does not open this folder. Nothing was written.
    #[error("the root key at {path} does not open this data folder; nothing was written")]
    WrongRoot {
        /// The key file.
        path: PathBuf,
    },
    /// The root key file can be read by others.
    #[error("the root key at {path} can be read by others (mode {mode:o}); run `chmod 600` on it")]
    RootReadable {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The passphrase does not open this folder. Nothing was written.
    #[error("the passphrase does not open this data folder; nothing was written")]
    WrongPassphrase,
    /// A passphrase is too short.
    #[error(
        "a passphrase needs at least {limit} characters; four or five words that nobody would put together are easy to keep"
    )]
    ShortPassphrase {
        /// Characters, at least.
        limit: usize,
    },
    /// The folder was made with another kind of root key.
    #[error("setting `root` says {set}, but this data folder was made with {wants}: set `root` to that")]
    RootSource {
        /// What was set.
        set: &'static str,
        /// What the folder was made with.
        wants: &'static str,
    },
    /// A stored record cannot be read as what it should be.
    #[error("damaged record in {keyspace}: {what}; run `fineline fsck`")]
    Damaged {
        /// Which keyspace or file.
        keyspace: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// The tombstone file is missing or older than the store.
    #[error(
        "the tombstone file is missing or older than the store: refusing to serve, so that nobody erased comes back"
    )]
    Tombstones,
    /// The data folder is older than, or another than, what the witness saw.
    #[error(
        "{what}: {path} saw {seen}, here are {ours}. Bring the newer data folder back; or restore a backup with \
         `fineline restore`, which notes the step back in the witness; or move the witness away, if you know why"
    )]
    Behind {
        /// The witness file.
        path: PathBuf,
        /// What is behind, and in what it is counted.
        what: &'static str,
        /// What the witness saw.
        seen: u64,
        /// What is here.
        ours: u64,
    },
    /// A witness file that this house did not write.
    #[error(
        "{path} is not a witness of this house, or its newest note was changed: set `witness` to the right file, or move \
         this one away, if you know why"
    )]
    NotAWitness {
        /// The witness file.
        path: PathBuf,
    },
    /// The file of what people took back is missing or older than the store.
    #[error(
        "{path}, which says what people took back, is missing or older than the store: put back the newest copy (`fineline \
         backup` keeps one beside the streams)"
    )]
    Narrowings {
        /// The file.
        path: PathBuf,
    },
    /// The house cannot take opt-outs without its root key.
    #[error("{path} is missing or is not what was written: start once with the root key, which makes it anew")]
    NotSealable {
        /// The file of the public key.
        path: PathBuf,
    },
    /// A restore of this folder was not finished.
    #[error("{path} is a half-finished restore: remove the folder and run `fineline restore` again")]
    HalfRestored {
        /// The folder.
        path: PathBuf,
    },
    /// A backup cannot be used.
    #[error("the backup {path} cannot be used: {what}")]
    Backup {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and where in the file.
        what: String,
    },
    /// The setting `store`, or the server it names, is not fit to hold a house.
    #[error("setting `store`: {what}")]
    Store {
        /// What is wrong, and what to do.
        what: String,
    },
    /// The database cannot be reached. What was asked may be asked again, and is done once.
    #[error("the database cannot be reached; nothing was acknowledged, try again")]
    Away {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine failed.
    #[error("the {engine} engine failed")]
    Engine {
        /// Which.
        engine: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file of the data folder could not be read or written.
    #[error("{doing} {path}")]
    File {
        /// What was being done ("reading", "syncing").
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The cipher refused: wrong key, moved or changed record.
    #[error("a sealed record does not open where it lies")]
    Seal,
}
