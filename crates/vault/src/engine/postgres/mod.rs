//! Responsible for PostgreSQL 15 or newer as an engine: the same rows, the same ciphertext, one table per keyspace, and
//! what several nodes need so that none of them holds a truth of its own.
//!
//! Writing goes by turns. A node that wants to write locks the one row of `head` and reads its number; when that is not
//! the batch it knows last, it first learns what the others wrote (`batch` says whom and what each of the last batches
//! changed), and only then judges, writes and commits: one transaction, acknowledged after COMMIT (`commit`). Wishes,
//! tombstones and what people took back stand in tables of their own (`beside`); urgent ones are small transactions on a
//! reserved session that wait for no turn. Reading is a transaction that stands still (`snapshot`).
//!
//! Deliberately not: the key ring. It never enters the database, because a server keeps what it was once given in its log
//! and its backups (`docs/decisions/0006-postgres.md`).

mod beside;
mod commit;
mod server;
mod session;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use beside::{Changes, News};
pub use server::Server;
pub use session::Fitness;

use super::reading::Readings;
use super::{Engine, EngineSnapshot, Keyspace, Op};
use crate::VaultError;
use crate::log::sha256;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use commit::Writer;
use session::{Connection, For, Trouble};
use snapshot::{PgSnapshot, Unopened};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;

/// Readings at the same time, and how long one waits for a place.
const READERS_MAX: usize = 24;
const READER_WITHIN: Duration = Duration::from_secs(10);

/// Threads that carry bytes to and from the server.
const THREADS: usize = 2;

/// What this node keeps open, apart from turns at writing.
struct Pool {
    server: &'static Server,
    handle: Handle,
    readers: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Connection>>>,
}

impl Pool {
    /// Waits for the answer on a thread that is not the runtime's: the vault's core is synchronous.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, VaultError> {
        let (send, answer) = sync_channel(1);
        self.go(async move {
            let _ = send.send(work.await);
        });
        answer.recv().map_err(|_| VaultError::Closed)
    }

    fn go(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(work);
    }
}

/// A store in a PostgreSQL server.
pub(crate) struct Postgres {
    pool: Arc<Pool>,
    /// Stopped without waiting when the engine goes.
    runtime: Option<Runtime>,
    readings: Arc<Readings>,
    writer: Mutex<Writer>,
    /// The reserved session for urgent commands, and the one that holds this node's leases.
    urgent: Mutex<Option<Arc<Connection>>>,
    leases: Mutex<Option<Arc<Connection>>>,
    /// Which opening of which process this is, in the rows of `batch`.
    node: [u8; 16],
    fitness: Fitness,
}

impl Postgres {
    /// Connects, refuses a server that may lose what it acknowledged, and makes the tables when they are not there.
    pub(super) fn open(server: &'static Server) -> Result<Self, VaultError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(|source| VaultError::Engine { engine: "postgres", source: Box::new(source) })?;
        let pool = Arc::new(Pool {
            server,
            handle: runtime.handle().clone(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Mutex::default(),
        });
        let (connection, fitness, node) = pool.wait(async move {
            let connection = Connection::open(server, For::Urgent).await?;
            let fitness = session::check(&connection).await?;
            session::make_schema(&connection, server).await?;
            let row = connection
                .client
                .query_one("select gen_random_uuid()::text || pg_backend_pid()::text || clock_timestamp()::text", &[])
                .await?;
            let node: String = row.try_get(0)?;
            Ok::<_, Trouble>((connection, fitness, node))
        })??;
        let mut id = [0; 16];
        id.iter_mut().zip(sha256(&[node.as_bytes()])).for_each(|(target, source)| *target = source);
        Ok(Self {
            pool,
            runtime: Some(runtime),
            readings: Arc::default(),
            writer: Mutex::default(),
            urgent: Mutex::new(Some(Arc::new(connection))),
            leases: Mutex::default(),
            node: id,
            fitness,
        })
    }

    /// What the server is.
    pub(crate) fn fitness(&self) -> &Fitness {
        &self.fitness
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine for Postgres {
    fn snapshot(&self) -> Arc<dyn EngineSnapshot> {
        match PgSnapshot::open(&self.pool, self.readings.begin()) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no reading could be opened");
                Arc::new(Unopened)
            }
        }
    }

    fn commit(&self, ops: Vec<Op>) -> Result<(), VaultError> {
        self.write(ops)?;
        self.readings.step();
        Ok(())
    }

    /// Gives the room of rows that are gone back to the tables. It wipes nothing: what the server keeps of them in its files,
    /// log and backups is ciphertext, and closes with its key version (`docs/how-to/postgres.md`).
    fn compact(&self) -> Result<(), VaultError> {
        self.readings.none_older("postgres")?;
        let server = self.pool.server;
        Ok(self.pool.wait(async move {
            let connection = Connection::open(server, For::Urgent).await?;
            connection
                .client
                .batch_execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
                .await?;
            for keyspace in Keyspace::ALL {
                connection.client.batch_execute(&format!("vacuum (analyze) {}", keyspace.name())).await?;
            }
            Ok::<_, Trouble>(())
        })??)
    }

    fn wait_for_readers(&self) -> Result<(), VaultError> {
        self.readings.none_older("postgres")
    }

    fn nodes(&self) -> Option<&Postgres> {
        Some(self)
    }
}
