//! The house assembled: rooms behind two routers, jobs for the pump, and the life of a serving process from its listeners
//! to its last request. What each room does is its own affair.

use crate::admission::Admission;
use crate::clock::Stopwatch;
use crate::clock_step::{Vouched, trusting, watching};
use crate::http::{
    SealedDoors, admitted, aside, guarded, heard, operator_routes, own_routes, sealed_routes, watched_over,
};
use crate::listener::Door;
use crate::pump::{Did, Job, Pump};
use crate::readiness::{NotReady, Readiness};
use crate::rotation::{TimeOfDay, rotating};
use crate::{listener, telemetry};
use anyhow::Context;
use axum::Router;
use deliver::egress::webhook::{Caller, Reach};
use deliver::outbox::Mailer;
use http::StatusCode;
use model::{Buckets, Clock, Day, Rng};
use promise::Promise;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use utoipa::OpenApi;
use vault::{DISK_KEPT_PERCENT, DiskRoom, DiskState, Urgency, Vault, VaultError};

/// People looked at in one step of a campaign.
const PEOPLE_PER_STEP: usize = 200;
/// Messages tried in one step of the outbox.
const MESSAGES_PER_STEP: usize = 200;
/// Profiles followed in one step of understanding.
const PROFILES_PER_STEP: usize = 200;
/// Calls to recipients in one step.
const CALLS_PER_STEP: usize = 20;
/// How often it is looked whether a recipient is to be told.
const CALL_LOOK: Duration = Duration::from_secs(1);
/// How often the date is looked at, to sweep once a day.
const SWEEP_LOOK: Duration = Duration::from_secs(60);
/// How long after a note that failed the next one is tried.
const WITNESS_REST: Duration = Duration::from_secs(60);
/// How often a node that does not do what recurs looks whether it is its turn.
const LEAD_LOOK: Duration = Duration::from_secs(2);
/// How often readiness is looked at.
const READY_LOOK: Duration = Duration::from_millis(500);
/// How often the disk is looked at.
const DISK_LOOK: Duration = Duration::from_secs(1);
/// People's own acts and pages that are worked on at the same time, and everything else that may wait for a disk.
const PERSON_TURNS: usize = 64;
const OTHER_TURNS: usize = 32;
/// Work is turned away from the queue itself after so many times the wait at which new work is turned away at the door.
const GIVEN_UP_AFTER_WAITS: u32 = 10;
/// How long the jobs may take for the steps under way, once nobody is connected any more.
const STEPS_MAX: Duration = Duration::from_secs(5);

/// How much a house takes on, and how it lets go.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Events are turned away while the oldest in the queue waits longer than this.
    pub queue_wait_max: Duration,
    /// The disk counts as full when less of it is free, in hundredths.
    pub disk_kept_percent: u8,
}

impl Default for Limits {
    /// As much as comes, on all of the disk but its last 2 %.
    fn default() -> Self {
        Self { queue_wait_max: Duration::MAX, disk_kept_percent: DISK_KEPT_PERCENT }
    }
}

/// How the program was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// No new connections from now on.
    Now,
    /// Readiness off, and connections taken for so long: whoever sends them here has to notice first.
    After(Duration),
}

