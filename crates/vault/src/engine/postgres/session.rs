//! Responsible for one connection: how a session begins, what the server must promise before anything is trusted to it,
//! prepared statements, and the schema.
//!
//! Deliberately not: which connection is used for what (`mod`, `commit`, `snapshot`).

use super::Keyspace;
use super::server::{Server, Unreached};
use crate::VaultError;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio_postgres::{Client, Statement};

/// How long to wait for a connection, and for the answer to one statement.
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(5);
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The oldest server that is tested.
const VERSION_MIN: i32 = 150_000;

/// The tables' form, in `origin`.
pub(super) const FORMAT: i32 = 1;

/// What went wrong on the way to the server or in it.
pub(super) enum Trouble {
    /// Nobody answered, or the line was cut: what was asked may or may not have been done.
    Gone(Box<dyn std::error::Error + Send + Sync>),
    /// The server said no: it was not done.
    Refused(tokio_postgres::Error),
    /// It is not what we need.
    Unfit(VaultError),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        // A server that shuts down, or ends our session, says so before it cuts the line.
        let ends = [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        match error.code() {
            Some(code) if !ends.contains(code) => Self::Refused(error),
            _ => Self::Gone(Box::new(error)),
        }
    }
}

impl From<Unreached> for Trouble {
    fn from(Unreached(error): Unreached) -> Self {
        let error = match error.downcast::<tokio_postgres::Error>() {
            Ok(error) => return Self::from(*error),
            Err(error) => error,
        };
        Self::Gone(error)
    }
}

impl From<VaultError> for Trouble {
    fn from(error: VaultError) -> Self {
        Self::Unfit(error)
    }
}

impl From<tokio::time::error::Elapsed> for Trouble {
    fn from(error: tokio::time::error::Elapsed) -> Self {
        Self::Gone(Box::new(error))
    }
}

impl From<Trouble> for VaultError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Gone(source) => Self::Away { source },
            Trouble::Refused(error) => {
                use tokio_postgres::error::SqlState;
                match error.code() {
                    Some(code) if *code == SqlState::DISK_FULL => Self::DiskFull,
                    // Another node held its turn for too long, or the server chose us to give way.
                    Some(code)
                        if [
                            SqlState::LOCK_NOT_AVAILABLE,
                            SqlState::T_R_DEADLOCK_DETECTED,
                            SqlState::T_R_SERIALIZATION_FAILURE,
                            SqlState::QUERY_CANCELED,
                        ]
                        .contains(code) =>
                    {
                        Self::Away { source: Box::new(Coded::of(&error)) }
                    }
                    _ => Self::Engine { engine: "postgres", source: Box::new(Coded::of(&error)) },
                }
            }
            Trouble::Unfit(error) => error,
        }
    }
}

/// What the server said, without the values it said it about.
#[derive(Debug, thiserror::Error)]
#[error("the server says {code}: {message}")]
struct Coded {
    code: String,
    message: String,
}

impl Coded {
    fn of(error: &tokio_postgres::Error) -> Self {
        let said = error.as_db_error();
        Self {
            code: said.map_or_else(String::new, |said| said.code().code().to_owned()),
            message: said.map_or_else(String::new, |said| said.message().to_owned()),
        }
    }
}

/// One connection and what it has prepared.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: Mutex<HashMap<String, Statement>>,
}

/// What a session is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Turns at writing: ended by the server when the node falls asleep with the head in its hand.
    Writing,
    /// Readings that stand still for as long as somebody looks.
    Reading,
    /// Short transactions that wait for nobody for long.
    Urgent,
}

impl Connection {
    /// Connects and begins a session.
    pub(super) async fn open(server: &Server, purpose: For) -> Result<Self, Trouble> {
        let (client, connection) = tokio::time::timeout(CONNECT_WITHIN, server.connect()).await??;
        // It ends with the client, and says why through it.
        tokio::runtime::Handle::current().spawn(async move {
            let _ = connection.await;
        });
        let (lock, idle) = match purpose {
            For::Writing => ("20s", "60s"),
            For::Reading => ("5s", "0"),
            For::Urgent => ("4s", "10s"),
        };
        let begin = format!(
            "set search_path = {}; set lock_timeout = '{lock}'; set idle_in_transaction_session_timeout = '{idle}'; \
             set statement_timeout = '50s'; set bytea_output = hex; set client_min_messages = warning",
            server.schema
        );
        let connection = Self { client, statements: Mutex::default() };
        tokio::time::timeout(ANSWER_WITHIN, connection.client.batch_execute(&begin)).await??;
        Ok(connection)
    }

