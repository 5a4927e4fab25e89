//! The demonstration from the first to the last minute: a temporary folder, the made-up shop loaded, reviewed and started,
//! its mail server on the loopback, everything served until Ctrl-C, and nothing left behind.

use super::http::{LiveRow, Stage};
use super::lift::{self, Outcome};
use super::load::{self, Loaded};
use super::people::{self, Customer, Story};
use crate::chance::SystemChance;
use crate::clock::{Stopwatch, SystemClock};
use crate::command::apply;
use crate::loopback::Loopback;
use crate::rotation::TimeOfDay;
use crate::say::Say;
use crate::serve::{self, Assembly, Parts};
use crate::{house, listener, promised};
use anyhow::Context;
use collect::live::{Live, Seen};
use console::Role;
use decide::decide::is_held_out;
use decide::order::{self, Wish};
use deliver::dkim::{Algorithm, Key, RECORD_PREFIX, Signer};
use deliver::egress::{Authority, Patience, Relay, RelayConfig, TlsMode};
use deliver::outbox::Mailer;
use deliver::sink::{self, Inbox};
use deliver::{BaseUrl, Recipient, Sender};
use model::{At, CampaignName, Clock, Rng, SourceName, StaffName};
use promise::Promise;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::TcpListener;
use vault::{EngineKind, Identifier, IdentifierKind, Options, Vault};

/// Who reviews and starts things here; the pages say so.
const STAFF: &str = "Demo";
/// The campaign that is started.
const CAMPAIGN: &str = "win_back";
/// A zone whose clock is twelve hours ahead of the house's: it is quiet there now.
const ASLEEP_ZONE: &str = "Etc/GMT-12";
/// Connections served at the same time.
const CONNECTIONS_MAX: usize = 200;
/// Houses drawn until nobody with a story is left alone; each has about an even chance.
const HOUSES_MAX: usize = 64;
/// Commands that may wait for the committer.
const QUEUE_MAX: usize = 20_000;

/// What is asked of a demonstration.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// How many people.
    pub people: usize,
    /// The public port; the console takes the next one. `None` = 4000, or any when that is taken.
    pub port: Option<u16>,
    /// Which shop is drawn.
    pub seed: u64,
    /// After the send, simulate purchases with this true lift.
    pub true_lift: Option<f64>,
    /// End after the lift was measured.
    pub once: bool,
}

/// The four links.
#[derive(Debug, Clone, Serialize)]
pub struct Links {
    /// The made-up shop.
    pub shop: String,
    /// The company's pages.
    pub console: String,
    /// One person's own pages.
    pub portal: String,
    /// What was mailed.
    pub inbox: String,
}

impl Links {
    fn new(base: &str) -> Self {
        Self {
            shop: format!("{base}/"),
            console: format!("{base}/shop/staff"),
            portal: format!("{base}/shop/as/{}", Story::Lapsed.user_id()),
            inbox: format!("{base}/inbox"),
        }
    }
}

