//! Settings of the program, apart from the promise: defaults < `fineline.toml` < `FINELINE_*` < flags. Each value knows
//! where it came from. It opens `fineline.toml` and nothing else, and holds no secret: those lie in files of their own.
//!
//! To add one more setting: a line in [`KEYS`], a getter on [`Settings`], and `docs/reference/settings.md` (a test says so).

use crate::exit::Failure;
use crate::root::Root;
use crate::rotation::TimeOfDay;
use anyhow::Context;
use deliver::egress::webhook::Reach;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vault::EngineKind;

/// Largest `fineline.toml`, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As in the file; `FINELINE_` + capitals in the environment; with dashes as a flag.
    pub name: &'static str,
    /// What holds when nobody says otherwise.
    pub default: &'static str,
    /// What it is for.
    pub says: &'static str,
}

const fn key(name: &'static str, default: &'static str, says: &'static str) -> Key {
    Key { name, default, says }
}

/// All settings.
pub const KEYS: &[Key] = &[
    key("promise", "promise.toml", "the promise file"),
    key("data", "data", "the data folder"),
    key(
        "root",
        "",
        "where the root key comes from: a file, credential:NAME of the service manager, or passphrase; empty = keys/root beside the data folder",
    ),
    key(
        "root_passphrase_file",
        "",
        "with root = passphrase: a file, or credential:NAME, with it in the first line; empty = asked for on the terminal",
    ),
    key(
        "witness",
        "",
        "a file on a second disk that remembers how far the log and the erasures reached; an older data folder is then refused; empty = none",
    ),
    key("engine", "fjall", "fjall or redb; fixed once the data folder exists"),
    key(
        "store",
        "",
        "a PostgreSQL database in place of the engine: postgres://ROLE@HOST:PORT/DATABASE?schema=fineline, for one node or several; fixed once the house exists; empty = the data folder",
    ),
    key(
        "store_password_file",
        "",
        "a file, or credential:NAME, with the password of the database role in its first line; it never stands in `store`",
    ),
    key(
        "store_ca_file",
        "",
        "a PEM file with the certificate authority of the database server; empty = the public authorities",
    ),
    key("listen", "127.0.0.1:4000", "where people, sites and servers reach us"),
    key("console_listen", "", "where staff reach the console; empty = 127.0.0.1 and the next port"),
    key("base_url", "", "how people reach us, as in their mail; needed when `listen` is not a loopback address"),
    key(
        "trusted_proxies",
        "",
        "addresses of the TLS proxies in front, separated by commas: no other may connect, unless `listen` is a loopback address",
    ),
    key("relay", "", "the mail relay: smtp://host:25 (plain), smtp+starttls://host:587 or smtps://host:465"),
    key("relay_user", "", "user name at the relay"),
    key("relay_password_file", "", "a file, or credential:NAME, that holds the password at the relay"),
    key(
        "relay_ca_file",
        "",
        "a file, or credential:NAME, with the certificates, in PEM, of the company's own authority that vouches for the relay, and then it alone; empty = the public ones",
    ),
    key("relay_operator", "", "who runs the relay, as people read it in the register of recipients; empty = its host"),
    key(
        "recipients_private",
        "no",
        "yes or no: whether recipients of the promise may be called at addresses of this machine and of private networks",
    ),
    key("mail_from", "", "the sender: one plain e-mail address"),
    key("dkim_selector", "fineline", "the DKIM selector under the sender's domain"),
    key("log", "human", "human or json, on stderr"),
    key("log_level", "info", "error, warn, info, debug or trace; never contains a personal value"),
    key("queue_max", "10000", "commands that may wait for the committer before callers are asked to slow down"),
    key(
        "rotate_at",
        "03:10",
        "the time of the night, in UTC, at which the keys are rotated when a deleted key waits for it, and every six days",
    ),
    key("connections_max", "2000", "connections served at the same time"),
    key(
        "queue_wait_ms_max",
        "200",
        "milliseconds that the oldest event in the queue may wait; beyond that new ones are answered with 429 and Retry-After",
    ),
    key(
        "disk_kept_percent",
        "2",
        "free part of the disk, in percent, below which only opt-outs and erasures are taken; 0 = only its very end counts",
    ),
    key(
        "stop_accept_seconds",
        "5",
        "seconds for which connections are still taken after SIGTERM, with readiness off: so that a load balancer notices first",
    ),
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said otherwise.
    Default,
    /// A file, at a line.
    File {
        /// Which.
        path: PathBuf,
        /// Where in it, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As written.
    pub text: String,
    /// By whom.
    pub origin: Origin,
}

/// All settings of one run.
#[derive(Debug, Clone)]
pub struct Settings(BTreeMap<&'static str, Setting>);

/// The mail relay as set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySetting {
    /// How the connection is protected.
    pub tls: RelayTls,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// How a connection to the relay is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTls {
    /// Not at all: loopback or a private network only.
    Plain,
    /// STARTTLS, required.
    StartTls,
    /// From the first byte.
    Wrapped,
}

impl Settings {
    /// Puts the layers together. `file` must exist when it was named by hand; `flags` are the ones that were given.
    ///
    /// # Errors
    /// A file that cannot be read, an unknown key, or a value of the wrong form.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let default = |key: &Key| (key.name, Setting { text: key.default.to_owned(), origin: Origin::Default });
        let mut settings = Self(KEYS.iter().map(default).collect());
        let named = file.is_some();
        let path = file.unwrap_or_else(|| Path::new("fineline.toml"));
        if named || path.exists() {
            settings.read_file(path)?;
        }
        settings.read_environment(environment);
        for (name, text) in flags {
            settings.0.insert(name, Setting { text, origin: Origin::Flag });
        }
        settings.check()?;
        Ok(settings)
    }

    fn read_file(&mut self, path: &Path) -> anyhow::Result<()> {
        let text = read_text(path, FILE_BYTES_MAX)?;
        let table: BTreeMap<toml::Spanned<String>, toml::Value> = toml::from_str(&text)
            .map_err(|error| Failure::usage(format!("{}: {}", path.display(), error.to_string().trim_end())))?;
        for (name, value) in table {
            let line = text.get(..name.span().start).unwrap_or("").matches('\n').count() + 1;
            let place = format!("{}:{line}", path.display());
            let Some(key) = KEYS.iter().find(|key| key.name == name.get_ref()) else {
                return Err(Failure::usage(format!(
                    "{place}: unknown setting `{}`{}",
                    name.get_ref(),
                    meant(name.get_ref())
                )));
            };
            let text = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Array(list) => list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(","),
                _ => {
                    return Err(Failure::usage(format!(
                        "{place}: `{}` must be a text, a whole number or a list of texts",
                        key.name
                    )));
                }
            };
            self.0.insert(key.name, Setting { text, origin: Origin::File { path: path.to_owned(), line } });
        }
        Ok(())
    }

    fn read_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (name, text) in environment {
            let Some(short) = name.strip_prefix("FINELINE_").map(str::to_ascii_lowercase) else { continue };
            if let Some(key) = KEYS.iter().find(|key| key.name == short) {
                self.0.insert(key.name, Setting { text, origin: Origin::Environment(name) });
            }
        }
    }

    /// Every typed getter once, so that a wrong value is refused before anything starts.
    fn check(&self) -> anyhow::Result<()> {
        self.root()?;
        self.engine()?;
        self.listen()?;
        self.console_listen()?;
        self.base_url()?;
        self.trusted_proxies()?;
        self.relay()?;
        self.reach()?;
        self.logs_json()?;
        self.number("queue_max")?;
        self.number("connections_max")?;
        self.number("queue_wait_ms_max")?;
        self.disk_kept_percent()?;
        self.stop_accept()?;
        self.rotate_at()?;
        Ok(())
    }

    /// Every setting by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Setting)> {
        self.0.iter().map(|(name, setting)| (*name, setting))
    }

    /// One setting as written; empty for a name that is not in [`KEYS`].
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |setting| setting.text.trim())
    }

    /// One setting, `None` when empty.
    #[must_use]
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    fn wrong(&self, name: &str, should: &str) -> anyhow::Error {
        let origin = self.0.get(name).map_or_else(String::new, |setting| setting.origin.to_string());
        Failure::usage(format!("setting `{name}` ({origin}) should be {should}"))
    }

    fn number(&self, name: &str) -> anyhow::Result<usize> {
        let number = self.text(name).parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| self.wrong(name, "a whole number above 0"))
    }

    /// The promise file.
    #[must_use]
    pub fn promise(&self) -> PathBuf {
        self.text("promise").into()
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.text("data").into()
    }

    /// Where the root key comes from.
    ///
    /// # Errors
    /// A credential without a name.
    pub fn root(&self) -> anyhow::Result<Root> {
        let path = |name: &str, text: &str| {
            crate::root::path(text).ok_or_else(|| self.wrong(name, "a path, or credential: and a name without a slash"))
        };
        match self.given("root") {
            None => Ok(Root::File(self.data().parent().unwrap_or(Path::new("")).join("keys").join("root"))),
            Some("passphrase") => {
                let file = self.given("root_passphrase_file");
                Ok(Root::Passphrase(file.map(|file| path("root_passphrase_file", file)).transpose()?))
            }
            Some(text) => Ok(Root::File(path("root", text)?)),
        }
    }

    /// The witness file; `None` when not set.
    #[must_use]
    pub fn witness(&self) -> Option<PathBuf> {
        self.given("witness").map(PathBuf::from)
    }

    /// Which engine.
    ///
    /// # Errors
    /// Another word, or an address of a store that cannot be used.
    pub fn engine(&self) -> anyhow::Result<EngineKind> {
        if let Some(address) = self.given("store") {
            return self.store(address);
        }
        match self.text("engine") {
            "fjall" => Ok(EngineKind::Fjall),
            "redb" => Ok(EngineKind::Redb),
            _ => Err(self.wrong("engine", "`fjall` or `redb`")),
        }
    }

    fn store(&self, address: &str) -> anyhow::Result<EngineKind> {
        let read = |name: &str| -> anyhow::Result<Option<String>> {
            let Some(text) = self.given(name) else { return Ok(None) };
            let path = crate::root::path(text)
                .ok_or_else(|| self.wrong(name, "a path, or credential: and a name without a slash"))?;
            read_text(&path, FILE_BYTES_MAX).map(Some)
        };
        let (password, authority) = (read("store_password_file")?, read("store_ca_file")?);
        let password = password.as_deref().and_then(|text| text.lines().next());
        let server = vault::Server::new(address, password, authority.as_deref().map(str::as_bytes));
        let origin = self.0.get("store").map_or_else(String::new, |setting| setting.origin.to_string());
        server.map(EngineKind::Postgres).map_err(|error| Failure::usage(format!("{error} ({origin})")))
    }

    /// Where the public listener stands.
    ///
    /// # Errors
    /// Not an address with a port.
    pub fn listen(&self) -> anyhow::Result<SocketAddr> {
        self.text("listen").parse().map_err(|_| self.wrong("listen", "an address with a port, such as 127.0.0.1:4000"))
    }

    /// Where the console's listener stands.
    ///
    /// # Errors
    /// Not an address with a port.
    pub fn console_listen(&self) -> anyhow::Result<SocketAddr> {
        let Some(text) = self.given("console_listen") else {
            let public = self.listen()?;
            let port = if public.port() == 0 { 0 } else { public.port().wrapping_add(1) };
            return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
        };
        text.parse().map_err(|_| self.wrong("console_listen", "an address with a port, such as 127.0.0.1:4001"))
    }

    /// How people reach us, without a slash at the end; `None` when not set.
    ///
    /// # Errors
    /// Not an http(s) URL, or with a path.
    pub fn base_url(&self) -> anyhow::Result<Option<String>> {
        let Some(text) = self.given("base_url") else { return Ok(None) };
        let text = text.trim_end_matches('/');
        let url: http::Uri =
            text.parse().map_err(|_| self.wrong("base_url", "a URL such as https://privacy.example.com"))?;
        let scheme_ok = matches!(url.scheme_str(), Some("http" | "https"));
        let bare = matches!(url.path(), "" | "/") && url.query().is_none();
        if !scheme_ok || url.host().is_none() || !bare {
            return Err(self.wrong("base_url", "a URL without a path, such as https://privacy.example.com"));
        }
        Ok(Some(text.to_owned()))
    }

    /// The proxies that speak TLS for us: the only addresses that may connect to a listener in the open.
    ///
    /// # Errors
    /// Not a list of addresses.
    pub fn trusted_proxies(&self) -> anyhow::Result<Vec<IpAddr>> {
        let parts = self.text("trusted_proxies").split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| part.parse().map_err(|_| self.wrong("trusted_proxies", "addresses separated by commas")))
            .collect()
    }

    /// The mail relay.
    ///
    /// # Errors
    /// Not one of the three URL forms.
    pub fn relay(&self) -> anyhow::Result<Option<RelaySetting>> {
        let Some(text) = self.given("relay") else { return Ok(None) };
        let wrong = || self.wrong("relay", "smtp://host:25, smtp+starttls://host:587 or smtps://host:465");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (tls, port) = match scheme {
            "smtp" => (RelayTls::Plain, 25),
            "smtp+starttls" => (RelayTls::StartTls, 587),
            "smtps" => (RelayTls::Wrapped, 465),
            _ => return Err(wrong()),
        };
        let (host, port) = match rest.trim_end_matches('/').rsplit_once(':') {
            Some((host, number)) => (host, number.parse().map_err(|_| wrong())?),
            None => (rest.trim_end_matches('/'), port),
        };
        if host.is_empty() || host.contains('@') || host.contains('/') {
            return Err(wrong());
        }
        Ok(Some(RelaySetting { tls, host: host.to_owned(), port }))
    }

    /// Which addresses of recipients may be dialled.
    ///
    /// # Errors
    /// Another word.
    pub fn reach(&self) -> anyhow::Result<Reach> {
        match self.text("recipients_private") {
            "no" => Ok(Reach::Public),
            "yes" => Ok(Reach::AlsoPrivate),
            _ => Err(self.wrong("recipients_private", "`yes` or `no`")),
        }
    }

    /// Whether the log is written for machines.
    ///
    /// # Errors
    /// Another word.
    pub fn logs_json(&self) -> anyhow::Result<bool> {
        match self.text("log") {
            "human" => Ok(false),
            "json" => Ok(true),
            _ => Err(self.wrong("log", "`human` or `json`")),
        }
    }

    /// Commands that may wait for the committer.
    #[must_use]
    pub fn queue_max(&self) -> usize {
        self.number("queue_max").unwrap_or(10_000)
    }

    /// When the keys are rotated.
    ///
    /// # Errors
    /// Not an hour and a minute.
    pub fn rotate_at(&self) -> anyhow::Result<TimeOfDay> {
        TimeOfDay::parse(self.text("rotate_at"))
            .ok_or_else(|| self.wrong("rotate_at", "an hour and a minute, such as 03:10"))
    }

    /// Connections served at the same time.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.number("connections_max").unwrap_or(2_000)
    }

    /// How long the oldest event in the queue may wait before new ones are turned away.
    #[must_use]
    pub fn queue_wait_max(&self) -> Duration {
        Duration::from_millis(self.number("queue_wait_ms_max").unwrap_or(200) as u64)
    }

    /// Free part of the disk, in hundredths, below which only opt-outs and erasures are taken.
    ///
    /// # Errors
    /// Not a whole number from 0 to 100.
    pub fn disk_kept_percent(&self) -> anyhow::Result<u8> {
        let percent = self.text("disk_kept_percent").parse().ok().filter(|percent| *percent <= 100);
        percent.ok_or_else(|| self.wrong("disk_kept_percent", "a whole number from 0 to 100"))
    }

    /// For how long connections are still taken after SIGTERM.
    ///
    /// # Errors
    /// Not a whole number of seconds up to a minute.
    pub fn stop_accept(&self) -> anyhow::Result<Duration> {
        let seconds = self.text("stop_accept_seconds").parse().ok().filter(|seconds| *seconds <= 60);
        let seconds = seconds.ok_or_else(|| self.wrong("stop_accept_seconds", "a whole number from 0 to 60"))?;
        Ok(Duration::from_secs(seconds))
    }

    /// What `serve` needs beyond each value being well formed: a public listener needs a name and a TLS proxy.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_listeners(&self) -> anyhow::Result<()> {
        if !self.console_listen()?.ip().is_loopback() {
            return Err(self.wrong("console_listen", "a loopback address; reach it through a tunnel"));
        }
        if self.listen()?.ip().is_loopback() {
            return Ok(());
        }
        if self.base_url()?.is_none() {
            let text = "`listen` is not a loopback address, so `base_url` is needed: the address people will see";
            return Err(Failure::usage(text));
        }
        if self.trusted_proxies()?.is_empty() {
            let text = "`listen` is not a loopback address, so `trusted_proxies` is needed: we speak no TLS ourselves";
            return Err(Failure::usage(text));
        }
        Ok(())
    }
}