    /// A statement, prepared once.
    pub(super) async fn statement(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), made.clone());
        Ok(made)
    }
}

/// What a server is, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitness {
    /// Its version, as PostgreSQL counts (150020 is 15.20).
    pub version: i32,
    /// Whether our role may do anything at all in the whole server.
    pub is_superuser: bool,
    /// Whether it could become one, or read what is not its own.
    pub may_more: bool,
}

/// Refuses a server that may lose what it acknowledged.
pub(super) async fn check(connection: &Connection) -> Result<Fitness, Trouble> {
    let sql = "select current_setting('server_version_num')::int, current_setting('fsync'), \
               current_setting('full_page_writes'), current_setting('synchronous_commit'), pg_is_in_recovery(), \
               rolsuper, rolcreaterole or rolreplication or rolbypassrls \
               from pg_roles where rolname = current_user";
    let row = tokio::time::timeout(ANSWER_WITHIN, connection.client.query_one(sql, &[])).await??;
    let version: i32 = row.try_get(0)?;
    let unfit = |what: String| Err(Trouble::Unfit(VaultError::Store { what }));
    if version < VERSION_MIN {
        return unfit(format!("the server is PostgreSQL {}; 15 or newer is needed", version / 10_000));
    }
    for (at, setting) in [(1, "fsync"), (2, "full_page_writes"), (3, "synchronous_commit")] {
        let value: String = row.try_get(at)?;
        if value == "off" {
            return unfit(format!(
                "the server has {setting} = off: it would acknowledge what a power cut can take back; set it to on"
            ));
        }
    }
    if row.try_get(4)? {
        return unfit("the server is a standby, which takes no writes: name the primary".to_owned());
    }
    Ok(Fitness { version, is_superuser: row.try_get(5)?, may_more: row.try_get(6)? })
}

/// Makes the schema and its tables when they are not there. `bucket`, the first byte of a key, leads every primary key: it is
/// the column to distribute by, and the order of (bucket, key) is the order of keys.
pub(super) async fn make_schema(connection: &Connection, server: &Server) -> Result<(), Trouble> {
    // The last table that is made stands for all: changing a table waits for whoever reads it, so nothing is changed here.
    let sql = "select to_regclass('narrowing') is not null, to_regnamespace($1) is not null";
    let found = tokio::time::timeout(ANSWER_WITHIN, connection.client.query_one(sql, &[&server.schema])).await??;
    if found.try_get(0)? {
        return Ok(());
    }
    // A role that owns its schema need not be allowed to make others.
    let mut sql = match found.try_get(1)? {
        true => String::new(),
        false => format!("create schema if not exists {};", server.schema),
    };
    for keyspace in Keyspace::ALL {
        let name = keyspace.name();
        // Ciphertext cannot be compressed. Room in a page lets a row that is written anew stay in it.
        let room = if matches!(keyspace, Keyspace::Profiles | Keyspace::Keys) { 60 } else { 90 };
        sql.push_str(&format!(
            "create table if not exists {name} (bucket smallint not null, key bytea not null, value bytea not null, \
             primary key (bucket, key)) with (fillfactor = {room}); \
             alter table {name} alter column value set storage external;"
        ));
    }
    sql.push_str(
        "create table if not exists origin (bucket smallint primary key, house bytea not null, format integer not null); \
         create table if not exists head (bucket smallint primary key, number bigint not null); \
         insert into head values (0, 0) on conflict do nothing; \
         create table if not exists batch (bucket smallint not null, number bigint not null, node bytea not null, \
         people bytea not null, rows bytea[] not null, primary key (bucket, number)); \
         create table if not exists urgent (bucket smallint not null, number bigint not null generated always as identity, \
         person bytea not null, sealed bytea not null, primary key (bucket, number)); \
         create table if not exists tombstone (bucket smallint not null, number bigint not null, token bytea not null, \
         entry bytea not null, primary key (bucket, number)); \
         create index if not exists tombstone_token on tombstone (token); \
         create table if not exists leaving (bucket smallint not null, person bytea not null, primary key (bucket, person)); \
         create table if not exists narrowing (bucket smallint not null, number bigint not null, entry bytea not null, \
         primary key (bucket, number));",
    );
    // Two nodes that begin at once: one makes it, the other waits and finds it.
    let sql = format!("begin; select pg_advisory_xact_lock(hashtext('fineline {0}')); {sql} commit", server.schema);
    tokio::time::timeout(ANSWER_WITHIN, connection.client.batch_execute(&sql)).await??;
    Ok(())
}
