//! `fineline serve`: the house on its two listeners, until it is told to stop.

use crate::chance::SystemChance;
use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::exit::{Exit, Failure};
use crate::listener::Door;
use crate::serve::{Assembly, Parts};
use crate::{house, listener, mail, promised, serve, telemetry};
use anyhow::Context;
use console::Role;
use deliver::BaseUrl;
use model::StaffName;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use vault::Vault;

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
    telemetry::start_log(ground.settings.logs_json()?, ground.settings.text("log_level"), ground.say.has_colour());
    let (vault, written) = house::open(ground)?;
    if let Err(error) = promised::check_in_force(&vault, &written.promise) {
        vault.close()?;
        return Err(error);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(live(ground, vault, written.promise))?;
    Ok(Exit::Fine)
}

async fn live(ground: &Ground, vault: Vault, promise: Arc<promise::Promise>) -> anyhow::Result<()> {
    let settings = &ground.settings;
    let public = bind(settings.listen()?).await?;
    let console = bind(settings.console_listen()?).await?;
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
    greet(ground, &base_url, &console_url, invite.as_deref())?;
    let proxies = if public.local_addr()?.ip().is_loopback() { Vec::new() } else { settings.trusted_proxies()? };
    serve::serve(assembly, Door::behind(public, proxies), console, settings.connections_max(), stopped()).await
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

/// SIGTERM or Ctrl-C: finish what is under way. A second one: now.
///
/// # Panics
/// Never: a system that gives no signals is waited on for ever.
pub async fn stopped() {
    signal().await;
    tracing::info!("stopping: finishing what is under way; once more to stop now");
    #[expect(clippy::disallowed_methods, reason = "the program starts tasks")]
    tokio::spawn(async {
        signal().await;
        std::process::exit(i32::from(Exit::CannotOpen as u8));
    });
}

async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { std::future::pending::<()>().await },
    }
}