fn meant(name: &str) -> String {
    let near = KEYS.iter().map(|key| (strsim::damerau_levenshtein(key.name, name), key.name));
    match near.min() {
        Some((distance, near)) if distance <= 3 => format!("; did you mean `{near}`?"),
        _ => String::new(),
    }
}

/// Reads a text file named on the command line or in a setting.
///
/// # Errors
/// When it cannot be read, is not UTF-8 or has more than `bytes_max` bytes.
pub fn read_text(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    open(path)?.take(bytes_max + 1).read_to_string(&mut text).with_context(|| format!("reading {}", path.display()))?;
    if text.len() as u64 > bytes_max {
        return Err(Failure::usage(format!("{} has more than {bytes_max} bytes", path.display())));
    }
    Ok(text)
}

/// Opens a file named on the command line or in a setting.
///
/// # Errors
/// When it cannot be opened.
#[expect(clippy::disallowed_methods, reason = "the program opens the files named on the command line")]
pub fn open(path: &Path) -> anyhow::Result<std::fs::File> {
    std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))
}

/// Writes a new file named on the command line; never over an existing one.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    write_new_bytes(path, text.as_bytes())
}

/// The same for bytes.
///
/// # Errors
/// When it exists or cannot be written.
pub fn write_new_bytes(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with(path, bytes, std::fs::OpenOptions::new().write(true).create_new(true))
}

