//! Responsible for reading: a bounded pool of sessions, each of which holds one transaction that sees one moment, for as long
//! as somebody looks. Scans are paged: no answer is larger than a page.
//!
//! Deliberately not: waiting for the newest state. A snapshot knows which batch it sees ([`EngineSnapshot::position`]).

use super::Pool;
use super::session::{ANSWER_WITHIN, Connection, For, Trouble};
use crate::VaultError;
use crate::engine::reading::Reading;
use crate::engine::{EngineSnapshot, Keyspace, Row, Rows, bounds, bounds_after};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OwnedSemaphorePermit;

/// Rows of one page of a scan.
const PAGE_ROWS: i64 = 256;

/// Bytes that one reading keeps of what was fetched ahead; above, it begins anew.
const AHEAD_BYTES_MAX: usize = 64 << 20;

/// How many bytes of a key name a person.
const PERSON_BYTES: usize = 16;

/// First byte of a key: what a table is distributed by.
pub(super) fn bucket(key: &[u8]) -> i16 {
    key.first().copied().map_or(0, i16::from)
}

/// A reading at one moment.
pub(super) struct PgSnapshot {
    pool: Arc<Pool>,
    /// `None` once it is given back.
    connection: Option<Arc<Connection>>,
    number: u64,
    /// What was fetched ahead: a reading stands still, so it stays right.
    ahead: Mutex<Ahead>,
    _reading: Reading,
    _permit: OwnedSemaphorePermit,
}

impl PgSnapshot {
    pub(super) fn open(pool: &Arc<Pool>, reading: Reading) -> Result<Self, VaultError> {
        let here = Arc::clone(pool);
        let (connection, number, permit) = pool.wait(async move {
            let waited = tokio::time::timeout(super::READER_WITHIN, Arc::clone(&here.readers).acquire_owned()).await;
            let permit = waited?.map_err(|_| Trouble::Unfit(VaultError::Closed))?;
            let idle = here.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            if let Some(idle) = idle.filter(|idle| !idle.client.is_closed())
                && let Ok(number) = begin(&idle).await
            {
                return Ok::<_, Trouble>((idle, number, permit));
            }
            let connection = Arc::new(Connection::open(here.server, For::Reading).await?);
            let number = begin(&connection).await?;
            Ok((connection, number, permit))
        })??;
        Ok(Self {
            pool: Arc::clone(pool),
            connection: Some(connection),
            number,
            ahead: Mutex::default(),
            _reading: reading,
            _permit: permit,
        })
    }