/// Runs the demonstration until `stop` ends.
///
/// # Errors
/// When it cannot be built; never because of what a visitor does.
pub async fn run<S>(wanted: Wanted, say: Say, stop: impl Future<Output = S>) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let folder = tempfile::Builder::new().prefix("fineline-demo-").tempdir().context("making a temporary folder")?;
    let (public, console) = listeners(wanted.port).await?;
    let base = format!("http://localhost:{}", public.local_addr()?.port());
    let console_url = format!("http://localhost:{}", console.local_addr()?.port());
    let text = promise_text(&base, SystemClock.now());
    let promise = Arc::new(promise::parse("demo.toml", &text).map_err(anyhow::Error::new)?);

    let rng: Arc<dyn Rng> = Arc::new(SystemChance::default());
    let customers = Arc::new(people::draw(wanted.people, wanted.seed));
    let mut stop = std::pin::pin!(stop);
    let halt = Arc::new(AtomicBool::new(false));
    let mut building = {
        let (promise, rng, customers, halt) = (promise.clone(), rng.clone(), customers.clone(), halt.clone());
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || build(&folder, &text, promise, rng, &customers, say, &halt))
    };
    let built = tokio::select! {
        built = &mut building => built??,
        _ = &mut stop => {
            halt.store(true, Ordering::SeqCst);
            // It ends at its next look, and closes its house.
            drop(building.await);
            folder.close().context("removing the temporary folder")?;
            return Ok(());
        }
    };
    let Built { vault, web_key, shop_key, loaded } = built;
    let n_lines = people::n_lines(&customers);
    say.talk(format!(
        "{} people, {} orders with {n_lines} lines, {} answers",
        customers.len(),
        loaded.n_kept,
        loaded.n_answers
    ));

    let (mailer, inbox, mailbox) = post(&vault, &promise, &base).await?;
    let server = Loopback::with_key(public.local_addr()?, &shop_key)?;
    let mut assembly = Assembly::new(Parts {
        vault: vault.clone(),
        promise: promise.clone(),
        clock: Arc::new(SystemClock),
        rng: rng.clone(),
        console_at: console.local_addr()?,
        base_url: base.clone(),
        mailer: Some(mailer),
        reach: deliver::egress::webhook::Reach::Public,
        rotate_at: TimeOfDay::NIGHT,
        banner: Some(format!(
            "This is a demonstration: everybody in it is made up, and staff “{STAFF}” reviewed and started everything."
        )),
    })?;
    let stage = Stage {
        server: server.clone(),
        inbox: inbox.clone(),
        write_key: web_key,
        promise: promise.clone(),
        live: live_rows(assembly.live.clone()),
        staff: staff_door(vault.clone(), console_url, rng.clone()),
        rng,
    };
    assembly.public = assembly.public.merge(super::http::routes(Arc::new(stage)));

    greet(say, &Links::new(&base), watch.elapsed().as_secs_f64())?;
    let report = async {
        let Some(true_lift) = wanted.true_lift else { return std::future::pending().await };
        let trial = lift::Trial { true_lift, seed: wanted.seed, campaign: campaign()? };
        let outcome = lift::run(&trial, &vault, &promise, &customers, &inbox, &server).await?;
        tell_lift(say, &outcome)?;
        if wanted.once { Ok(()) } else { std::future::pending().await }
    };
    let mut failed = None;
    let stop = async {
        tokio::select! {
            _ = &mut stop => {}
            done = report => failed = done.err(),
        }
    };
    let served = serve::serve(assembly, public, console, CONNECTIONS_MAX, stop).await;
    mailbox.abort();
    served?;
    folder.close().context("removing the temporary folder")?;
    say.talk("gone: nothing is left of it");
    failed.map_or(Ok(()), Err)
}

/// Port 4000 and the next one, or two that the system gives.
async fn listeners(port: Option<u16>) -> anyhow::Result<(TcpListener, TcpListener)> {
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let wanted = port.unwrap_or(4_000);
    let both =
        async { Ok::<_, std::io::Error>((listener::bind(at(wanted)).await?, listener::bind(at(next(wanted))).await?)) };
    match both.await {
        Ok(both) => Ok(both),
        Err(error) if port.is_some() => Err(error).with_context(|| format!("listening on port {wanted} and the next")),
        Err(_) => Ok((listener::bind(at(0)).await?, listener::bind(at(0)).await?)),
    }
}

const fn next(port: u16) -> u16 {
    if port == 0 { 0 } else { port.wrapping_add(1) }
}

/// The shop's promise with its address, and quiet hours that begin eight hours from now: so the shop is awake, and twelve
/// hours to the east it is night.
fn promise_text(base: &str, now: At) -> String {
    let clock = |hours: i64| format!("{:02}:00", (now.ms() / 3_600_000 + hours).rem_euclid(24));
    let quiet = format!("{}-{}", clock(8), clock(16));
    include_str!("promise.toml").replace("BASE_URL", base).replace("QUIET", &quiet)
}

struct Built {
    vault: Vault,
    web_key: String,
    shop_key: String,
    loaded: Loaded,
}

/// Makes the house, reviews, loads, understands, and starts the campaign.
fn build(
    folder: &Path,
    text: &str,
    promise: Arc<Promise>,
    rng: Arc<dyn Rng>,
    customers: &[Customer],
    say: Say,
    halt: &AtomicBool,
) -> anyhow::Result<Built> {
    let n_planted = customers.iter().filter(|customer| customer.story.is_some()).count();
    let (planted, others) = customers.split_at(n_planted);
    let vault = house_for(folder, text, &promise, &rng, planted)?;
    let filled = fill(&vault, &promise, customers, others, say, halt);
    if filled.is_err() {
        vault.close()?;
    }
    let (web_key, shop_key, loaded) = filled?;
    Ok(Built { vault, web_key, shop_key, loaded })
}