/// Writes a file named on the command line, in place of what it holds.
///
/// # Errors
/// When it cannot be written.
pub fn write_over(path: &Path, text: &str) -> anyhow::Result<()> {
    write_with(path, text.as_bytes(), std::fs::OpenOptions::new().write(true).create(true).truncate(true))
}

/// The same for bytes.
///
/// # Errors
/// When it cannot be written.
pub fn write_over_bytes(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_with(path, bytes, std::fs::OpenOptions::new().write(true).create(true).truncate(true))
}

/// Reads a file below a folder named on the command line; `None` when there is none.
///
/// # Errors
/// When it cannot be read, or has more than `bytes_max` bytes.
pub fn read_bytes(path: &Path, bytes_max: u64) -> anyhow::Result<Option<Vec<u8>>> {
    use std::io::Read;
    if !path.exists() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    open(path)?.take(bytes_max + 1).read_to_end(&mut bytes).with_context(|| format!("reading {}", path.display()))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failure::usage(format!("{} has more than {bytes_max} bytes", path.display())));
    }
    Ok(Some(bytes))
}

#[expect(clippy::disallowed_methods, reason = "the program writes the files named on the command line")]
fn write_with(path: &Path, bytes: &[u8], options: &std::fs::OpenOptions) -> anyhow::Result<()> {
    use std::io::Write;
    let mut file = options.open(path).with_context(|| format!("creating {}", path.display()))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests;