    /// Asks something of this moment.
    pub(super) fn ask<T: Send + 'static, F: Future<Output = Result<T, Trouble>> + Send + 'static>(
        &self,
        question: impl FnOnce(Arc<Connection>) -> F,
    ) -> Result<T, VaultError> {
        let connection = self.connection.clone().ok_or(VaultError::Closed)?;
        let asked = question(connection);
        Ok(self.pool.wait(async move { tokio::time::timeout(ANSWER_WITHIN, asked).await? })??)
    }

    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&self, rows: Vec<(Keyspace, Vec<u8>)>, below: Vec<(Keyspace, Vec<u8>)>) -> Result<(), VaultError> {
        let asked = rows.clone();
        // The last of all has no end that could be named: it is not fetched ahead.
        let whole: Vec<_> = below.iter().filter(|(_, prefix)| has_end(prefix)).cloned().collect();
        let found = self.ask(move |connection| async move {
            let mut found = Vec::new();
            for keyspace in Keyspace::ALL {
                let keys: Vec<Vec<u8>> = of(keyspace, &rows).collect();
                if !keys.is_empty() {
                    let sql = format!(
                        "select t.key, t.value from unnest($1::smallint[], $2::bytea[]) as w (bucket, key) \
                         join {} t on t.bucket = w.bucket and t.key = w.key",
                        keyspace.name()
                    );
                    let buckets: Vec<i16> = keys.iter().map(|key| bucket(key)).collect();
                    let statement = connection.statement(&sql).await?;
                    for row in connection.client.query(&statement, &[&buckets, &keys]).await? {
                        found.push((keyspace, row.try_get(0)?, row.try_get(1)?));
                    }
                }
                let mut spans: (Vec<i16>, Vec<Vec<u8>>, Vec<Vec<u8>>) = Default::default();
                for prefix in of(keyspace, &below) {
                    if let (Bound::Included(from), Bound::Excluded(to)) = bounds(&prefix) {
                        spans.0.push(bucket(&from));
                        spans.1.push(from);
                        spans.2.push(to);
                    }
                }
                if !spans.0.is_empty() {
                    let sql = format!(
                        "select t.key, t.value from unnest($1::smallint[], $2::bytea[], $3::bytea[]) as w (bucket, low, high) \
                         join {} t on t.bucket = w.bucket and t.key >= w.low and t.key < w.high",
                        keyspace.name()
                    );
                    let statement = connection.statement(&sql).await?;
                    for row in connection.client.query(&statement, &[&spans.0, &spans.1, &spans.2]).await? {
                        found.push((keyspace, row.try_get(0)?, row.try_get(1)?));
                    }
                }
            }
            Ok::<Vec<(Keyspace, Vec<u8>, Vec<u8>)>, Trouble>(found)
        })?;
        let mut ahead = self.ahead();
        let n_bytes: usize = found.iter().map(|(_, key, value)| key.len() + value.len()).sum();
        if ahead.n_bytes.saturating_add(n_bytes) > AHEAD_BYTES_MAX {
            *ahead = Ahead::default();
        }
        ahead.n_bytes = ahead.n_bytes.saturating_add(n_bytes);
        ahead.rows.extend(asked.into_iter().map(|row| (row, None)));
        ahead.whole.extend(whole);
        ahead.rows.extend(found.into_iter().map(|(keyspace, key, value)| ((keyspace, key), Some(value))));
        Ok(())
    }

    fn page(&self, keyspace: Keyspace, span: &Span, order: Order) -> Result<VecDeque<Row>, VaultError> {
        let (from, to) = (span.0.clone(), span.1.clone());
        self.ask(move |connection| async move {
            let sql = page_sql(keyspace, &from, &to, order);
            let statement = connection.statement(&sql).await?;
            let (from, to) = (edge(&from), edge(&to));
            let mut values: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = Vec::new();
            for (bucket, key) in [&from, &to].into_iter().flatten() {
                values.push(bucket);
                values.push(key);
            }
            let rows = connection.client.query(&statement, &values).await?;
            let row = |row: &tokio_postgres::Row| Ok::<Row, Trouble>((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(row).collect()
        })
    }

    fn rows(&self, keyspace: Keyspace, mut span: Span, order: Order) -> Rows<'_> {
        let (mut rows, mut is_over) = (VecDeque::new(), false);
        Box::new(std::iter::from_fn(move || {
            if rows.is_empty() && !is_over {
                match self.page(keyspace, &span, order) {
                    Ok(page) => rows = page,
                    Err(error) => {
                        is_over = true;
                        return Some(Err(error));
                    }
                }
                is_over = (rows.len() as i64) < PAGE_ROWS;
                if let Some((last, _)) = rows.back() {
                    match order {
                        Order::Forward => span.0 = Bound::Excluded(last.clone()),
                        Order::Back => span.1 = Bound::Excluded(last.clone()),
                    }
                }
            }
            rows.pop_front().map(Ok)
        }))
    }
}

/// Rows that were fetched before they were asked for.
#[derive(Default)]
struct Ahead {
    /// `None` = it is not there.
    rows: HashMap<(Keyspace, Vec<u8>), Option<Vec<u8>>>,
    /// Beginnings of keys under which everything that there is was fetched: 16 bytes, a person.
    whole: HashSet<(Keyspace, Vec<u8>)>,
    n_bytes: usize,
}

impl Ahead {
    /// What is known of a row; `None` = it has to be asked for.
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Option<Option<Vec<u8>>> {
        if self.rows.is_empty() && self.whole.is_empty() {
            return None;
        }
        let place = (keyspace, key.to_vec());
        if let Some(known) = self.rows.get(&place) {
            return Some(known.clone());
        }
        let begins = key.get(..PERSON_BYTES)?.to_vec();
        self.whole.contains(&(keyspace, begins)).then_some(None)
    }
}

fn has_end(prefix: &[u8]) -> bool {
    matches!(bounds(prefix), (_, Bound::Excluded(_)))
}