/// Everybody in, everything understood, the campaign started; the two write keys.
fn fill(
    vault: &Vault,
    promise: &Promise,
    customers: &[Customer],
    others: &[Customer],
    say: Say,
    halt: &AtomicBool,
) -> anyhow::Result<(String, String, Loaded)> {
    let goes_on = || if halt.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let key = |name: &str| anyhow::Ok(vault.issue_source_key(&SourceName::parse(name)?, false)?.wait()?);
    let (web_key, shop_key) = (key("web")?, key("shop")?);
    let bar = bar(say, others);
    let loaded = load::load(vault, promise, others, ASLEEP_ZONE, |n| {
        if let Some(bar) = &bar {
            bar.set_position(n as u64);
        }
        goes_on()
    })?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let mut follower = understand::follow::Follower::new();
    // Once more after the last: the audiences are counted when everybody has been served.
    while {
        let progress = follower.step(vault, 500)?;
        progress.n_left > 0 || progress.is_learnt
    } {
        anyhow::ensure!(goes_on().is_continue(), load::Halted);
    }
    follower.step(vault, 500)?;
    if people::audience(customers) >= promise.guard.smallest_group as usize {
        order::order(vault, promise, &campaign()?, Wish::Start, STAFF)?;
    } else {
        say.talk("Too few people for a campaign: an audience below the smallest group is refused.");
    }
    Ok((web_key, shop_key, loaded))
}

/// A house with the people who have a story. Who is left alone is drawn by chance; the house is drawn again until it is none
/// of them, so that each story can be seen.
fn house_for(
    folder: &Path,
    text: &str,
    promise: &Arc<Promise>,
    rng: &Arc<dyn Rng>,
    planted: &[Customer],
) -> anyhow::Result<Vault> {
    for number in 0..HOUSES_MAX {
        let options = Options {
            data: folder.join(format!("data-{number}")),
            engine: EngineKind::Fjall,
            root: folder.join(format!("keys-{number}")).join("root").into(),
            queue_max: QUEUE_MAX,
            witness: None,
        };
        let household = house::household_with(promise.clone(), Arc::new(SystemClock), rng.clone());
        Vault::create(&options, &household)?;
        let vault = Vault::open(&options, household)?;
        apply::review(&vault, &StaffName::parse(STAFF)?)?;
        promised::put(&vault, text)?;
        load::load(&vault, promise, planted, ASLEEP_ZONE, |_| ControlFlow::Continue(()))?;
        if !is_somebody_left_alone(&vault, promise, planted)? {
            return Ok(vault);
        }
        vault.close()?;
    }
    anyhow::bail!("{HOUSES_MAX} houses were drawn, and in each somebody with a story was left alone")
}

fn is_somebody_left_alone(vault: &Vault, promise: &Promise, planted: &[Customer]) -> anyhow::Result<bool> {
    let campaign = campaign()?;
    let permille = promise.campaigns.get(&campaign).map_or(0, |plan| plan.hold_out_permille);
    let snapshot = vault.snapshot();
    let alone = |customer: &Customer| {
        let user = Identifier { kind: IdentifierKind::User, value: customer.user_id.clone() };
        snapshot.find(&user).is_some_and(|person| is_held_out(&campaign, &person, permille))
    };
    Ok(planted.iter().any(alone))
}

fn campaign() -> anyhow::Result<CampaignName> {
    Ok(CampaignName::parse(CAMPAIGN)?)
}

fn bar(say: Say, customers: &[Customer]) -> Option<indicatif::ProgressBar> {
    let n_orders = customers.iter().map(|customer| customer.orders.len() as u64).sum();
    (say.is_watched() && !say.is_json()).then(|| {
        let bar = indicatif::ProgressBar::new(n_orders);
        let form = "a shop of its own: {wide_bar} {pos} of {len} orders";
        bar.set_style(
            indicatif::ProgressStyle::with_template(form).unwrap_or_else(|_| indicatif::ProgressStyle::default_bar()),
        );
        bar
    })
}

