//! What the operator sees: the log on stderr and the metrics at `/metrics`. Neither ever holds a personal value: rooms
//! log ids of artefacts and reasons, and label metrics with words of a fixed list.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model::At;
use std::sync::OnceLock;
use std::time::Duration;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use vault::{Pulse, Stage, Vault};

/// Names and meaning of the program's own metrics.
pub const METRICS: &[(&str, &str)] = &[
    ("fineline_program_requests_total", "requests answered, by route and status"),
    ("fineline_program_request_seconds", "time to answer, by route"),
    ("fineline_program_panics_total", "requests that ended in a panic; each is a bug"),
    ("fineline_program_pump_steps_total", "steps of the pump, by job and outcome"),
    ("fineline_program_pump_step_seconds", "how long a step of the pump took, by job"),
    ("fineline_program_swept_records_total", "records removed because their date had passed"),
    ("fineline_program_lapsed_answers_total", "yeses that ended after a silence"),
    ("fineline_program_left_people_total", "people erased because they had left, or their chosen day had come"),
    ("fineline_program_reminders_total", "yearly reminders of what is shared, put in the outbox"),
    ("fineline_program_witness_notes_total", "notes for the witness file, by outcome: noted, failed"),
    ("fineline_program_rotations_total", "nightly rotations of the keys, by outcome: done, failed"),
    ("fineline_vault_rotation_age_seconds", "time since the keys were last rotated; absent before the first time"),
    (
        "fineline_vault_deleted_key_age_seconds",
        "how long the oldest deleted key has waited for a rotation; above 90000 (25 hours) the promise of an erasure is not kept",
    ),
    (
        "fineline_vault_unacknowledged_age_seconds",
        "how long the oldest command has waited for its answer from the committer; 0 = none waits",
    ),
    (
        "fineline_vault_wish_age_seconds",
        "how long the oldest withdrawal, objection or stop has been in force on the urgent log alone; 0 = the store has them all",
    ),
    (
        "fineline_vault_erasure_age_seconds",
        "how long ago the oldest erasure was acknowledged whose rows are still in the store; 0 = none",
    ),
    (
        "fineline_vault_sync_p99_seconds",
        "what 99 of 100 writes took at most until they were synced, of the latest 1,024, by kind: batch, urgent",
    ),
    ("fineline_vault_disk_free_share", "share of the data folder's disk that is free for us, from 0 to 1"),
    (
        "fineline_vault_backup_age_seconds",
        "time since the last backup of this folder was whole; absent when there was none",
    ),
    ("fineline_vault_backups_known", "1 when this folder knows of a backup, 0 when it was never backed up"),
    (
        "fineline_vault_removal_days_left",
        "days until something deleted or expired could still lie on the disk past its promised removal; below 0 it may; absent before the first rotation",
    ),
    (
        "fineline_program_shed_total",
        "requests turned away before they were read, by urgency and reason: quota, overload",
    ),
    (
        "fineline_program_sealed_acts_total",
        "opt-outs taken while the root key was away, by outcome at the next opening: obeyed, refused, kept, unreadable",
    ),
    (
        "fineline_vault_queue_wait_seconds",
        "how long the oldest command in the committer's queue has waited, people's own acts left out; above 0.2 events are turned away",
    ),
    ("fineline_vault_batches_total", "batches written and synced by the committer"),
    (
        "fineline_vault_alarms_open",
        "alarms about reads outside habit that nobody has looked at; anything above 0 wants a look",
    ),
    ("fineline_vault_commit_microseconds_total", "time the committer spent, by stage: judge, seal, write, publish"),
];

/// A figure that should wake somebody.
#[derive(Debug, Clone, Copy)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// When, as a rule of Prometheus.
    pub when: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What to do.
    pub act: &'static str,
}

const fn alert(name: &'static str, when: &'static str, means: &'static str, act: &'static str) -> Alert {
    Alert { name, when, means, act }
}

