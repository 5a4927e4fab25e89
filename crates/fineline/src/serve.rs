//! The house assembled: rooms behind two routers, jobs for the pump, and the life of a serving process from its listeners
//! to its last request. What each room does is its own affair.

use crate::clock::Stopwatch;
use crate::http::{Readiness, guarded, operator_routes, own_routes};
use crate::listener::Door;
use crate::pump::{Did, Job, Pump};
use crate::rotation::{TimeOfDay, rotating};
use crate::{listener, telemetry};
use anyhow::Context;
use axum::Router;
use deliver::outbox::Mailer;
use model::{Clock, Day, Rng};
use promise::Promise;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use utoipa::OpenApi;
use vault::{Vault, VaultError};

/// People looked at in one step of a campaign.
const PEOPLE_PER_STEP: usize = 200;
/// Messages tried in one step of the outbox.
const MESSAGES_PER_STEP: usize = 200;
/// Profiles followed in one step of understanding.
const PROFILES_PER_STEP: usize = 200;
/// How often the date is looked at, to sweep once a day.
const SWEEP_LOOK: Duration = Duration::from_secs(60);
/// How long after a note that failed the next one is tried.
const WITNESS_REST: Duration = Duration::from_secs(60);
/// How often a node that does not do what recurs looks whether it is its turn.
const LEAD_LOOK: Duration = Duration::from_secs(2);
/// How often readiness is looked at.
const READY_LOOK: Duration = Duration::from_millis(500);

/// What the rooms are assembled from.
pub struct Parts {
    /// The open house.
    pub vault: Vault,
    /// Its promise.
    pub promise: Arc<Promise>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// The listener for staff, and for the operator with the pass.
    pub console_at: SocketAddr,
    /// How people reach the public listener, without a slash at the end.
    pub base_url: String,
    /// How mail leaves; without it messages wait.
    pub mailer: Option<Mailer>,
    /// When the keys are rotated.
    pub rotate_at: TimeOfDay,
    /// Said on every page of the console.
    pub banner: Option<String>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parts({})", self.base_url)
    }
}

/// The house, ready to be served.
pub struct Assembly {
    /// The open house.
    pub vault: Vault,
    /// What people, sites and servers reach, limits not yet around it.
    pub public: Router,
    /// What staff reach.
    pub console: Router,
    /// What keeps the rooms going.
    pub jobs: Vec<Job>,
    /// The last thousand outcomes at the gate, without values.
    pub live: collect::live::Live,
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({} jobs)", self.jobs.len())
    }
}

impl Assembly {
    /// Puts the rooms together. Opens no socket and starts nothing.
    ///
    /// # Errors
    /// When a room refuses its settings, or the operator's pass cannot be written.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let Parts { vault, promise, clock, rng, console_at, base_url, mailer, rotate_at, banner } = parts;
        let live = collect::live::Live::default();
        let collect = Arc::new(collect::State {
            vault: vault.clone(),
            promise: promise.clone(),
            live: live.clone(),
            rng: rng.clone(),
            base_url: base_url.clone(),
        });
        let decide = Arc::new(decide::http::Door::new(vault.clone(), rng.clone(), &base_url));
        let portal = Arc::new(portal::State::new(vault.clone(), &base_url, rng.clone()));
        let staff = console::State::new(vault.clone(), promise, live.clone(), rng.clone());
        let staff = match banner {
            Some(banner) => staff.with_banner(banner),
            None => staff,
        };
        let public = Router::new()
            .merge(collect::http::routes(collect))
            .merge(decide::http::routes(decide))
            .merge(portal::routes(portal.clone()));
        let jobs = jobs(&vault, rng, clock, mailer, rotate_at)?;
        let operator = operator_routes(vault.clone(), vault.issue_pass(console_at)?);
        // Here the operator's `audit pack` finds the log, wherever the public listener stands.
        let console = console::routes(Arc::new(staff)).merge(operator).merge(portal::log_routes(portal));
        Ok(Self { vault, public, console, jobs, live })
    }
}

/// The API of every room as one description.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut api = collect::http::Api::openapi();
    api.merge(decide::http::Api::openapi());
    api.merge(portal::Api::openapi());
    api.info.title = "Fineline".to_owned();
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    api
}

fn jobs(
    vault: &Vault,
    rng: Arc<dyn Rng>,
    clock: Arc<dyn Clock>,
    mailer: Option<Mailer>,
    rotate_at: TimeOfDay,
) -> anyhow::Result<Vec<Job>> {
    let (understanding, deciding) = (understanding(vault.clone()), deciding(vault.clone(), rng));
    let (sweeping, rotating) = (sweeping(vault.clone(), clock.clone()), rotating(vault.clone(), clock, rotate_at));
    let mut jobs = vec![understanding, deciding, sweeping, rotating];
    match mailer {
        Some(mailer) => jobs.push(delivering(vault.clone(), mailer)?),
        None => tracing::warn!("no `relay` is set: messages wait in the outbox"),
    }
    let mut jobs: Vec<Job> = jobs.into_iter().map(|job| leading(vault.clone(), job)).collect();
    jobs.push(witnessing(vault.clone()));
    Ok(jobs)
}

