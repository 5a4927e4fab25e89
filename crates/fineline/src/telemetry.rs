//! What the operator sees: the log on stderr and the metrics at `/metrics`. Neither ever holds a personal value: rooms
//! log ids of artefacts and reasons, and label metrics with words of a fixed list.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use model::At;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use vault::{Stage, Vault};

/// Names and meaning of the program's own metrics.
pub const METRICS: &[(&str, &str)] = &[
    ("fineline_program_requests_total", "requests answered, by route and status"),
    ("fineline_program_request_seconds", "time to answer, by route"),
    ("fineline_program_panics_total", "requests that ended in a panic; each is a bug"),
    ("fineline_program_pump_steps_total", "steps of the pump, by job and outcome"),
    ("fineline_program_pump_step_seconds", "how long a step of the pump took, by job"),
    ("fineline_program_swept_records_total", "records removed because their date had passed"),
    ("fineline_program_witness_notes_total", "notes for the witness file, by outcome: noted, failed"),
    ("fineline_program_rotations_total", "nightly rotations of the keys, by outcome: done, failed"),
    ("fineline_vault_rotation_age_seconds", "time since the keys were last rotated; absent before the first time"),
    (
        "fineline_vault_deleted_key_age_seconds",
        "how long the oldest deleted key has waited for a rotation; above 90000 (25 hours) the promise of an erasure is not kept",
    ),
    ("fineline_vault_batches_total", "batches written and synced by the committer"),
    (
        "fineline_vault_alarms_open",
        "alarms about reads outside habit that nobody has looked at; anything above 0 wants a look",
    ),
    ("fineline_vault_commit_microseconds_total", "time the committer spent, by stage: judge, seal, write, publish"),
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
    metrics::counter!("fineline_vault_batches_total").absolute(vault.n_batches());
    metrics::gauge!("fineline_vault_alarms_open").set(u32::try_from(vault.n_alarms_open()).unwrap_or(u32::MAX));
    for stage in Stage::ALL {
        let micros = u64::try_from(vault.spent(stage).as_micros()).unwrap_or(u64::MAX);
        metrics::counter!("fineline_vault_commit_microseconds_total", "stage" => stage.as_str()).absolute(micros);
    }
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
}