/// What to be woken by, worst first; on the reference page, and in `packaging/alerts.yml`.
pub const ALERTS: &[Alert] = &[
    alert(
        "FinelineDown",
        "up{job=\"fineline\"} == 0",
        "nobody is served, and nobody can say no",
        "start it; its last lines of log say why it ended",
    ),
    alert(
        "FinelineWishesWait",
        "fineline_vault_wish_age_seconds > 60",
        "what people took back holds, but the store does not get it: the committer or the disk stands still",
        "look at the disk; a new start replays the urgent log",
    ),
    alert(
        "FinelineErasuresWait",
        "fineline_vault_erasure_age_seconds > 60",
        "people who were erased are invisible, but their rows are still there",
        "look at the disk; a new start goes on with them",
    ),
    alert(
        "FinelineKeysWait",
        "fineline_vault_deleted_key_age_seconds > 90000",
        "keys of erased people have waited longer than the day that people were told",
        "`fineline key rotate`; see the log why the nightly rotation failed",
    ),
    alert(
        "FinelineRemovalBound",
        "fineline_vault_removal_days_left < 1",
        "what was deleted or has expired could still lie on the disk past the promised week",
        "`fineline key rotate`",
    ),
    alert(
        "FinelineReadAlarm",
        "fineline_vault_alarms_open > 0",
        "somebody or something read what it does not usually read",
        "docs/incident.md, alarms",
    ),
    alert(
        "FinelineDiskNearlyFull",
        "fineline_vault_disk_free_share < 0.05",
        "the disk is nearly full",
        "make room; docs/incident.md, a full disk",
    ),
    alert(
        "FinelineBackupOverdue",
        "fineline_vault_backup_age_seconds > 172800 or fineline_vault_backups_known == 0",
        "no backup for two days, or none ever",
        "`fineline backup`; look at the timer. After 7 days there is no backup: its keys must not be kept",
    ),
    alert(
        "FinelineAnswersWait",
        "fineline_vault_unacknowledged_age_seconds > 10",
        "clients wait: the committer does not come on",
        "look at the disk and at `fineline_vault_commit_microseconds_total`, which says at what",
    ),
    alert(
        "FinelineSlowDisk",
        "fineline_vault_sync_p99_seconds > 0.5",
        "the disk takes long for what must be on it before anybody gets an answer",
        "a faster disk, or fewer neighbours on it",
    ),
    alert(
        "FinelineRelayDown",
        "fineline_deliver_relay_rest_seconds > 3600",
        "the mail relay has been failing for hours",
        "see the log; `fineline doctor`",
    ),
    alert(
        "FinelineRotationFailed",
        "increase(fineline_program_rotations_total{outcome=\"failed\"}[2d]) > 1",
        "the keys could not be rotated two nights running",
        "see the log; `fineline key rotate`",
    ),
    alert(
        "FinelinePanic",
        "increase(fineline_program_panics_total[1h]) > 0",
        "a request met a bug",
        "report it with the log line",
    ),
];

/// The metrics of every room and of the program, by name.
#[must_use]
pub fn all_metrics() -> Vec<(&'static str, &'static str)> {
    let outer = [METRICS, portal::METRICS, console::METRICS];
    let mut all = [collect::METRICS, understand::METRICS, decide::METRICS, deliver::METRICS, &outer.concat()].concat();
    all.sort_unstable();
    all
}

/// Starts the log. Called once, by `main`'s commands that serve; a second call changes nothing.
pub fn start_log(json: bool, level: &str, colour: bool) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let writer = std::io::stderr.with_max_level(tracing::Level::TRACE);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(colour);
    // A second start (tests) keeps the first.
    let _ = if json { log.json().try_init() } else { log.with_target(false).try_init() };
}

/// The one recorder of this process. Only rendered, never pushed anywhere.
///
/// # Errors
/// When another recorder was installed before.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let handle = HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok()?;
        for (name, says) in all_metrics() {
            describe(name, says);
        }
        Some(handle)
    });
    handle.clone().ok_or_else(|| anyhow::anyhow!("another metrics recorder is installed in this process"))
}

/// What the vault knows by itself, as metrics: before each rendering.
pub fn note_vault(vault: &Vault) {
    let (rotation, now) = (vault.rotation(), vault.now());
    let seconds = |since: At| u32::try_from((now.ms() - since.ms()) / 1_000).unwrap_or_default();
    if let Some(ended_at) = rotation.ended_at {
        metrics::gauge!("fineline_vault_rotation_age_seconds").set(seconds(ended_at));
    }
    let waited = rotation.forgotten_at.map_or(0, seconds);
    metrics::gauge!("fineline_vault_deleted_key_age_seconds").set(waited);
    metrics::gauge!("fineline_vault_queue_wait_seconds").set(vault.oldest_wait().as_secs_f64());
    note_pulse(&vault.pulse(), now);
    metrics::counter!("fineline_vault_batches_total").absolute(vault.n_batches());
    metrics::gauge!("fineline_vault_alarms_open").set(u32::try_from(vault.n_alarms_open()).unwrap_or(u32::MAX));
    for stage in Stage::ALL {
        let micros = u64::try_from(vault.spent(stage).as_micros()).unwrap_or(u64::MAX);
        metrics::counter!("fineline_vault_commit_microseconds_total", "stage" => stage.as_str()).absolute(micros);
    }
}