impl From<()> for Stop {
    fn from((): ()) -> Self {
        Self::Now
    }
}

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// The store broke off on a full disk, and there is room again: the house has to be opened anew.
    ThereIsRoom,
}

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
    /// Which addresses of recipients may be dialled.
    pub reach: Reach,
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
    /// Whether it may be sent work.
    pub ready: Arc<Readiness>,
    /// The store broke off on a full disk, and there is room again.
    there_is_room: watch::Receiver<bool>,
    admission: Admission,
    /// Where it stands on the disk.
    disk: Job,
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
        let Parts { vault, promise, clock, rng, console_at, base_url, mailer, reach, rotate_at, banner } = parts;
        let live = collect::live::Live::default();
        let admission = Admission::new(vault.clone(), promise.clone(), clock.clone(), rng.clone());
        let collect = Arc::new(collect::State {
            vault: vault.clone(),
            promise: promise.clone(),
            live: live.clone(),
            rng: rng.clone(),
            base_url: base_url.clone(),
            subjects: Buckets::new(collect::PER_SUBJECT, rng.as_ref()),
        });
        let decide = Arc::new(decide::http::Door::new(vault.of(Urgency::Decision), rng.clone(), &base_url));
        let portal = Arc::new(portal::State::new(vault.of(Urgency::Person), &base_url, rng.clone()));
        let staff = console::State::new(vault.of(Urgency::Decision), promise, live.clone(), rng.clone());
        let staff = match banner {
            Some(banner) => staff.with_banner(banner),
            None => staff,
        };
        // Answers of people, and whatever reads the store, wait for the disk on threads of their own.
        let public = Router::new()
            .merge(collect::http::routes(collect.clone()))
            .merge(aside(collect::http::consent_routes(collect), PERSON_TURNS))
            .merge(aside(decide::http::routes(decide), OTHER_TURNS))
            .merge(aside(portal::routes(portal.clone()), PERSON_TURNS));
        let ready = Arc::new(Readiness::default());
        ready.set(NotReady::Starting, true);
        let mut jobs = jobs(&vault.of(Urgency::Background), rng.clone(), clock, mailer, rotate_at, &ready)?;
        jobs.push(leading(vault.clone(), telling(vault.clone(), Caller::new(reach)?, rng)?));
        let (disk, there_is_room) = minding_disk(vault.clone(), ready.clone(), DISK_KEPT_PERCENT);
        let operator = operator_routes(vault.clone(), vault.issue_pass(console_at)?);
        // Here the operator's `audit pack` finds the log, wherever the public listener stands.
        let pages = aside(console::routes(Arc::new(staff)).merge(portal::log_routes(portal)), OTHER_TURNS);
        let console = pages.merge(operator);
        Ok(Self { vault, public, console, jobs, live, ready, there_is_room, admission, disk })
    }

    /// Lets the doors hear what people said while the root key was away, before they hear anybody else. What the house could
    /// not take just now is kept for the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn hear_sealed(&self) -> anyhow::Result<()> {
        let acts = self.vault.sealed_acts();
        let (mut n_heard, n_acts) = (0_usize, acts.len());
        for (number, act) in acts {
            let outcome = match act {
                Ok(act) => match heard(&self.public, act).await {
                    status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => "kept",
                    status if status.is_success() => "obeyed",
                    _ => "refused",
                },
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "an opt-out taken while sealed does not open"
                    );
                    "unreadable"
                }
            };
            metrics::counter!("fineline_program_sealed_acts_total", "outcome" => outcome).increment(1);
            if outcome != "kept" {
                let vault = self.vault.clone();
                tokio::task::spawn_blocking(move || vault.sealed_done(&[number])).await??;
                n_heard += 1;
            }
        }
        if n_acts > 0 {
            tracing::info!(heard = n_heard, kept = n_acts - n_heard, "heard what was said while the root key was away");
        }
        Ok(())
    }

    /// Under these limits.
    #[must_use]
    pub fn limited(mut self, limits: &Limits) -> Self {
        (self.disk, self.there_is_room) =
            minding_disk(self.vault.clone(), self.ready.clone(), limits.disk_kept_percent);
        self.vault.waits_at_most(limits.queue_wait_max.saturating_mul(GIVEN_UP_AFTER_WAITS));
        Self { admission: self.admission.waiting_at_most(limits.queue_wait_max), ..self }
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
    ready: &Arc<Readiness>,
) -> anyhow::Result<Vec<Job>> {
    let (understanding, deciding) = (understanding(vault.clone()), deciding(vault.clone(), rng));
    // Before whatever deletes by date: it has looked by then.
    let vouched = Arc::new(Vouched::default());
    let clocks = watching(vault.clone(), clock.clone(), ready.clone(), vouched.clone());
    let sweeping = trusting(ready.clone(), vouched.clone(), sweeping(vault.clone(), clock.clone()));
    let rotating = trusting(ready.clone(), vouched, rotating(vault.clone(), clock, rotate_at));
    let mut jobs = vec![understanding, deciding, sweeping, rotating];
    match mailer {
        Some(mailer) => jobs.push(delivering(vault.of(Urgency::Decision), mailer)?),
        None => tracing::warn!("no `relay` is set: messages wait in the outbox"),
    }
    // Each process has a clock of its own to mistrust.
    let shared = jobs.into_iter().map(|job| leading(vault.clone(), job));
    Ok(std::iter::once(clocks).chain(shared).chain([witnessing(vault.clone())]).collect())
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

/// Recipients are told of erasures, on a small runtime of its own as well. The secrets that sign are made first.
fn telling(vault: Vault, caller: Caller, rng: Arc<dyn Rng>) -> anyhow::Result<Job> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut has_secrets = false;
    let step = move || {
        if !has_secrets {
            let made = runtime.block_on(deliver::make_secrets(&vault, rng.as_ref()));
            let done = judged(made, |()| Did::Something)?;
            has_secrets = true;
            return Ok(done);
        }
        let done = runtime.block_on(deliver::call::step(&vault, &caller, CALLS_PER_STEP));
        judged(done, |progress| if progress.ended.is_empty() { Did::NothingFor(CALL_LOOK) } else { Did::Something })
    };
    Ok(Job { name: "tell", step: Box::new(step) })
}

