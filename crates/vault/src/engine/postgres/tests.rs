//! The address, and what holds when the line to the server is cut. Needs no set-up: a server of its own is started, on
//! loopback and not as root, and where there are no binaries of PostgreSQL the tests say so and are skipped.
//!
//! The suite that every engine passes stands in `engine/tests.rs`.

use super::*;
use crate::EngineKind;

pub(crate) mod local;
mod proxy;

fn refused(address: &str) -> String {
    Server::new(address, None, None).unwrap_err().to_string()
}

#[test]
fn an_address_says_role_host_database_and_schema_and_holds_no_password() {
    let server = Server::new("postgres://fineline@/shop?host=/run/postgresql&schema=shop_2", None, None).unwrap();
    assert_eq!(server.schema, "shop_2");
    let server = Server::new("postgresql://fineline@127.0.0.1:5433/shop", Some("secret words"), None).unwrap();
    assert_eq!(
        (server.schema.as_str(), server.to_string().as_str()),
        ("fineline", "postgresql://fineline@127.0.0.1:5433/shop")
    );
    assert!(!format!("{server:?}").contains("secret"));
    for (address, why) in [
        ("mysql://fineline@localhost/shop", "begin with postgres://"),
        ("postgres://fineline:word@localhost/shop", "a password stands in it"),
        ("postgres://localhost/shop", "no role"),
        ("postgres://fineline@/shop", "no host"),
        ("postgres://fineline@localhost/shop?schema=Shop", "a schema is named"),
        ("postgres://fineline@localhost/shop?schema=a;drop", "a schema is named"),
        ("postgres://fineline@localhost/shop?schema=pg_shop", "a schema is named"),
        ("postgres://fineline@db.example/shop?sslmode=disable", "in clear"),
        ("postgres://fineline@localhost,db.example/shop", "of one kind"),
    ] {
        assert!(refused(address).contains(why), "{address}: {}", refused(address));
    }
    assert!(Server::new("postgres://fineline@db.example/shop", None, Some(b"not PEM")).is_err());
}

fn put(key: &[u8], value: &[u8]) -> Vec<Op> {
    vec![Op::Put(Keyspace::Events, key.to_vec(), value.to_vec())]
}

/// The line is cut after the server has COMMIT and before we have its answer, or before the server has it. Nothing is lost and
/// nothing is there twice: the head counts one for each batch, whoever wrote it.
#[test]
fn f11_a_line_cut_at_commit_loses_nothing_and_doubles_nothing() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let through = open(&proxy.address);
    let direct = open(&address);
    let mut n = 0u8;
    for cut in [proxy::Cut::AfterCommit, proxy::Cut::BeforeCommit, proxy::Cut::None].into_iter().cycle().take(12) {
        n += 1;
        proxy.next(cut);
        through.commit(put(&[n], &[n])).unwrap();
        let seen = direct.snapshot();
        assert_eq!(seen.get(Keyspace::Events, &[n]).unwrap().unwrap(), [n]);
        assert_eq!(seen.position(), u64::from(n), "one batch, once");
    }
    assert_eq!(proxy.n_cuts(), 8, "each cut was made");
    assert_eq!(direct.snapshot().scan(Keyspace::Events, b"").count(), 12);
}

/// The server goes in the middle and somebody else writes before we are back: what was not committed is judged anew, and what
/// was committed is found.
#[test]
fn f11_whoever_was_overtaken_while_the_line_was_cut_is_told_to_judge_anew() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let through = open(&proxy.address);
    let direct = open(&address);
    for (cut, is_there) in [(proxy::Cut::BeforeCommit, false), (proxy::Cut::AfterCommit, true)] {
        let before = direct.snapshot().position();
        proxy.next(cut);
        proxy.hold();
        let committed = std::thread::scope(|scope| {
            let one = scope.spawn(|| through.commit(put(b"one", &[u8::from(is_there)])));
            proxy.wait_for_cut();
            direct.commit(put(b"other", b"x")).unwrap();
            proxy.let_go();
            one.join().unwrap()
        });
        assert_eq!(committed.is_ok(), is_there, "{committed:?}");
        let seen = direct.snapshot();
        assert_eq!(seen.get(Keyspace::Events, b"one").unwrap().is_some(), is_there);
        assert_eq!(seen.position() - before, 1 + u64::from(is_there));
    }
}

#[test]
fn a_turn_is_one_nodes_alone_and_can_be_given_back() {
    let Some(address) = local::schema() else { return };
    let (one, other) = (open(&address), open(&address));
    assert_eq!(one.nodes().unwrap().begin().unwrap(), 0);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| other.commit(put(b"a", b"other")));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(one.snapshot().position(), 0);
        one.commit(put(b"a", b"one")).unwrap();
        waits.join().unwrap().unwrap();
    });
    assert_eq!(one.snapshot().get(Keyspace::Events, b"a").unwrap().unwrap(), b"other");
    assert_eq!(one.nodes().unwrap().begin().unwrap(), 2);
    one.nodes().unwrap().give_back();
    other.commit(put(b"a", b"again")).unwrap();
    let changes = one.nodes().unwrap().changes(0, 3).unwrap().unwrap();
    assert!(changes.people.is_empty());
    assert!(one.nodes().unwrap().changes(0, 4).unwrap().is_none(), "a batch that is not there is not known");
}

