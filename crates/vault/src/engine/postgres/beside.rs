//! Responsible for what no node may hold alone: wishes on their way, tombstones, who is leaving, what people took back, and
//! what the others wrote meanwhile. Urgent ones are small transactions on a reserved session, acknowledged after COMMIT.
//!
//! Deliberately not: what an entry says. They come sealed, or in a chain of macs, and are verified by who reads them.

use super::Postgres;
use super::session::{Connection, FORMAT, For, Trouble};
use super::snapshot::{PgSnapshot, bucket};
use crate::VaultError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long an urgent command may take before its asker is told to come back.
const URGENT_WITHIN: Duration = Duration::from_secs(5);

/// Wishes that may wait at the same time, as in the file of the embedded engines.
const URGENT_MAX: i64 = 100_000;

/// What the others wrote since a batch.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Whose rows changed, and in which batch last.
    pub people: BTreeMap<[u8; 16], u64>,
    /// Which rows of the house and of day secrets.
    pub rows: BTreeSet<Vec<u8>>,
}

/// What stands beside the rows, as of now.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// The newest batch.
    pub number: u64,
    /// Wishes that are in no batch: number, person, sealed.
    pub urgent: Vec<(u64, [u8; 16], Vec<u8>)>,
    /// Tombstones after those that are known, with their numbers.
    pub tombstones: Vec<(u64, Vec<u8>)>,
    /// Whose rows still have to go.
    pub leaving: Vec<[u8; 16]>,
}

