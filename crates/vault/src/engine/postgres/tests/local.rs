//! A PostgreSQL server of the tests' own: one per process, in a folder that goes with it, on a socket in that folder and on a
//! free port of loopback, run by a user that is not root.
//!
//! `PG_BIN` says where the binaries are when they are not where Debian puts them. The same file is used by the vault's tests
//! from outside.
#![expect(clippy::disallowed_methods, reason = "the server's set-up writes its own files")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// A running server.
pub struct Local {
    postgres: Mutex<Child>,
    /// Kept for ever: the folder goes with the guard process.
    pub folder: PathBuf,
    pub port: u16,
    n_schemas: AtomicUsize,
}

static LOCAL: LazyLock<Option<Local>> = LazyLock::new(start);

/// The address of a schema that nobody else uses; `None`, said aloud, where there is no PostgreSQL.
pub fn schema() -> Option<String> {
    LOCAL.as_ref().map(|local| {
        let number = local.n_schemas.fetch_add(1, Ordering::SeqCst);
        format!("postgres://fineline@127.0.0.1:{}/shop?schema=test_{number}", local.port)
    })
}

/// Where the server keeps its files.
pub fn folder() -> Option<&'static Path> {
    LOCAL.as_ref().map(|local| local.folder.as_path())
}

/// A session of the server's own client in a schema, for whatever no part of the house would do.
pub fn psql(address: &str) -> Command {
    let local = LOCAL.as_ref().unwrap();
    let schema = address.rsplit("schema=").next().unwrap();
    let mut command = Command::new(binaries().unwrap().join("psql"));
    command.args(["-qAt", "-h", "127.0.0.1", "-p", &local.port.to_string(), "-U", "fineline", "-d", "shop"]);
    command.env("PGOPTIONS", format!("-c search_path={schema}"));
    command
}

fn binaries() -> Option<PathBuf> {
    let set = std::env::var_os("PG_BIN").map(PathBuf::from);
    let debian = (15..=19).rev().map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    set.into_iter().chain(debian).find(|folder| folder.join("initdb").exists())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command as the user that the server runs as.
fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

fn start() -> Option<Local> {
    let Some(binaries) = binaries() else {
        use std::io::Write;
        let said =
            b"\nSKIPPED: no PostgreSQL 15 or newer on this machine (apt-get install postgresql, or PG_BIN=folder)\n";
        std::io::stderr().write_all(said).unwrap();
        return None;
    };
    let folder = tempfile::Builder::new().prefix("fineline-pg-").tempdir().unwrap().keep();
    let owner = if is_root() { "nobody:nogroup" } else { "" };
    if is_root() {
        assert!(Command::new("chown").arg(owner).arg(&folder).status().unwrap().success());
    }
    let data = folder.join("data");
    let made = as_user(&binaries.join("initdb"))
        .args(["-A", "trust", "-U", "keeper", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data)
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let postgres = as_user(&binaries.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=127.0.0.1", "-c", &format!("port={port}")])
        .arg("-c")
        .arg(format!("unix_socket_directories={}", folder.display()))
        .args(["-c", "max_connections=400", "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    watch(postgres.id(), &folder);
    let local = Local { postgres: Mutex::new(postgres), folder, port, n_schemas: AtomicUsize::new(0) };
    let psql = |sql: &str| {
        let mut command = Command::new(binaries.join("psql"));
        command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", "keeper", "-d", "postgres", "-c", sql]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    };
    let is_up = (0..600).any(|_| {
        let ended = local.postgres.lock().unwrap_or_else(PoisonError::into_inner).try_wait().unwrap();
        assert!(ended.is_none(), "the server ended: {ended:?}");
        psql("select 1") || {
            std::thread::sleep(Duration::from_millis(50));
            false
        }
    });
    assert!(is_up, "the server answers within thirty seconds");
    assert!(psql("create role fineline login"));
    assert!(psql("create database shop owner fineline"));
    Some(local)
}

/// Ends the server and takes its folder away when this process is gone, however it goes: nobody runs the destructors of what
/// lives as long as a process.
fn watch(server: u32, folder: &Path) {
    let script = format!(
        "while kill -0 {me} 2>/dev/null; do sleep 1; done; kill -INT {server}; \
         while kill -0 {server} 2>/dev/null; do sleep 1; done; rm -rf '{folder}'",
        me = std::process::id(),
        folder = folder.display()
    );
    let guard = Command::new("setsid")
        .args(["sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    drop(guard.unwrap());
}