/// What a step's error means: a vault that is closed while serving is the end, everything else is tried again.
fn judged<T, E>(done: Result<T, E>, did: impl FnOnce(T) -> Did) -> anyhow::Result<Did>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match done {
        Ok(done) => Ok(did(done)),
        Err(error) => {
            let error = anyhow::Error::new(error);
            let closed = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(VaultError::Closed)));
            if closed { Ok(Did::Over) } else { Err(error) }
        }
    }
}

/// Where several nodes share a store, one of them does what recurs; the others look whether it is their turn.
fn leading(vault: Vault, job: Job) -> Job {
    let Job { name, mut step } = job;
    let step = move || if vault.is_leading() { step() } else { Ok(Did::NothingFor(LEAD_LOOK)) };
    Job { name, step: Box::new(step) }
}

fn understanding(vault: Vault) -> Job {
    let mut follower = understand::follow::Follower::new();
    let step = move || {
        let done = follower.step(&vault, PROFILES_PER_STEP);
        judged(done, |progress| if progress.n_served > 0 { Did::Something } else { Did::Nothing })
    };
    Job { name: "understand", step: Box::new(step) }
}

fn deciding(vault: Vault, rng: Arc<dyn Rng>) -> Job {
    let mut runs = decide::run::Runs::new();
    let step = move || {
        let done = runs.step(&vault, rng.as_ref(), PEOPLE_PER_STEP);
        judged(done, |progress| if progress.n_asked > 0 { Did::Something } else { Did::Nothing })
    };
    Job { name: "decide", step: Box::new(step) }
}

/// The outbox is asynchronous and has a small runtime of its own, so that slow relays hold up nobody.
fn delivering(vault: Vault, mailer: Mailer) -> anyhow::Result<Job> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let step = move || {
        let done = runtime.block_on(deliver::outbox::step(&vault, &mailer, MESSAGES_PER_STEP));
        judged(
            done,
            |progress| if progress.is_more && progress.stopped.is_none() { Did::Something } else { Did::Nothing },
        )
    };
    Ok(Job { name: "deliver", step: Box::new(step) })
}

/// Once after the start and once on every new day.
fn sweeping(vault: Vault, clock: Arc<dyn Clock>) -> Job {
    let mut swept_on: Option<Day> = None;
    let step = move || {
        let today = clock.now().day();
        if swept_on == Some(today) {
            return Ok(Did::NothingFor(SWEEP_LOOK));
        }
        let done = vault.sweep().and_then(vault::Pending::wait);
        judged(done, |swept| {
            metrics::counter!("fineline_program_swept_records_total").increment(swept.n_records);
            tracing::info!(
                records = swept.n_records,
                day_secrets = swept.n_day_secrets,
                "swept what had outlived its date"
            );
            swept_on = Some(today);
            Did::NothingFor(SWEEP_LOOK)
        })
    };
    Job { name: "sweep", step: Box::new(step) }
}

/// Growth and erasures are noted on the second disk. That it is away is told and tried again, and stops nothing.
fn witnessing(vault: Vault) -> Job {
    let step = move || {
        let noted = vault.witness();
        let outcome = if noted.is_ok() { "noted" } else { "failed" };
        match noted {
            Ok(false) => return Ok(Did::Nothing),
            Ok(true) => {}
            Err(VaultError::Closed) => return Ok(Did::Over),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the witness could not be told how far the log reaches"
                );
            }
        }
        metrics::counter!("fineline_program_witness_notes_total", "outcome" => outcome).increment(1);
        Ok(if outcome == "noted" { Did::Nothing } else { Did::NothingFor(WITNESS_REST) })
    };
    Job { name: "witness", step: Box::new(step) }
}

/// Serves until `stop` ends or a job cannot go on; then lets go in order: no new connections, no new steps, the queue
/// drained, the folder closed.
///
/// # Errors
/// When a job panicked or the vault stopped, or closing fails.
pub async fn serve(
    assembly: Assembly,
    public: impl Into<Door>,
    console: TcpListener,
    connections_max: usize,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let Assembly { vault, public: routes, console: staff_routes, jobs, live: _ } = assembly;
    let ready = Arc::new(Readiness::default());
    let own = own_routes(ready.clone(), telemetry::metrics()?, openapi().to_json()?, vault.clone());
    let routes = guarded(routes.merge(own));
    let (stops, stopped) = watch::channel(false);
    let pump = Pump::start(jobs)?;
    let mut broken = pump.broken();
    let public = listener::serve(public.into(), routes, connections_max, stopped.clone());
    let console = listener::serve(console.into(), guarded(staff_routes), connections_max, stopped);
    ready.set(true);
    let watch = Stopwatch::start();
    let ends = async {
        let look = async {
            loop {
                ready.set(pump.is_well());
                tokio::time::sleep(READY_LOOK).await;
            }
        };
        tokio::select! {
            () = stop => false,
            _ = broken.wait_for(|broken| *broken) => true,
            () = look => true,
        }
    };
    let lives = async {
        let broke = ends.await;
        ready.set(false);
        stops.send_replace(true);
        broke
    };
    let (broke, (), ()) = tokio::join!(lives, public, console);
    tokio::task::spawn_blocking(move || {
        pump.stop();
        vault.close()
    })
    .await?
    .context("closing the data folder")?;
    tracing::info!(seconds = watch.elapsed().as_secs(), "closed");
    anyhow::ensure!(!broke, "a part of the program stopped: see the log above");
    Ok(())
}
