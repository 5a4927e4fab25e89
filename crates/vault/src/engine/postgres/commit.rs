//! Responsible for turns at writing: the head in hand, one transaction, and the answer to whether it was committed when the
//! line was cut between COMMIT and its answer.
//!
//! Deliberately not: judging. Whoever has the turn does that between [`Postgres::begin`] and the commit.

use super::Postgres;
use super::session::{ANSWER_WITHIN, Connection, For, Trouble};
use super::snapshot::bucket;
use crate::VaultError;
use crate::engine::{Keyspace, Op};
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

/// Tries to connect anew before a batch is given up, and the rest between: some fifteen seconds for a server that restarts.
const TRIES: u32 = 60;
const REST: Duration = Duration::from_millis(250);

/// Batches of which `batch` says what they changed; a node that slept for longer opens the house anew.
pub(super) const BATCHES_KEPT: i64 = 20_000;

/// The writing session.
#[derive(Default)]
pub(super) struct Writer {
    connection: Option<Arc<Connection>>,
    /// The number that was read with the head in hand; `None` = it is not this node's turn.
    turn: Option<i64>,
    pub(super) staged: Staged,
}

/// What goes into the next transaction beside the rows.
#[derive(Default, Clone)]
pub(super) struct Staged {
    /// Wishes that the batch holds.
    pub drained: Vec<i64>,
    /// What people took back in it: number and bytes.
    pub narrowings: Vec<(i64, Vec<u8>)>,
    /// Whose rows it takes away.
    pub left: Vec<[u8; 16]>,
}

/// Rows of one table, as three columns.
struct Rows {
    keyspace: Keyspace,
    buckets: Vec<i16>,
    keys: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
}

impl Rows {
    fn of(keyspace: Keyspace) -> Self {
        Self { keyspace, buckets: Vec::new(), keys: Vec::new(), values: Vec::new() }
    }
}

/// The rows of one transaction.
struct Written {
    puts: Vec<Rows>,
    /// Without values.
    deletes: Vec<Rows>,
    people: Vec<u8>,
    rows: Vec<Vec<u8>>,
    staged: Staged,
    node: [u8; 16],
}

impl Written {
    fn new(ops: Vec<Op>, staged: Staged, node: [u8; 16]) -> Self {
        let mut last: BTreeMap<Keyspace, BTreeMap<Vec<u8>, Option<Vec<u8>>>> = BTreeMap::new();
        for op in ops {
            let (keyspace, key, value) = match op {
                Op::Put(keyspace, key, value) => (keyspace, key, Some(value)),
                Op::Delete(keyspace, key) => (keyspace, key, None),
            };
            last.entry(keyspace).or_default().insert(key, value);
        }
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        let (mut people, mut rows) = (BTreeSet::new(), Vec::new());
        for (keyspace, changed) in last {
            let (mut put, mut delete) = (Rows::of(keyspace), Rows::of(keyspace));
            for (key, value) in changed {
                match keyspace {
                    Keyspace::Keys | Keyspace::Profiles if key.len() >= 16 => {
                        people.extend(key.first_chunk::<16>().copied());
                    }
                    // Rows of log and chain say themselves what they are.
                    Keyspace::Keys => rows.push(key.clone()),
                    Keyspace::House if key.first() != Some(&0) => rows.push(key.clone()),
                    _ => {}
                }
                match value {
                    Some(value) => {
                        put.buckets.push(bucket(&key));
                        put.keys.push(key);
                        put.values.push(value);
                    }
                    None => {
                        delete.buckets.push(bucket(&key));
                        delete.keys.push(key);
                    }
                }
            }
            if !put.keys.is_empty() {
                puts.push(put);
            }
            if !delete.keys.is_empty() {
                deletes.push(delete);
            }
        }
        Self { puts, deletes, people: people.into_iter().flatten().collect(), rows, staged, node }
    }
}

impl Postgres {
    /// Takes the turn: nobody else writes until the commit, or until it is given back. The number of the newest batch.
    pub(crate) fn begin(&self) -> Result<u64, VaultError> {
        let mut writer = self.writer();
        if let Some(turn) = writer.turn {
            return Ok(u64::try_from(turn).unwrap_or(0));
        }
        writer.staged = Staged::default();
        let known = writer.connection.take();
        let server = self.pool.server;
        let (connection, number) = self.pool.wait(async move {
            // A session that broke while nobody used it says so now; one new one is tried before the askers are told.
            if let Some(known) = known.filter(|known| !known.client.is_closed()) {
                match lock_head(&known).await {
                    Ok(number) => return Ok((known, number)),
                    Err(Trouble::Gone(_)) => {}
                    Err(trouble) => {
                        let _ = known.client.batch_execute("rollback").await;
                        return Err(trouble);
                    }
                }
            }
            let connection = Arc::new(Connection::open(server, For::Writing).await?);
            super::session::check(&connection).await?;
            let number = lock_head(&connection).await?;
            Ok::<_, Trouble>((connection, number))
        })??;
        writer.connection = Some(connection);
        writer.turn = Some(number);
        Ok(u64::try_from(number).unwrap_or(0))
    }

