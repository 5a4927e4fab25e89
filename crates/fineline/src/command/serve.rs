//! `fineline serve`: the house on its two listeners, until it is told to stop.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::exit::{Exit, Failure};
use crate::http::SealedDoors;
use crate::listener::Door;
use crate::readiness::{NotReady, Readiness};
use crate::serve::{Assembly, Ended, Limits, Parts, Stop};
use crate::{house, listener, mail, promised, serve, telemetry};
use anyhow::Context;
use console::Role;
use deliver::BaseUrl;
use listenfd::ListenFd;
use model::{Buckets, Clock, Rng, StaffName};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use vault::{EngineKind, SealedHouse, Vault};

/// Serve sites, servers, people and staff.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where people, sites and servers reach us [default: 127.0.0.1:4000]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where staff reach the console [default: 127.0.0.1, the next port]
    #[arg(long, value_name = "ADDRESS")]
    console_listen: Option<String>,
    /// How people reach us, as in their mail [default: http://localhost and the port, on the loopback]
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The mail relay: smtp://, smtp+starttls:// or smtps://
    #[arg(long, value_name = "URL")]
    relay: Option<String>,
    /// The address that mails come from
    #[arg(long, value_name = "ADDRESS")]
    mail_from: Option<String>,
}

impl Args {
    /// The flags that are settings.
    #[must_use]
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("listen", &self.listen),
            ("console_listen", &self.console_listen),
            ("base_url", &self.base_url),
            ("relay", &self.relay),
            ("mail_from", &self.mail_from),
        ];
        given.into_iter().filter_map(|(name, flag)| Some((name, flag.clone()?))).collect()
    }
}

/// Serves.
///
/// # Errors
/// Settings that do not fit together, a promise that is not in force, a house that cannot be opened, an address that is
/// taken; a part that stopped while serving.
pub fn run(_: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    ground.settings.check_listeners()?;
    raise_open_files();
    telemetry::start_log(ground.settings.logs_json()?, ground.settings.text("log_level"), ground.say.has_colour());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let lived = runtime.block_on(lives(ground));
    // What still waits for another machine or a disk is left behind.
    runtime.shutdown_timeout(LEFT_BEHIND);
    lived.map(|()| Exit::Fine)
}

/// As many open files as the system lets us have: many are given fewer than they may take.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised there are fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// Connections at the same time: as set, and at most half of the files that may be open, so that the store keeps its own.
fn connections_max(settings: &Settings) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let half = usize::try_from(files / 2).unwrap_or(usize::MAX);
    // Two listeners share them.
    settings.connections_max().min((half / 2).max(1))
}

/// How long threads may take to end once everything is closed.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Serves one opening of the house after the other on the same listeners: whoever comes in between waits in their queues.
async fn lives(ground: &Ground) -> anyhow::Result<()> {
    let mut given = ListenFd::from_env();
    let settings = &ground.settings;
    let public = listening(&mut given, 0, settings.listen()?).await?;
    let console = Door::from(listening(&mut given, 1, settings.console_listen()?).await?);
    let proxies = if public.local_addr()?.ip().is_loopback() { Vec::new() } else { settings.trusted_proxies()? };
    let public = Door::behind(public, proxies);
    let mut stop = Box::pin(stopped());
    loop {
        if sealed(ground, &public, &mut stop).await?.is_some() {
            return Ok(());
        }
        let (vault, promise) = opened(ground).await?;
        match live(ground, vault, promise, (public.clone(), console.clone()), &mut stop).await? {
            Ended::Stopped => return Ok(()),
            Ended::ThereIsRoom => tracing::warn!("there is room on the disk again: the house is opened anew"),
        }
    }
}

/// As long as the root key cannot be had: takes what people take back, and nothing else. How it was told to stop meanwhile.
async fn sealed(
    ground: &Ground,
    public: &Door,
    stop: &mut Pin<Box<impl Future<Output = Signal>>>,
) -> anyhow::Result<Option<Signal>> {
    let root = ground.settings.root()?;
    // A folder that is not there yet is another mistake, and told as one.
    let Some(why) = root.away().filter(|_| ground.settings.data().join("house").exists()) else { return Ok(None) };
    if matches!(ground.settings.engine()?, EngineKind::Postgres(_)) {
        anyhow::bail!("{why}; over a database that nodes share nothing is taken while the root key is away");
    }
    let written = house::promise(ground)?;
    let (clock, rng): (Arc<dyn Clock>, Arc<dyn Rng>) = (Arc::new(SystemClock), Arc::new(SystemChance::default()));
    let addresses = Buckets::new(crate::admission::PER_ADDRESS, rng.as_ref());
    let house = SealedHouse::open(&ground.settings.data(), rng).with_context(|| why.clone())?;
    let ready = Arc::new(Readiness::default());
    ready.set(NotReady::Sealed, true);
    tracing::error!("sealed: {why}; only opt-outs are taken until the root key is there");
    let base_url = match ground.settings.base_url()? {
        Some(url) => url,
        None => format!("http://localhost:{}", public.local_addr()?.port()),
    };
    let machine = serde_json::json!({ "base_url": base_url, "sealed": why });
    ground.say.answer(&machine, format!("  sealed   {base_url}: {why}; only opt-outs are taken\n"))?;
    let doors = Arc::new(SealedDoors { house, promise: written.promise, clock, addresses, ready });
    let connections_max = connections_max(&ground.settings);
    let told = serve::serve_sealed(doors, public.clone(), connections_max, stop, || root.away().is_none()).await;
    if told.is_none() {
        tracing::info!("the root key is there: the house is opened");
    }
    Ok(told)
}

