//! The pump keeps the rooms going: each job is a small bounded step on a thread of its own, again and again, faster while
//! there is something to do. A job that fails rests and is tried again; one that panics stops the program: nothing dies
//! silently. It knows nothing of what a step does.

use crate::clock::Stopwatch;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;

/// Pause after a step that found nothing to do.
const IDLE: Duration = Duration::from_millis(200);
/// How often to look whether a step has ended, while stopping.
const LOOK: Duration = Duration::from_millis(5);
/// Shortest and longest rest after a failure.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Failures in a row after which the house says that it is not ready.
const FAILURES_MAX: u32 = 3;

/// What a step found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// Work; there may be more.
    Something,
    /// Nothing to do now.
    Nothing,
    /// Nothing to do for so long.
    NothingFor(Duration),
    /// The job is over for good, as the vault is closed.
    Over,
}

/// One bounded step.
pub type Step = Box<dyn FnMut() -> anyhow::Result<Did> + Send>;

/// A named job.
pub struct Job {
    /// The room's word, in log and metrics.
    pub name: &'static str,
    /// What it does.
    pub step: Step,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({})", self.name)
    }
}

/// All jobs, running.
pub struct Pump {
    brake: Arc<Brake>,
    threads: Vec<JoinHandle<()>>,
    failing: Arc<AtomicU32>,
    broken: watch::Receiver<bool>,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pump({} jobs)", self.threads.len())
    }
}

/// Stops threads, also in the middle of a pause.
#[derive(Default)]
struct Brake {
    on: Mutex<bool>,
    pulled: Condvar,
}

impl Brake {
    fn pull(&self) {
        *self.on.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.pulled.notify_all();
    }

    /// Waits so long, or until the brake is pulled; says whether it is.
    fn wait(&self, pause: Duration) -> bool {
        let on = self.on.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.pulled.wait_timeout_while(on, pause, |on| !*on);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Pump {
    /// Starts every job.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(jobs: Vec<Job>) -> anyhow::Result<Self> {
        let brake = Arc::new(Brake::default());
        let failing = Arc::new(AtomicU32::new(0));
        let (breaks, broken) = watch::channel(false);
        let mut threads = Vec::new();
        for job in jobs {
            let worker = Worker { brake: brake.clone(), failing: failing.clone(), breaks: breaks.clone() };
            threads.push(std::thread::Builder::new().name(job.name.to_owned()).spawn(move || worker.run(job))?);
        }
        Ok(Self { brake, threads, failing, broken })
    }

    /// Whether no job has been failing for long.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.failing.load(Ordering::SeqCst) == 0 && !*self.broken.borrow()
    }

    /// Becomes true when a job panicked: the program has to end.
    #[must_use]
    pub fn broken(&self) -> watch::Receiver<bool> {
        self.broken.clone()
    }

    /// No new steps from now on; those under way go on.
    pub fn brake(&self) {
        self.brake.pull();
    }

    /// Lets every job finish its step, then ends them. Whether all of them ended in time: a step that waits for another machine
    /// is left behind, and ends with the process.
    pub fn stop(self, within: Duration) -> bool {
        self.brake.pull();
        let watch = Stopwatch::start();
        for thread in self.threads {
            while !thread.is_finished() {
                if watch.elapsed() >= within {
                    return false;
                }
                std::thread::sleep(LOOK);
            }
            // Its panic was told already.
            let _ = thread.join();
        }
        true
    }
}

struct Worker {
    brake: Arc<Brake>,
    failing: Arc<AtomicU32>,
    breaks: watch::Sender<bool>,
}

impl Worker {
    fn run(&self, mut job: Job) {
        let mut n_failures = 0;
        loop {
            let watch = Stopwatch::start();
            let Ok(did) = std::panic::catch_unwind(AssertUnwindSafe(&mut job.step)) else {
                tracing::error!(job = job.name, "a job panicked: the program stops");
                self.breaks.send_replace(true);
                return;
            };
            let outcome = if did.is_ok() { "done" } else { "failed" };
            metrics::counter!("fineline_program_pump_steps_total", "job" => job.name, "outcome" => outcome)
                .increment(1);
            let pause = match did {
                Ok(did) => {
                    if n_failures >= FAILURES_MAX {
                        self.failing.fetch_sub(1, Ordering::SeqCst);
                    }
                    n_failures = 0;
                    match did {
                        Did::Something => Duration::ZERO,
                        Did::Nothing => IDLE,
                        Did::NothingFor(pause) => pause,
                        Did::Over => return,
                    }
                }
                Err(error) => {
                    n_failures += 1;
                    if n_failures == FAILURES_MAX {
                        self.failing.fetch_add(1, Ordering::SeqCst);
                    }
                    tracing::error!(job = job.name, n_failures, error = format!("{error:#}"), "a step failed");
                    rest(n_failures)
                }
            };
            metrics::histogram!("fineline_program_pump_step_seconds", "job" => job.name).record(watch.elapsed());
            if self.brake.wait(pause) {
                return;
            }
        }
    }
}

/// 1 s, 2 s, 4 s … 60 s.
fn rest(n_failures: u32) -> Duration {
    REST.0.saturating_mul(1 << n_failures.saturating_sub(1).min(10)).min(REST.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn job(name: &'static str, step: impl FnMut() -> anyhow::Result<Did> + Send + 'static) -> Job {
        Job { name, step: Box::new(step) }
    }

    #[test]
    fn a_job_goes_on_while_there_is_something_to_do_and_ends_when_told() {
        let (tell, told) = mpsc::channel();
        let mut left = 5;
        let pump = Pump::start(vec![job("count", move || {
            left -= 1;
            tell.send(left)?;
            Ok(if left > 0 { Did::Something } else { Did::NothingFor(Duration::from_secs(3_600)) })
        })])
        .unwrap();
        assert_eq!(told.iter().take(5).collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
        assert!(pump.is_well());
        assert!(pump.stop(Duration::from_secs(60)));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn a_panicking_job_is_not_passed_over_in_silence() {
        let pump = Pump::start(vec![job("bad", || panic!("planted"))]).unwrap();
        let mut broken = pump.broken();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(broken.wait_for(|broken| *broken)).unwrap();
        assert!(!pump.is_well());
        assert!(pump.stop(Duration::from_secs(60)));
    }

    #[test]
    fn a_step_that_does_not_end_is_left_behind() {
        let (began, begins) = mpsc::channel();
        let (go, goes) = mpsc::channel::<()>();
        let pump = Pump::start(vec![job("slow", move || {
            began.send(())?;
            let _ = goes.recv();
            Ok(Did::Nothing)
        })])
        .unwrap();
        begins.recv().unwrap();
        assert!(!pump.stop(Duration::ZERO));
        drop(go);
    }

    #[test]
    fn rests_double_up_to_a_minute() {
        assert_eq!(rest(1), Duration::from_secs(1));
        assert_eq!(rest(4), Duration::from_secs(8));
        assert_eq!(rest(50), Duration::from_secs(60));
    }
}