    /// Gives the turn back: nothing was written.
    pub(crate) fn give_back(&self) {
        let mut writer = self.writer();
        writer.staged = Staged::default();
        if writer.turn.take().is_none() {
            return;
        }
        let Some(connection) = writer.connection.clone() else { return };
        let ended = self.pool.wait(async move {
            matches!(tokio::time::timeout(ANSWER_WITHIN, connection.client.batch_execute("rollback")).await, Ok(Ok(())))
        });
        if !matches!(ended, Ok(true)) {
            writer.connection = None;
        }
    }

    /// Wishes that the batch of this turn holds: they leave the table with it.
    pub(crate) fn stage_drained(&self, numbers: &[u64]) {
        self.writer().staged.drained.extend(numbers.iter().filter_map(|number| i64::try_from(*number).ok()));
    }

    /// What people took back in the batch of this turn.
    pub(crate) fn stage_narrowings(&self, entries: impl IntoIterator<Item = (u64, Vec<u8>)>) {
        let numbered = entries.into_iter().filter_map(|(number, entry)| Some((i64::try_from(number).ok()?, entry)));
        self.writer().staged.narrowings.extend(numbered);
    }

    /// Whose rows the batch of this turn takes away.
    pub(crate) fn stage_left(&self, people: impl IntoIterator<Item = [u8; 16]>) {
        self.writer().staged.left.extend(people);
    }

    /// Writes the batch of this turn, or of a turn taken for it.
    pub(super) fn write(&self, ops: Vec<Op>) -> Result<(), VaultError> {
        self.begin()?;
        let mut writer = self.writer();
        let (Some(connection), Some(number)) = (writer.connection.take(), writer.turn.take()) else {
            return Err(VaultError::Away { source: "the turn was lost".into() });
        };
        let written = Arc::new(Written::new(ops, std::mem::take(&mut writer.staged), self.node));
        let (server, here) = (self.pool.server, Arc::clone(&written));
        let ended = self.pool.wait(async move {
            let mut last = match write(&connection, number, &here).await {
                Ok(()) => return Ok(connection),
                Err(Trouble::Gone(error)) => Trouble::Gone(error),
                Err(trouble) => {
                    let _ = connection.client.batch_execute("rollback").await;
                    return Err(trouble);
                }
            };
            drop(connection);
            // Nobody knows whether it was committed. Who holds the head knows: the session that was cut has ended by then.
            for _ in 0..TRIES {
                tokio::time::sleep(REST).await;
                let connected = match Connection::open(server, For::Writing).await {
                    Ok(connected) => Arc::new(connected),
                    Err(Trouble::Gone(error)) => {
                        last = Trouble::Gone(error);
                        continue;
                    }
                    Err(trouble) => return Err(trouble),
                };
                match resolve(&connected, number, &here).await {
                    Ok(Resolved::Committed) => return Ok(connected),
                    Ok(Resolved::Overtaken) => return Err(last),
                    Err(Trouble::Gone(error)) => last = Trouble::Gone(error),
                    // The session that was cut has not ended yet, and holds the head.
                    Err(Trouble::Refused(error)) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                        last = Trouble::Refused(error);
                    }
                    Err(trouble) => return Err(trouble),
                }
            }
            Err(last)
        })??;
        writer.connection = Some(ended);
        Ok(())
    }
}

enum Resolved {
    Committed,
    /// It was not committed, and somebody else has written since: it has to be judged anew.
    Overtaken,
}

async fn lock_head(connection: &Connection) -> Result<i64, Trouble> {
    let locked = async {
        connection.client.batch_execute("begin isolation level read committed").await?;
        let head = connection.statement("select number from head where bucket = 0 for update").await?;
        Ok::<_, Trouble>(connection.client.query_one(&head, &[]).await?.try_get(0)?)
    };
    tokio::time::timeout(ANSWER_WITHIN, locked).await?
}