fn of(keyspace: Keyspace, rows: &[(Keyspace, Vec<u8>)]) -> impl Iterator<Item = Vec<u8>> + '_ {
    rows.iter().filter(move |(each, _)| *each == keyspace).map(|(_, key)| key.clone())
}

type Span = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Forward,
    Back,
}

/// Which statement reads a page: one for each kind of bounds.
fn page_sql(keyspace: Keyspace, from: &Bound<Vec<u8>>, to: &Bound<Vec<u8>>, order: Order) -> String {
    let (mut parts, mut at) = (Vec::new(), 1);
    for (bound, exclusive, inclusive) in [(from, ">", ">="), (to, "<", "<=")] {
        let sign = match bound {
            Bound::Unbounded => continue,
            Bound::Included(_) => inclusive,
            Bound::Excluded(_) => exclusive,
        };
        parts.push(format!("(bucket, key) {sign} (${at}::smallint, ${}::bytea)", at + 1));
        at += 2;
    }
    let within = if parts.is_empty() { String::new() } else { format!("where {} ", parts.join(" and ")) };
    let down = if order == Order::Back { " desc" } else { "" };
    let name = keyspace.name();
    format!("select key, value from {name} {within}order by bucket{down}, key{down} limit {PAGE_ROWS}")
}

fn edge(bound: &Bound<Vec<u8>>) -> Option<(i16, &[u8])> {
    match bound {
        Bound::Unbounded => None,
        Bound::Included(key) | Bound::Excluded(key) => Some((bucket(key), key.as_slice())),
    }
}

/// Begins a reading; the number of the newest batch it sees.
async fn begin(connection: &Connection) -> Result<u64, Trouble> {
    let begun = async {
        connection.client.batch_execute("begin isolation level repeatable read read only").await?;
        let head = connection.statement("select number from head where bucket = 0").await?;
        let number: i64 = connection.client.query_one(&head, &[]).await?.try_get(0)?;
        Ok::<_, Trouble>(u64::try_from(number).unwrap_or(0))
    };
    tokio::time::timeout(ANSWER_WITHIN, begun).await?
}

impl Drop for PgSnapshot {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let pool = Arc::clone(&self.pool);
        self.pool.go(async move {
            let ended = tokio::time::timeout(ANSWER_WITHIN, connection.client.batch_execute("rollback")).await;
            if matches!(ended, Ok(Ok(()))) {
                pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
        });
    }
}

impl EngineSnapshot for PgSnapshot {
    fn get(&self, keyspace: Keyspace, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let key = key.to_vec();
        if let Some(known) = self.ahead().get(keyspace, &key) {
            return Ok(known);
        }
        self.ask(move |connection| async move {
            let sql = format!("select value from {} where bucket = $1 and key = $2", keyspace.name());
            let statement = connection.statement(&sql).await?;
            let row = connection.client.query_opt(&statement, &[&bucket(&key), &key]).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
    }

    fn scan(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds(prefix), Order::Forward)
    }

    fn scan_after(&self, keyspace: Keyspace, prefix: &[u8], after: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds_after(prefix, after), Order::Forward)
    }

    fn scan_back(&self, keyspace: Keyspace, prefix: &[u8]) -> Rows<'_> {
        self.rows(keyspace, bounds(prefix), Order::Back)
    }

    fn warm(&self, rows: Vec<(Keyspace, Vec<u8>)>, below: Vec<(Keyspace, Vec<u8>)>) {
        if let Err(error) = self.fetch(rows, below) {
            tracing::debug!(error = &error as &dyn std::error::Error, "nothing was fetched ahead");
        }
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn is_readable(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.client.is_closed())
    }
}

/// A snapshot that could not be opened: every reading says so, none pretends to be empty.
pub(super) struct Unopened;

fn unopened() -> VaultError {
    VaultError::Away { source: "no reading could be opened".into() }
}

impl EngineSnapshot for Unopened {
    fn get(&self, _: Keyspace, _: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        Err(unopened())
    }

    fn scan(&self, _: Keyspace, _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(unopened())))
    }

    fn scan_after(&self, _: Keyspace, _: &[u8], _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(unopened())))
    }

    fn scan_back(&self, _: Keyspace, _: &[u8]) -> Rows<'_> {
        Box::new(std::iter::once(Err(unopened())))
    }

    fn is_readable(&self) -> bool {
        false
    }
}