/// A mail server on the loopback, and everything that is needed to write to it.
async fn post(
    vault: &Vault,
    promise: &Promise,
    base: &str,
) -> anyhow::Result<(Mailer, Arc<Inbox>, tokio::task::JoinHandle<std::io::Result<()>>)> {
    let inbox = Arc::new(Inbox::new(Arc::new(SystemClock)));
    let listener = listener::bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let port = listener.local_addr()?.port();
    #[expect(clippy::disallowed_methods, reason = "the program starts tasks")]
    let mailbox = tokio::spawn(sink::serve(listener, inbox.clone()));
    let base = BaseUrl::parse(base)?;
    let relay = Relay::new(RelayConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: TlsMode::None,
        authority: Authority::Public,
        login: None,
        hello: base.host().to_owned(),
        connections: deliver::egress::CONNECTIONS_MAX,
        patience: Patience::default(),
        recipient: Recipient::relay("the inbox of this demonstration, on this machine", None),
    })?;
    relay.recipient().register(vault).await?;
    let sender = Sender::new(promise, "hello@corner.example", base)?;
    let key = Key::generate(Algorithm::Ed25519Sha256)?;
    vault.put_house_record(&format!("{RECORD_PREFIX}demo"), Some(key))?.await?;
    let signer = Signer::load(&vault.snapshot(), sender.domain())?;
    Ok((Mailer::new(sender, signer, relay)?, inbox, mailbox))
}

/// Anybody on this machine may be staff of a made-up shop: each visit makes an invite and follows it.
fn staff_door(vault: Vault, console_url: String, rng: Arc<dyn Rng>) -> Box<dyn Fn() -> Option<String> + Send + Sync> {
    Box::new(move || {
        let invite = console::invite(&vault, rng.as_ref(), &StaffName::parse(STAFF).ok()?, Role::Marketer).ok()?;
        Some(format!("{console_url}/enter/{}", invite.secret))
    })
}

fn live_rows(live: Live) -> Box<dyn Fn(usize) -> Vec<LiveRow> + Send + Sync> {
    Box::new(move |limit| live.newest(limit).iter().map(live_row).collect())
}

fn live_row(seen: &Seen) -> LiveRow {
    let mut outcome = seen.word.as_str().to_owned();
    if let Some(reason) = seen.reason {
        outcome.push_str(&format!(": {reason}"));
    }
    if let Some(line) = seen.line {
        outcome.push_str(&format!(" (promise line {line})"));
    }
    if !seen.cut.is_empty() {
        let names: Vec<&str> = seen.cut.iter().map(|cut| cut.name.as_str()).collect();
        outcome.push_str(&format!(", without {}", names.join(", ")));
    }
    let at = seen.at.timestamp().strftime("%H:%M:%S").to_string();
    LiveRow { at, source: seen.source.to_string(), event: seen.event.clone(), outcome }
}

fn greet(say: Say, links: &Links, seconds: f64) -> anyhow::Result<()> {
    let human = format!(
        "\n  shop     {}\n  console  {}\n  portal   {}\n  inbox    {}\n",
        links.shop, links.console, links.portal, links.inbox
    );
    say.answer(links, human)?;
    say.talk(format!(
        "Ready after {seconds:.1} s. Everybody here is made up; staff “{STAFF}” reviewed and started it all."
    ));
    say.talk("Ctrl-C ends it and leaves nothing behind. In earnest: fineline init");
    Ok(())
}

fn tell_lift(say: Say, outcome: &Outcome) -> anyhow::Result<()> {
    say.answer(&outcome.machine, &outcome.sentence)
}

#[cfg(test)]
mod tests {
    use super::super::catalogue;
    use super::*;

    #[test]
    fn the_shop_is_awake_when_it_starts_and_twelve_hours_east_it_is_night() {
        for hour in 0..24 {
            let now = At::from_ms(1_795_000_000_000 + hour * 3_600_000);
            let text = promise_text("http://localhost:4000", now);
            let (promise, warnings) = promise::parse_with_warnings("demo.toml", &text).unwrap();
            assert!(warnings.diagnostics.is_empty(), "{warnings}");
            let asleep = promise::Zone { name: ASLEEP_ZONE.to_owned(), is_stated: false };
            let until = |zone| promise.cap.quiet_until(&promise.zone, zone, now);
            assert_eq!(until(None), None, "hour {hour}");
            assert!(until(Some(&asleep)).is_some_and(|at| at > now), "hour {hour}");
        }
    }

    #[test]
    fn every_shelf_is_a_taste_that_can_be_stated() {
        let text = promise_text("http://localhost:4000", At::from_ms(0));
        let promise = promise::parse("demo.toml", &text).unwrap();
        let field = promise.fields.values().find(|field| field.name.as_str() == "favourite_group").unwrap();
        let plain = catalogue::SHELVES.iter().filter(|shelf| shelf.class == model::Class::Plain);
        assert_eq!(field.one_of, plain.map(|shelf| shelf.group).collect::<Vec<_>>());
    }
}