/// The figures that should wake somebody.
fn note_pulse(pulse: &Pulse, now: At) {
    let age = |since: Option<At>| since.map_or(0.0, |at| Duration::from_millis(ms_since(at, now)).as_secs_f64());
    let unacknowledged = pulse.unacknowledged.unwrap_or_default();
    metrics::gauge!("fineline_vault_unacknowledged_age_seconds").set(unacknowledged.as_secs_f64());
    metrics::gauge!("fineline_vault_wish_age_seconds").set(age(pulse.wish_at));
    metrics::gauge!("fineline_vault_erasure_age_seconds").set(age(pulse.erasure_at));
    for (kind, took) in [("batch", pulse.batch_p99), ("urgent", pulse.urgent_p99)] {
        if let Some(took) = took {
            metrics::gauge!("fineline_vault_sync_p99_seconds", "kind" => kind).set(took.as_secs_f64());
        }
    }
    if let Some(free) = pulse.disk_free {
        metrics::gauge!("fineline_vault_disk_free_share").set(free);
    }
    metrics::gauge!("fineline_vault_backups_known").set(if pulse.backup.is_some() { 1.0 } else { 0.0 });
    if let Some(note) = pulse.backup {
        metrics::gauge!("fineline_vault_backup_age_seconds").set(age(Some(note.at)));
    }
    if let Some(days) = pulse.removal_days_left {
        metrics::gauge!("fineline_vault_removal_days_left").set(days);
    }
}

fn ms_since(at: At, now: At) -> u64 {
    u64::try_from(now.ms() - at.ms()).unwrap_or_default()
}

/// The unit of a metric stands at the end of its name.
fn describe(name: &'static str, says: &'static str) {
    match name.rsplit('_').next() {
        Some("total") => metrics::describe_counter!(name, says),
        Some("seconds") if name.starts_with("fineline_program") => metrics::describe_histogram!(name, says),
        _ => metrics::describe_gauge!(name, says),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metric_names_say_room_noun_and_unit() {
        for (name, says) in all_metrics() {
            let parts: Vec<&str> = name.split('_').collect();
            assert_eq!(parts.first(), Some(&"fineline"), "{name}");
            assert!(parts.len() >= 4, "{name}: fineline_<room>_<noun>_<unit>");
            assert!(!says.is_empty() && !says.ends_with('.'), "{name}");
        }
    }

    /// Names of our metrics in a rule.
    fn named(rule: &str) -> impl Iterator<Item = &str> {
        rule.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| word.starts_with("fineline_"))
    }

    #[test]
    fn an_alert_rests_on_metrics_that_there_are() {
        let known: Vec<&str> = all_metrics().into_iter().map(|(name, _)| name).collect();
        for alert in ALERTS {
            assert!(alert.when.starts_with("up{") || named(alert.when).next().is_some(), "{}", alert.when);
            for name in named(alert.when) {
                assert!(known.contains(&name), "{name} is no metric");
            }
        }
        assert!(named("fineline_vault_gone_total > 1").all(|name| !known.contains(&name)), "the control");
    }

    #[test]
    fn the_alarm_figures_are_on_the_page_and_turn_with_what_they_tell() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let now = At::parse("2026-11-23T12:00:00Z").unwrap();
        let quiet = Pulse {
            unacknowledged: None,
            wish_at: None,
            erasure_at: None,
            batch_p99: None,
            urgent_p99: None,
            disk_free: None,
            backup: None,
            removal_days_left: None,
        };
        let told = |pulse: &Pulse| {
            metrics::with_local_recorder(&recorder, || note_pulse(pulse, now));
            handle.render()
        };
        let page = told(&quiet);
        for line in ["unacknowledged_age_seconds 0", "wish_age_seconds 0", "erasure_age_seconds 0", "backups_known 0"] {
            assert!(page.contains(&format!("fineline_vault_{line}\n")), "{line} in {page}");
        }
        assert!(!page.contains("backup_age") && !page.contains("removal_days_left"), "{page}");
        let note = vault::backup::BackupNote { batch: 3, at: now.plus_days(-1) };
        let page = told(&Pulse {
            unacknowledged: Some(Duration::from_millis(1_500)),
            wish_at: Some(now.plus_ms(-2_000)),
            erasure_at: Some(now.plus_ms(-3_000)),
            batch_p99: Some(Duration::from_millis(4)),
            urgent_p99: Some(Duration::from_millis(5)),
            disk_free: Some(0.25),
            backup: Some(note),
            removal_days_left: Some(-1),
        });
        for line in [
            "unacknowledged_age_seconds 1.5",
            "wish_age_seconds 2",
            "erasure_age_seconds 3",
            "sync_p99_seconds{kind=\"batch\"} 0.004",
            "sync_p99_seconds{kind=\"urgent\"} 0.005",
            "disk_free_share 0.25",
            "backups_known 1",
            "backup_age_seconds 86400",
            "removal_days_left -1",
        ] {
            assert!(page.contains(&format!("fineline_vault_{line}\n")), "{line} in {page}");
        }
    }
}