#[test]
fn a_lease_is_one_nodes_and_goes_with_its_session() {
    let Some(address) = local::schema() else { return };
    let (one, other) = (Postgres::open(server(&address)).unwrap(), Postgres::open(server(&address)).unwrap());
    assert!(one.lease("rotate") && one.lease("rotate"));
    assert!(!other.lease("rotate"));
    assert!(other.lease("pump"), "another one is another one");
    one.end_lease("rotate");
    assert!(other.lease("rotate") && !one.lease("rotate"));
    drop(other);
    assert!((0..200).any(|_| one.lease("rotate") || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        false
    }));
}

#[test]
fn a_server_that_is_away_is_said_and_found_again() {
    let Some(address) = local::schema() else { return };
    let proxy = proxy::Proxy::before(&address);
    let engine = open(&proxy.address);
    engine.commit(put(b"a", b"1")).unwrap();
    let older = engine.snapshot();
    proxy.go_away();
    assert!(matches!(engine.nodes().unwrap().begin(), Err(VaultError::Away { .. })));
    assert!(matches!(older.get(Keyspace::Events, b"a"), Err(VaultError::Away { .. })), "never as if it were empty");
    assert!((0..200).any(|_| !older.is_readable() || {
        std::thread::sleep(Duration::from_millis(20));
        false
    }));
    let unopened = engine.snapshot();
    assert!(!unopened.is_readable());
    assert!(unopened.scan(Keyspace::Events, b"").next().unwrap().is_err());
    assert!(matches!(engine.nodes().unwrap().add_urgent([1; 16], vec![1]), Err(VaultError::Away { .. })));
    proxy.come_back();
    engine.commit(put(b"a", b"2")).unwrap();
    assert_eq!(engine.snapshot().get(Keyspace::Events, b"a").unwrap().unwrap(), b"2");
    let nodes = engine.nodes().unwrap();
    let number = nodes.add_urgent([1; 16], vec![1]).unwrap();
    assert_eq!(nodes.add_urgent([1; 16], vec![1]).unwrap(), number, "the same bytes are the same wish");
    assert_eq!(nodes.news(0).unwrap().urgent, [(number, [1; 16], vec![1])]);
    nodes.begin().unwrap();
    nodes.stage_drained(&[number]);
    engine.commit(put(b"b", b"")).unwrap();
    assert_eq!(nodes.news(0).unwrap().urgent, [], "it left with the batch that holds it");
}

#[test]
fn what_is_fetched_ahead_is_what_is_there() {
    let Some(address) = local::schema() else { return };
    let engine = open(&address);
    let person = |n: u8, tail: &[u8]| [[n; 16].as_slice(), tail].concat();
    let row = |n: u8, tail: &[u8]| Op::Put(Keyspace::Profiles, person(n, tail), person(n, b"value"));
    engine.commit(vec![row(1, b"a"), row(1, b"b"), row(2, b"a"), row(0xff, b"a"), row(3, b"a")]).unwrap();
    let (cold, warm) = (engine.snapshot(), engine.snapshot());
    let rows = vec![
        (Keyspace::Profiles, person(3, b"a")),
        (Keyspace::Profiles, person(3, b"b")),
        (Keyspace::Keys, person(1, b"")),
    ];
    warm.warm(rows, [1, 2, 4, 0xff].map(|n| (Keyspace::Profiles, person(n, b""))).to_vec());
    engine.commit(vec![Op::Delete(Keyspace::Profiles, person(1, b"a")), row(4, b"a")]).unwrap();
    for n in [1, 2, 3, 4, 0xff] {
        for tail in [b"a".as_slice(), b"b", b"c"] {
            for keyspace in [Keyspace::Profiles, Keyspace::Keys] {
                let key = person(n, tail);
                assert_eq!(warm.get(keyspace, &key).unwrap(), cold.get(keyspace, &key).unwrap(), "{n} {tail:?}");
            }
        }
    }
    assert_eq!(
        warm.get(Keyspace::Profiles, &person(1, b"a")).unwrap().unwrap(),
        person(1, b"value"),
        "it stands still"
    );
}

/// The rule that keeps a distributed database fast, and the server that the tests talk to.
#[test]
fn every_primary_key_begins_with_its_bucket() {
    let Some(address) = local::schema() else { return };
    drop(open(&address));
    let said = local::psql(&address)
        .args([
            "-c",
            "select relname, attname from pg_index i join pg_class c on c.oid = i.indrelid \
                join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0] \
                where i.indisprimary and c.relnamespace = current_schema()::regnamespace",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.lines().count(), Keyspace::ALL.len() + 7, "{said}");
    assert!(said.lines().all(|line| line.ends_with("|bucket")), "{said}");
    assert!(local::folder().unwrap().join("data/PG_VERSION").exists());
}

fn server(address: &str) -> &'static Server {
    Server::new(address, None, None).unwrap()
}

fn open(address: &str) -> Arc<dyn Engine> {
    crate::engine::open(EngineKind::Postgres(server(address)), std::path::Path::new("")).unwrap()
}