/// The house under the promise in force. Opening reads all of it: not on a thread that serves.
async fn opened(ground: &Ground) -> anyhow::Result<(Vault, Arc<promise::Promise>)> {
    tokio::task::block_in_place(|| {
        let (vault, written) = house::open(ground)?;
        if let Err(error) = promised::check_in_force(&vault, &written.promise) {
            vault.close()?;
            return Err(error);
        }
        Ok((vault, written.promise))
    })
}

/// A listener that the service manager opened and handed over (socket activation), so that a restart refuses nobody; else
/// one of our own.
async fn listening(given: &mut ListenFd, at: usize, address: SocketAddr) -> anyhow::Result<TcpListener> {
    match given.take_tcp_listener(at).context("taking over a listener from the service manager")? {
        Some(listener) => {
            listener.set_nonblocking(true)?;
            Ok(TcpListener::from_std(listener)?)
        }
        None => bind(address).await,
    }
}

async fn live(
    ground: &Ground,
    vault: Vault,
    promise: Arc<promise::Promise>,
    (public, console): (Door, Door),
    stop: &mut Pin<Box<impl Future<Output = Signal>>>,
) -> anyhow::Result<Ended> {
    let settings = &ground.settings;
    let base_url = match settings.base_url()? {
        Some(url) => url,
        None => format!("http://localhost:{}", public.local_addr()?.port()),
    };
    let console_url = format!("http://localhost:{}", console.local_addr()?.port());
    let base = BaseUrl::parse(&base_url).map_err(|error| Failure::usage(error.to_string()))?;
    let mailer = mail::mailer(settings, &promise, &vault, &base).await?;
    let assembly = Assembly::new(Parts {
        vault: vault.clone(),
        promise,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemChance::default()),
        console_at: console.local_addr()?,
        base_url: base_url.clone(),
        mailer,
        reach: settings.reach()?,
        rotate_at: settings.rotate_at()?,
        banner: None,
    })?;
    let invite = {
        let (vault, console_url) = (vault.clone(), console_url.clone());
        tokio::task::spawn_blocking(move || first_invite(&vault, &console_url)).await??
    };
    assembly.hear_sealed().await?;
    if let Err(error) = greet(ground, &base_url, &console_url, invite.as_deref()) {
        // Whoever read the first line may be gone when the house is opened anew.
        tracing::warn!(error = format!("{error:#}"), "nobody reads where the house is");
    }
    let limits = Limits { queue_wait_max: settings.queue_wait_max(), disk_kept_percent: settings.disk_kept_percent()? };
    let accepting = settings.stop_accept()?;
    let stop = async {
        match stop.await {
            Signal::Terminate => Stop::After(accepting),
            Signal::Interrupt => Stop::Now,
        }
    };
    serve::serve(assembly.limited(&limits), public, console, connections_max(settings), stop).await
}

/// One invite for the first member of staff: when nobody was ever invited.
fn first_invite(vault: &Vault, console_url: &str) -> anyhow::Result<Option<String>> {
    const INVITED: &str = "staff/first_invite";
    let snapshot = vault.snapshot();
    if snapshot.house_record(INVITED)?.is_some() || !snapshot.house_records("staff_invite/", 1)?.is_empty() {
        return Ok(None);
    }
    let invite = console::invite(vault, &SystemChance::default(), &StaffName::parse("first")?, Role::Marketer)?;
    vault.put_house_record(INVITED, Some(b"made".to_vec()))?.wait()?;
    Ok(Some(format!("{console_url}/enter/{}", invite.secret)))
}

/// Where everything is.
fn greet(ground: &Ground, base_url: &str, console_url: &str, invite: Option<&str>) -> anyhow::Result<()> {
    let machine = serde_json::json!({
        "base_url": base_url, "privacy": format!("{base_url}/privacy"), "console": console_url, "invite": invite,
    });
    let human = format!("  wire     {base_url}/v1\n  privacy  {base_url}/privacy\n  console  {console_url}/\n");
    ground.say.answer(&machine, human)?;
    if let Some(invite) = invite {
        ground.say.talk(format!("The first member of staff enters here, once, within 15 minutes:\n  {invite}"));
    }
    ground.say.talk("Ctrl-C finishes what is under way and stops.");
    Ok(())
}

async fn bind(at: SocketAddr) -> anyhow::Result<TcpListener> {
    listener::bind(at).await.with_context(|| format!("listening on {at}: is another program there? choose --listen"))
}

/// How the program is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, from a service manager.
    Terminate,
    /// Ctrl-C, from somebody who waits.
    Interrupt,
}

/// SIGTERM or Ctrl-C: finish what is under way. A second one: now, with exit code 5.
///
/// # Panics
/// Never: a system that gives no signals is waited on for ever.
pub async fn stopped() -> Signal {
    let first = signal().await;
    tracing::info!("stopping: finishing what is under way; once more to stop now");
    #[expect(clippy::disallowed_methods, reason = "the program starts tasks")]
    tokio::spawn(async {
        signal().await;
        std::process::exit(i32::from(Exit::CannotOpen as u8));
    });
    first
}

async fn signal() -> Signal {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = terminated => Signal::Terminate,
        () = interrupted => Signal::Interrupt,
    }
}