/// Once after the start and once on every new day.
pub(crate) fn sweeping(vault: Vault, clock: Arc<dyn Clock>) -> Job {
    let mut swept_on: Option<Day> = None;
    let step = move || {
        let today = clock.now().day();
        if swept_on == Some(today) {
            return Ok(Did::NothingFor(SWEEP_LOOK));
        }
        let done = vault.sweep().and_then(vault::Pending::wait);
        judged(done, |swept| {
            metrics::counter!("fineline_program_swept_records_total").increment(swept.n_records);
            metrics::counter!("fineline_program_lapsed_answers_total").increment(swept.n_lapsed);
            metrics::counter!("fineline_program_left_people_total").increment(swept.n_left);
            metrics::counter!("fineline_program_reminders_total").increment(swept.n_reminded);
            tracing::info!(
                records = swept.n_records,
                day_secrets = swept.n_day_secrets,
                lapsed = swept.n_lapsed,
                left = swept.n_left,
                reminded = swept.n_reminded,
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

/// Serves a house whose root key is away, until it is told to stop (true) or the key is there (false).
///
/// # Errors
/// Never; it looks like [`serve`].
pub async fn serve_sealed<S>(
    doors: Arc<SealedDoors>,
    public: Door,
    connections_max: usize,
    stop: impl Future<Output = S>,
    is_back: impl Fn() -> bool,
) -> Option<S> {
    let routes = watched_over(sealed_routes(doors));
    let (stops, stopped) = watch::channel(false);
    let served = listener::serve(public, routes, connections_max, stopped);
    let ends = async {
        let look = async {
            while !is_back() {
                tokio::time::sleep(READY_LOOK).await;
            }
        };
        let ended = tokio::select! {
            stop = stop => Some(stop),
            () = look => None,
        };
        stops.send_replace(true);
        ended
    };
    tokio::join!(ends, served).0
}

/// Lets the ballast go when the disk fills up, and says so; tells when a house that broke off can be opened anew.
fn minding_disk(vault: Vault, ready: Arc<Readiness>, kept_percent: u8) -> (Job, watch::Receiver<bool>) {
    let (tells, told) = watch::channel(false);
    let step = move || {
        let state = match vault.mind_disk(kept_percent) {
            Ok(state) => state,
            Err(VaultError::Closed) => return Ok(Did::Over),
            Err(error) => return Err(error.into()),
        };
        let DiskState { room, is_broken_off, .. } = state;
        ready.set(NotReady::DiskFull, room == DiskRoom::Full || is_broken_off);
        ready.set(NotReady::DiskLow, room == DiskRoom::Low);
        if is_broken_off && room != DiskRoom::Full {
            tells.send_replace(true);
        }
        Ok(Did::NothingFor(DISK_LOOK))
    };
    (Job { name: "disk", step: Box::new(step) }, told)
}

/// Serves until `stop` ends or a job cannot go on; then lets go in order: readiness off, no new steps, for a while the
/// connections that still come, then those under way, the queue drained, the folder closed.
///
/// # Errors
/// When a job panicked or the vault stopped, or closing fails.
pub async fn serve<S: Into<Stop>>(
    assembly: Assembly,
    public: impl Into<Door>,
    console: impl Into<Door>,
    connections_max: usize,
    stop: impl Future<Output = S>,
) -> anyhow::Result<Ended> {
    let Assembly {
        vault,
        public: routes,
        console: staff_routes,
        mut jobs,
        ready,
        there_is_room,
        admission,
        disk,
        live: _,
    } = assembly;
    let (public, console) = (public.into(), console.into());
    let admission = Arc::new(admission.behind(public.proxies().to_vec()));
    let own = own_routes(ready.clone(), telemetry::metrics()?, openapi().to_json()?, vault.clone());
    let routes = guarded(admitted(routes.merge(own), admission));
    let (stops, stopped) = watch::channel(false);
    jobs.push(disk);
    let pump = Pump::start(jobs)?;
    let (mut broken, mut there_is_room) = (pump.broken(), there_is_room);
    let public = listener::serve(public, routes, connections_max, stopped.clone());
    let console = listener::serve(console, guarded(staff_routes), connections_max, stopped);
    ready.set(NotReady::Starting, false);
    let watch = Stopwatch::start();
    let ends = async {
        let look = async {
            loop {
                ready.set(NotReady::Broken, !pump.is_well());
                tokio::time::sleep(READY_LOOK).await;
            }
        };
        let room = async {
            // Whoever would tell is gone with the jobs, and with them everything.
            if there_is_room.wait_for(|there_is_room| *there_is_room).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            stop = stop => Ok((Ended::Stopped, stop.into())),
            () = room => Ok((Ended::ThereIsRoom, Stop::Now)),
            _ = broken.wait_for(|broken| *broken) => Err(()),
            () = look => Err(()),
        }
    };
    let lives = async {
        let ended = ends.await;
        ready.set(NotReady::Stopping, true);
        // A message that is being sent is finished; the next one is not begun.
        pump.brake();
        if let Ok((_, Stop::After(accepting))) = ended {
            tokio::time::sleep(accepting).await;
        }
        stops.send_replace(true);
        ended.map(|(ended, _)| ended)
    };
    let (ended, (), ()) = tokio::join!(lives, public, console);
    tokio::task::spawn_blocking(move || {
        if !pump.stop(STEPS_MAX) {
            tracing::warn!("a step that waits for another machine is left behind");
        }
        vault.close()
    })
    .await?
    .context("closing the data folder")?;
    tracing::info!(seconds = watch.elapsed().as_secs(), "closed");
    ended.map_err(|()| anyhow::anyhow!("a part of the program stopped: see the log above"))
}