/// With the head in hand: was the batch after `number` ours? When there is none, it is written now.
async fn resolve(connection: &Connection, number: i64, written: &Written) -> Result<Resolved, Trouble> {
    let now = lock_head(connection).await?;
    let whose = connection.statement("select node from batch where bucket = 0 and number = $1").await?;
    let row = connection.client.query_opt(&whose, &[&(number + 1)]).await?;
    let whose: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?;
    if whose.as_deref() == Some(written.node.as_slice()) {
        connection.client.batch_execute("rollback").await?;
        return Ok(Resolved::Committed);
    }
    if now != number {
        connection.client.batch_execute("rollback").await?;
        return Ok(Resolved::Overtaken);
    }
    write(connection, number, written).await.map(|()| Resolved::Committed)
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'a>>;

/// Sends all of it at once, COMMIT at the end. PostgreSQL takes nothing of a transaction in which one statement failed.
async fn write(connection: &Connection, number: i64, written: &Written) -> Result<(), Trouble> {
    let mut prepared = Vec::new();
    for rows in &written.puts {
        prepared.push(connection.statement(&put_sql(rows.keyspace)).await?);
    }
    for rows in &written.deletes {
        prepared.push(connection.statement(&delete_sql(rows.keyspace)).await?);
    }
    let fixed = [
        "delete from urgent where number = any($1)",
        "insert into narrowing (bucket, number, entry) select 0, * from unnest($1::bigint[], $2::bytea[])",
        "delete from leaving where person = any($1)",
        "insert into batch (bucket, number, node, people, rows) values (0, $1, $2, $3, $4)",
        "update head set number = $1 where bucket = 0",
        "delete from batch where bucket = 0 and number <= $1",
    ];
    let mut others = Vec::new();
    for sql in fixed {
        others.push(connection.statement(sql).await?);
    }
    let commit = connection.statement("commit").await?;
    let next = number + 1;
    let gone = next - BATCHES_KEPT;
    let staged = &written.staged;
    let narrowings: (Vec<i64>, Vec<Vec<u8>>) = staged.narrowings.iter().cloned().unzip();
    let left: Vec<Vec<u8>> = staged.left.iter().map(|person| person.to_vec()).collect();
    let node = written.node.as_slice();
    let mut values: Vec<Vec<&(dyn ToSql + Sync)>> = Vec::new();
    for rows in &written.puts {
        values.push(vec![&rows.buckets, &rows.keys, &rows.values]);
    }
    for rows in &written.deletes {
        values.push(vec![&rows.buckets, &rows.keys]);
    }
    let others_values: [Vec<&(dyn ToSql + Sync)>; 6] = [
        vec![&staged.drained],
        vec![&narrowings.0, &narrowings.1],
        vec![&left],
        vec![&next, &node, &written.people, &written.rows],
        vec![&next],
        vec![&gone],
    ];
    let is_needed = [!staged.drained.is_empty(), !staged.narrowings.is_empty(), !left.is_empty(), true, true, true];
    let client = &connection.client;
    let mut answers: Vec<Answer<'_>> = Vec::new();
    for (statement, values) in prepared.iter().zip(&values) {
        answers.push(Box::pin(client.execute(statement, values)));
    }
    for ((statement, values), is_needed) in others.iter().zip(&others_values).zip(is_needed) {
        if is_needed {
            answers.push(Box::pin(client.execute(statement, values)));
        }
    }
    answers.push(Box::pin(client.execute(&commit, &[])));
    let ended = tokio::time::timeout(ANSWER_WITHIN, all(answers)).await?;
    // The first that failed says why; those after it only say that the transaction had failed.
    ended.into_iter().collect::<Result<Vec<u64>, _>>()?;
    Ok(())
}

/// Sends in order, and waits for all.
async fn all(mut answers: Vec<Answer<'_>>) -> Vec<Result<u64, tokio_postgres::Error>> {
    let mut ended: Vec<Option<Result<u64, tokio_postgres::Error>>> = answers.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_pending = false;
        for (answer, ended) in answers.iter_mut().zip(&mut ended) {
            if ended.is_none() {
                match answer.as_mut().poll(context) {
                    Poll::Ready(result) => *ended = Some(result),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    ended.into_iter().flatten().collect()
}

fn put_sql(keyspace: Keyspace) -> String {
    format!(
        "insert into {} (bucket, key, value) select * from unnest($1::smallint[], $2::bytea[], $3::bytea[]) \
         on conflict (bucket, key) do update set value = excluded.value",
        keyspace.name()
    )
}

fn delete_sql(keyspace: Keyspace) -> String {
    format!(
        "delete from {0} using unnest($1::smallint[], $2::bytea[]) as gone (bucket, key) \
         where {0}.bucket = gone.bucket and {0}.key = gone.key",
        keyspace.name()
    )
}