impl Postgres {
    /// Something short on the reserved session; a session that broke is replaced once.
    fn urgently<T: Send + 'static, F: Future<Output = Result<T, Trouble>> + Send + 'static>(
        &self,
        act: impl Fn(Arc<Connection>) -> F + Send + Sync + 'static,
    ) -> Result<T, VaultError> {
        let mut urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, server) = (urgent.take(), self.pool.server);
        let (connection, done) = self.pool.wait(async move {
            let acted = async {
                if let Some(known) = known.filter(|known| !known.client.is_closed()) {
                    match act(Arc::clone(&known)).await {
                        // It may have been done: each of these can be done twice.
                        Err(Trouble::Gone(_)) => {}
                        done => return Ok::<_, Trouble>((Some(known), done)),
                    }
                }
                let connection = Arc::new(Connection::open(server, For::Urgent).await?);
                let done = act(Arc::clone(&connection)).await;
                Ok((Some(connection), done))
            };
            match tokio::time::timeout(URGENT_WITHIN, acted).await {
                Ok(Ok(done)) => done,
                Ok(Err(trouble)) => (None, Err(trouble)),
                Err(elapsed) => (None, Err(elapsed.into())),
            }
        })?;
        let is_whole = !matches!(done, Err(Trouble::Gone(_)));
        *urgent = connection.filter(|_| is_whole);
        if matches!(done, Err(Trouble::Refused(_) | Trouble::Unfit(_)))
            && let Some(connection) = urgent.clone()
        {
            self.pool.go(async move {
                let _ = connection.client.batch_execute("rollback").await;
            });
        }
        Ok(done?)
    }

    /// Fills the empty tables of a house that is made, or restored.
    pub(crate) fn move_in(
        &self,
        tombstones: Vec<(u64, [u8; 32], Vec<u8>)>,
        narrowings: Vec<(u64, Vec<u8>)>,
    ) -> Result<(), VaultError> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.urgently(move |connection| {
            let mut buried: (Vec<i64>, Vec<Vec<u8>>, Vec<Vec<u8>>) = Default::default();
            for (at, token, entry) in &tombstones {
                buried.0.push(number(*at));
                buried.1.push(token.to_vec());
                buried.2.push(entry.clone());
            }
            let taken: (Vec<i64>, Vec<Vec<u8>>) =
                narrowings.iter().map(|(at, entry)| (number(*at), entry.clone())).unzip();
            async move {
                let sql = "with buried as (insert into tombstone (bucket, number, token, entry) \
                           select 0, * from unnest($1::bigint[], $2::bytea[], $3::bytea[]) on conflict do nothing) \
                           insert into narrowing (bucket, number, entry) \
                           select 0, * from unnest($4::bigint[], $5::bytea[]) on conflict do nothing";
                let statement = connection.statement(sql).await?;
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                    [&buried.0, &buried.1, &buried.2, &taken.0, &taken.1];
                connection.client.execute(&statement, &values).await?;
                Ok(())
            }
        })
    }

    /// Takes the schema for a house; refuses one that has another.
    pub(crate) fn settle_in(&self, house: [u8; 16]) -> Result<(), VaultError> {
        let found = self.urgently(move |connection| async move {
            let insert = "insert into origin (bucket, house, format) values (0, $1, $2) on conflict do nothing";
            connection.client.execute(insert, &[&house.as_slice(), &FORMAT]).await?;
            origin(&connection).await
        })?;
        self.belongs(found, house)
    }

    /// Refuses a schema without a house, and one of another house.
    pub(crate) fn check_house(&self, house: [u8; 16]) -> Result<(), VaultError> {
        let found = self.urgently(|connection| async move { origin(&connection).await })?;
        self.belongs(found, house)
    }

    fn belongs(&self, found: Option<(Vec<u8>, i32)>, house: [u8; 16]) -> Result<(), VaultError> {
        let what = match found {
            Some((found, FORMAT)) if found == house => return Ok(()),
            Some((found, format)) if found == house => {
                format!("its tables have format {format}, this program reads format {FORMAT}")
            }
            Some(_) => {
                "it holds the rows of another house: name another schema, or bring that house's data folder".into()
            }
            None => "it holds no house: `fineline init` makes one, `fineline restore` brings one back".into(),
        };
        Err(VaultError::Store { what })
    }

    /// Whether a house lives in the schema.
    pub(crate) fn is_taken(&self) -> Result<bool, VaultError> {
        self.urgently(|connection| async move { origin(&connection).await.map(|found| found.is_some()) })
    }

    /// Puts a wish on the table, committed before this returns; its number.
    pub(crate) fn add_urgent(&self, person: [u8; 16], sealed: Vec<u8>) -> Result<u64, VaultError> {
        let number = self.urgently(move |connection| {
            let sealed = sealed.clone();
            async move {
                // Sealed under a nonce of its own, so that the same bytes are the same wish, sent twice.
                let sql = "with known as (select number from urgent where bucket = $1 and person = $2 and sealed = $3), \
                           made as (insert into urgent (bucket, person, sealed) select $1, $2, $3 \
                           where not exists (select from known) and (select count(*) from urgent) < $4 returning number) \
                           select number from known union all select number from made";
                let statement = connection.statement(sql).await?;
                let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
                    [&bucket(&person), &person.as_slice(), &sealed, &URGENT_MAX];
                let row = connection.client.query_opt(&statement, &values).await?;
                Ok(row.map(|row| row.try_get::<_, i64>(0)).transpose()?)
            }
        })?;
        number.and_then(|number| u64::try_from(number).ok()).ok_or(VaultError::Busy)
    }

    /// Wishes that no batch has to hold: of somebody who has left.
    pub(crate) fn drop_urgent(&self, numbers: &[u64]) -> Result<(), VaultError> {
        let numbers: Vec<i64> = numbers.iter().filter_map(|number| i64::try_from(*number).ok()).collect();
        self.urgently(move |connection| {
            let numbers = numbers.clone();
            async move {
                connection.client.execute("delete from urgent where number = any($1)", &[&numbers]).await?;
                Ok(())
            }
        })
    }

    /// What stands beside the rows, after the tombstones that are known.
    pub(crate) fn news(&self, tombstones: u64) -> Result<News, VaultError> {
        let after = i64::try_from(tombstones).unwrap_or(i64::MAX);
        self.urgently(move |connection| async move {
            // One statement sees one moment.
            let sql = "select 0, number, ''::bytea, ''::bytea from head where bucket = 0 \
                       union all (select 1, number, person, sealed from urgent) \
                       union all (select 2, number, entry, ''::bytea from tombstone where bucket = 0 and number > $1) \
                       union all (select 3, 0, person, ''::bytea from leaving) order by 1, 2";
            let statement = connection.statement(sql).await?;
            let mut news = News::default();
            for row in connection.client.query(&statement, &[&after]).await? {
                let (kind, number): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
                let number = u64::try_from(number).unwrap_or(0);
                let (bytes, sealed): (Vec<u8>, Vec<u8>) = (row.try_get(2)?, row.try_get(3)?);
                let person = <[u8; 16]>::try_from(bytes.as_slice());
                match (kind, person) {
                    (0, _) => news.number = number,
                    (1, Ok(person)) => news.urgent.push((number, person, sealed)),
                    (2, _) => news.tombstones.push((number, bytes)),
                    (3, Ok(person)) => news.leaving.push(person),
                    _ => {}
                }
            }
            Ok(news)
        })
    }

    /// What the batches after `from` up to `to` changed; `None` when that is not known any more.
    pub(crate) fn changes(&self, from: u64, to: u64) -> Result<Option<Changes>, VaultError> {
        let (first, last) = (i64::try_from(from).unwrap_or(i64::MAX), i64::try_from(to).unwrap_or(i64::MAX));
        let (n_found, changes) = self.urgently(move |connection| async move {
            let sql = "select number, people, rows from batch where bucket = 0 and number > $1 and number <= $2 order by number";
            let statement = connection.statement(sql).await?;
            let (mut n_found, mut changes) = (0u64, Changes::default());
            for row in connection.client.query(&statement, &[&first, &last]).await? {
                n_found += 1;
                let number: i64 = row.try_get(0)?;
                let people: Vec<u8> = row.try_get(1)?;
                for person in people.chunks_exact(16).filter_map(|id| <[u8; 16]>::try_from(id).ok()) {
                    changes.people.insert(person, u64::try_from(number).unwrap_or(0));
                }
                changes.rows.extend(row.try_get::<_, Vec<Vec<u8>>>(2)?);
            }
            Ok((n_found, changes))
        })?;
        Ok((n_found == to.saturating_sub(from)).then_some(changes))
    }

    /// Adds tombstones after the one with the number `after`, and whose rows have to go, committed before this returns. False
    /// when another node was there first: its entries have to be read, and these made anew.
    pub(crate) fn add_tombstones(
        &self,
        after: u64,
        entries: Vec<([u8; 32], Vec<u8>)>,
        leaving: Vec<[u8; 16]>,
    ) -> Result<bool, VaultError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.urgently(move |connection| {
            let (entries, leaving) = (entries.clone(), leaving.clone());
            async move {
                let first = after.saturating_add(1);
                let numbers: Vec<i64> = (first..).take(entries.len()).collect();
                let (tokens, entries): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
                    entries.into_iter().map(|(token, entry)| (token.to_vec(), entry)).unzip();
                let buckets: Vec<i16> = leaving.iter().map(|person| bucket(person)).collect();
                let leaving: Vec<Vec<u8>> = leaving.iter().map(|person| person.to_vec()).collect();
                let client = &connection.client;
                // What was written by an answer that got lost is there already, byte for byte.
                let known = "select count(*) from tombstone where bucket = 0 and entry = any($1)";
                let known: i64 = client.query_one(known, &[&entries]).await?.try_get(0)?;
                if usize::try_from(known).is_ok_and(|known| known == entries.len()) {
                    return Ok(true);
                }
                client.batch_execute("begin").await?;
                client.batch_execute("lock table tombstone in exclusive mode").await?;
                let newest = "select coalesce(max(number), 0) from tombstone where bucket = 0";
                let newest: i64 = client.query_one(newest, &[]).await?.try_get(0)?;
                if newest != after {
                    client.batch_execute("rollback").await?;
                    return Ok(false);
                }
                let sql = "insert into tombstone (bucket, number, token, entry) \
                           select 0, * from unnest($1::bigint[], $2::bytea[], $3::bytea[])";
                client.execute(sql, &[&numbers, &tokens, &entries]).await?;
                let sql = "insert into leaving (bucket, person) select * from unnest($1::smallint[], $2::bytea[]) \
                           on conflict do nothing";
                client.execute(sql, &[&buckets, &leaving]).await?;
                client.batch_execute("commit").await?;
                Ok(true)
            }
        })
    }

    /// Every entry of what people took back, oldest first. Number 0 is the head of the list.
    pub(crate) fn narrowings(&self) -> Result<Vec<(u64, Vec<u8>)>, VaultError> {
        self.urgently(|connection| async move {
            let sql = "select number, entry from narrowing where bucket = 0 order by number";
            let rows = connection.client.query(sql, &[]).await?;
            let row = |row: &tokio_postgres::Row| {
                let number: i64 = row.try_get(0)?;
                Ok::<_, Trouble>((u64::try_from(number).unwrap_or(0), row.try_get(1)?))
            };
            rows.iter().map(row).collect()
        })
    }

    /// Puts a new head, and lets entries up to a number go: in one transaction. Only with the turn in hand.
    pub(crate) fn set_narrowing_head(&self, head: Vec<u8>, gone: u64) -> Result<(), VaultError> {
        let gone = i64::try_from(gone).unwrap_or(0);
        self.urgently(move |connection| {
            let head = head.clone();
            async move {
                let sql = "with gone as (delete from narrowing where bucket = 0 and number between 1 and $2) \
                           insert into narrowing (bucket, number, entry) values (0, 0, $1) \
                           on conflict (bucket, number) do update set entry = excluded.entry";
                connection.client.execute(sql, &[&head, &gone]).await?;
                Ok(())
            }
        })
    }

    /// What stands about a person beside the rows, in the moment of a reading of its own: the reading, wishes in no batch, and
    /// the newest tombstone.
    pub(crate) fn look_at(&self, person: [u8; 16], token: [u8; 32]) -> Result<Look, VaultError> {
        let snapshot = PgSnapshot::open(&self.pool, self.readings.begin())?;
        let (urgent, tombstone) = snapshot.ask(move |connection| async move {
            let statement = connection.statement("select sealed from urgent where bucket = $1 and person = $2").await?;
            let rows = connection.client.query(&statement, &[&bucket(&person), &person.as_slice()]).await?;
            let urgent: Vec<Vec<u8>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            let sql = "select entry from tombstone where token = $1 order by number desc limit 1";
            let statement = connection.statement(sql).await?;
            let newest = connection.client.query_opt(&statement, &[&token.as_slice()]).await?;
            Ok((urgent, newest.map(|row| row.try_get(0)).transpose()?))
        })?;
        Ok(Look { snapshot: Arc::new(snapshot), urgent, tombstone })
    }

    /// Whether this node has a lease that only one may have at a time. Lost with the session that holds it.
    pub(crate) fn lease(&self, name: &'static str) -> bool {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, server) = (leases.take(), self.pool.server);
        let held = self.pool.wait(async move {
            let asked = async {
                let connection = match known.filter(|known| !known.client.is_closed()) {
                    Some(known) => known,
                    None => Arc::new(Connection::open(server, For::Urgent).await?),
                };
                // Asked for again, it is counted twice, and lost once when the session ends: so it is asked only when new.
                let sql = "select case when exists (select from pg_locks where locktype = 'advisory' \
                           and pid = pg_backend_pid() and classid = hashtext($1)::oid and objid = hashtext($2)::oid) \
                           then true else pg_try_advisory_lock(hashtext($1), hashtext($2)) end";
                let statement = connection.statement(sql).await?;
                let row = connection.client.query_one(&statement, &[&server.schema, &name]).await?;
                Ok::<_, Trouble>((Arc::clone(&connection), row.try_get::<_, bool>(0)?))
            };
            tokio::time::timeout(URGENT_WITHIN, asked).await?
        });
        match held {
            Ok(Ok((connection, held))) => {
                *leases = Some(connection);
                held
            }
            _ => false,
        }
    }

    /// Gives a lease back.
    pub(crate) fn end_lease(&self, name: &'static str) {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = leases.clone() else { return };
        let server = self.pool.server;
        let _ = self.pool.wait(async move {
            let sql = "select pg_advisory_unlock(hashtext($1), hashtext($2))";
            tokio::time::timeout(URGENT_WITHIN, connection.client.query(sql, &[&server.schema, &name])).await
        });
    }
}

/// What is known about a person at one moment.
pub(crate) struct Look {
    pub snapshot: Arc<dyn crate::engine::EngineSnapshot>,
    pub urgent: Vec<Vec<u8>>,
    /// The newest entry of their token.
    pub tombstone: Option<Vec<u8>>,
}

async fn origin(connection: &Connection) -> Result<Option<(Vec<u8>, i32)>, Trouble> {
    let sql = "select house, format from origin where bucket = 0";
    let row = connection.client.query_opt(sql, &[]).await?;
    row.map(|row| Ok::<_, Trouble>((row.try_get(0)?, row.try_get(1)?))).transpose()
}
