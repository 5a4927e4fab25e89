//! `fineline doctor`: looks at settings, promise, clock, disk, keys and the data folder, and says what is wrong. Changes
//! nothing, and opens no socket but to the process that serves the data folder, to ask how many alarms are open
//! and whether what has ended is removed in time.

use crate::cli::Ground;
use crate::clock::SystemClock;
use crate::exit::Exit;
use crate::house;
use crate::loopback::Loopback;
use crate::root::{Asking, Root};
use anyhow::Context;
use deliver::dkim::Signer;
use model::{At, Clock};
use serde::Serialize;
use std::path::Path;
use vault::backup::{BACKUP_DUE_DAYS, BACKUP_GONE_DAYS, BackupNote};
use vault::witness::WitnessState;
use vault::{
    CALLS_WITHIN_DAYS, DISK_KEPT_PERCENT, Fitness, Pass, ROTATED_WITHIN_DAYS, RotationState, Vault, VaultError,
};

/// Free room below which it is time to act, in bytes, and in hundredths of the disk.
const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
const DISK_FREE_PERCENT_MIN: u64 = 5;
/// A clock before this day is certainly wrong: the day this program was begun.
const CLOCK_NOT_BEFORE: &str = "2026-01-01T00:00:00Z";

/// Look at clock, disk, keys, promise and settings.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    Fine,
    Look,
    Broken,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    health: Health,
    says: String,
}

fn finding(what: &'static str, health: Health, says: impl Into<String>) -> Finding {
    Finding { what, health, says: says.into() }
}

/// Looks at everything; one line each.
///
/// # Errors
/// When stdout cannot be written. What is broken is a finding, not an error.
pub fn run(_: &Args, ground: &Ground) -> anyhow::Result<Exit> {
    let mut findings = vec![
        settings(ground),
        clock(SystemClock.now()),
        promise_file(ground),
        disk(ground),
        root(ground),
        relay(ground),
        backup(last_backup(&ground.settings.data()), SystemClock.now()),
    ];
    findings.extend(folder(ground));
    for found in &findings {
        let mark = match found.health {
            Health::Fine => "ok    ",
            Health::Look => "look  ",
            Health::Broken => "BROKEN",
        };
        ground.say.answer(found, format!("{mark}  {:<9} {}", found.what, found.says))?;
    }
    let broken = findings.iter().any(|found| found.health == Health::Broken);
    ground.say.next(if broken { "mend what is BROKEN, then fineline doctor" } else { "fineline serve" });
    Ok(if broken { Exit::Findings } else { Exit::Fine })
}

fn settings(ground: &Ground) -> Finding {
    match ground.settings.check_listeners() {
        Ok(()) => finding("settings", Health::Fine, "listeners and addresses fit together"),
        Err(error) => finding("settings", Health::Broken, error.to_string()),
    }
}

fn clock(now: At) -> Finding {
    let floor = At::parse(CLOCK_NOT_BEFORE).unwrap_or(At::from_ms(0));
    if now < floor {
        return finding("clock", Health::Broken, format!("it says {now}, which is past: retention would be wrong"));
    }
    finding("clock", Health::Fine, format!("it says {now}; keep it in step by NTP"))
}

fn promise_file(ground: &Ground) -> Finding {
    let path = ground.settings.promise();
    let read = crate::config::read_text(&path, house::PROMISE_BYTES_MAX);
    match read.map(|text| promise::parse(&path.display().to_string(), &text)) {
        Ok(Ok(promise)) => {
            finding("promise", Health::Fine, format!("{}: notice {}", path.display(), promise.notice.version))
        }
        Ok(Err(report)) => finding("promise", Health::Broken, format!("{report}; run `fineline check`")),
        Err(error) => finding("promise", Health::Broken, format!("{error:#}; run `fineline init`")),
    }
}

fn disk(ground: &Ground) -> Finding {
    let data = &ground.settings.data();
    let place = data.ancestors().find(|path| path.exists() && !path.as_os_str().is_empty());
    let Ok(stat) = rustix::fs::statvfs(place.unwrap_or(Path::new("."))) else {
        return finding("disk", Health::Broken, format!("{} cannot be looked at", data.display()));
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    let kept = ground.settings.disk_kept_percent().unwrap_or(DISK_KEPT_PERCENT);
    let (health, more) = room(free, total, kept.into());
    finding("disk", health, format!("{:.1} GiB free for {}{more}", as_gib(free), data.display()))
}

/// How much is left, and what happens at that.
fn room(free: u64, total: u64, kept_percent: u64) -> (Health, &'static str) {
    let part = |percent: u64| (total / 100).saturating_mul(percent);
    match free {
        free if free < part(kept_percent) => {
            (Health::Broken, ": it is full, only opt-outs and erasures are taken; make room")
        }
        // Whoever keeps nothing free has said that they look after the disk themselves.
        free if kept_percent > 0 && free < part(DISK_FREE_PERCENT_MIN) => {
            (Health::Broken, ": less than 5 %, the house is not ready; make room")
        }
        free if free < DISK_FREE_BYTES_MIN => (Health::Look, ""),
        _ => (Health::Fine, ""),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn as_gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1u32 << 30)
}

fn root(ground: &Ground) -> Finding {
    match ground.settings.root() {
        Ok(root) => root_key(&root, &ground.settings.data()),
        Err(error) => finding("root key", Health::Broken, error.to_string()),
    }
}

/// Whether the root key can be had, by its owner alone, and lies apart from what it opens.
fn root_key(root: &Root, data: &Path) -> Finding {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let path = match (root.away(), root) {
        (Some(why), _) => {
            return finding("root key", Health::Broken, format!("{why}; run `fineline init`, or bring it back"));
        }
        (None, Root::Passphrase(None)) => return finding("root key", Health::Fine, root.to_string()),
        (None, Root::File(path) | Root::Passphrase(Some(path))) => path,
    };
    let Ok(stat) = path.metadata() else {
        return finding("root key", Health::Broken, format!("{root} cannot be looked at"));
    };
    let mode = stat.permissions().mode() & 0o777;
    if !vault::is_for_owner_alone(path, mode, stat.uid()) {
        return finding("root key", Health::Broken, format!("{} has mode {mode:o}; run chmod 600", path.display()));
    }
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if real(path).starts_with(real(data)) {
        let says = format!("{root} lies in the data folder: who copies the one has the other");
        return finding("root key", Health::Look, says);
    }
    match data.metadata() {
        Ok(data) if data.dev() == stat.dev() => {
            let says = format!("{root} is yours alone, and on the same disk as the data: who takes the disk has both");
            finding("root key", Health::Look, says)
        }
        _ => finding("root key", Health::Fine, format!("{root} is yours alone")),
    }
}

/// Whether the data folder opens, and what the sender's domain has to publish.
fn folder(ground: &Ground) -> Vec<Finding> {
    let Ok(written) = house::promise(ground) else {
        return vec![finding("data", Health::Look, "not opened, because the promise file is refused")];
    };
    let opened = house::options(ground, Asking::Once)
        .and_then(|options| Ok(Vault::open(&options, house::household(written.promise))?));
    let vault = match opened {
        Ok(vault) => vault,
        Err(error) => {
            let found = match error.downcast_ref::<VaultError>() {
                Some(VaultError::Locked { .. }) => {
                    let in_use = finding("data", Health::Fine, "in use by a running `fineline serve`");
                    let (removal, asked) =
                        (asked_removal(&ground.settings.data()), asked_alarms(&ground.settings.data()));
                    return [in_use, removal].into_iter().chain(asked).chain(second_disk(ground)).collect();
                }
                Some(VaultError::Behind { .. } | VaultError::NotAWitness { .. }) => {
                    return vec![finding("witness", Health::Broken, format!("{error:#}"))];
                }
                _ => finding("data", Health::Broken, format!("{error:#}")),
            };
            return std::iter::once(found).chain(second_disk(ground)).collect();
        }
    };
    let mut findings = signature(ground, &vault);
    findings.extend(witness(ground, &vault));
    findings.push(alarms(vault.n_alarms_open()));
    findings.push(match vault.snapshot().n_erase_calls_overdue() {
        Ok(n_overdue) => calls(n_overdue),
        Err(error) => finding("calls", Health::Broken, error.to_string()),
    });
    findings.push(rotation(&vault.rotation(), vault.now()));
    findings.push(match vault.removal() {
        Ok(state) => removal(state.due_at(), state.within_days, vault.now()),
        Err(error) => finding("removal", Health::Broken, error.to_string()),
    });
    findings.extend(vault.server().map(|server| database(&server)));
    let house = vault.house();
    findings.push(match vault.close() {
        Ok(()) => finding("data", Health::Fine, format!("{} opens: {house}", ground.settings.data().display())),
        Err(error) => finding("data", Health::Broken, error.to_string()),
    });
    findings
}

/// Whether the server has our rows and nothing more of ours.
fn database(server: &Fitness) -> Finding {
    let version = format!("PostgreSQL {}.{}", server.version / 10_000, server.version % 10_000);
    match (server.is_superuser, server.may_more) {
        (true, _) => finding(
            "database",
            Health::Broken,
            format!("{version}: our role is a superuser: give the house a role that owns its schema and nothing else"),
        ),
        (false, true) => finding(
            "database",
            Health::Look,
            format!("{version}: our role may make roles, replicate or pass by row security; it needs none of these"),
        ),
        (false, false) => finding(
            "database",
            Health::Fine,
            format!("{version} acknowledges after its disk; our role owns its schema"),
        ),
    }
}

/// Whether the witness can be told how far the log reaches.
fn witness(ground: &Ground, vault: &Vault) -> Option<Finding> {
    let path = ground.settings.witness().map(|path| path.display().to_string()).unwrap_or_default();
    Some(match vault.witness_state() {
        WitnessState::None => {
            finding("witness", Health::Look, "no `witness` is set: an older data folder looks like a whole one")
        }
        WitnessState::Kept(Some(seen)) => {
            finding("witness", Health::Fine, format!("{path} saw batch {} at {}", seen.size, seen.at))
        }
        WitnessState::Kept(None) => finding("witness", Health::Fine, format!("{path} is new")),
        WitnessState::Away(error) => {
            let error = anyhow::Error::new(error);
            finding("witness", Health::Broken, format!("{error:#}; nothing is witnessed until this is mended"))
        }
    })
}

/// The witness of a house that is being served: only whether its file is there and may be written.
fn second_disk(ground: &Ground) -> Option<Finding> {
    let path = ground.settings.witness()?;
    let found = match rustix::fs::access(&path, rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK) {
        Ok(()) => finding("witness", Health::Fine, format!("{} can be read and written", path.display())),
        Err(error) => finding("witness", Health::Broken, format!("{}: {error}", path.display())),
    };
    Some(found)
}

/// Red as long as nobody has said what came of an alarm.
fn alarms(n_open: usize) -> Finding {
    match n_open {
        0 => finding("alarms", Health::Fine, "no read outside habit waits for a look"),
        n => finding(
            "alarms",
            Health::Broken,
            format!("{n} open: see the log page of the console, and docs/incident.md"),
        ),
    }
}

/// Red when somebody who was erased waits longer than a week for a recipient to be told.
fn calls(n_overdue: usize) -> Finding {
    match n_overdue {
        0 => finding("calls", Health::Fine, "no recipient waits too long to be told of an erasure"),
        n => finding(
            "calls",
            Health::Broken,
            format!(
                "{n} calls to recipients about an erasure are older than {CALLS_WITHIN_DAYS} days and have not ended: see the log \
                 page of the console; nobody calls while nobody serves"
            ),
        ),
    }
}

/// Asks the process that serves the data folder, with the pass that lies in it.
fn asked(data: &Path, what: &str) -> anyhow::Result<serde_json::Value> {
    let pass = Pass::read(data)?.context("it has no pass")?;
    let server = Loopback::with_token(pass.at, pass.token())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (_, answer) = runtime.block_on(server.post(what, &serde_json::Value::Null))?;
    Ok(answer)
}

/// Whether what has ended is removed from the disks within the days that people were told. Nobody sweeps while nobody serves.
fn removal(due_at: At, within_days: i32, now: At) -> Finding {
    let by = due_at.day();
    if due_at < now {
        let says = format!(
            "what has ended was to be removed by {by}, within the {within_days} days that people were told: run \
             `fineline serve`, or `fineline key rotate` after it has swept"
        );
        return finding("removal", Health::Broken, says);
    }
    finding("removal", Health::Fine, format!("what has ended is removed by {by}, within {within_days} days"))
}

fn asked_removal(data: &Path) -> Finding {
    let ask = || -> anyhow::Result<Finding> {
        let answer = asked(data, "/removal")?;
        let number = |name| answer.get(name).and_then(serde_json::Value::as_i64).context("it did not say");
        let within_days = i32::try_from(number("within_days")?)?;
        Ok(removal(At::from_ms(number("due_at_ms")?), within_days, SystemClock.now()))
    };
    ask().unwrap_or_else(|error| {
        finding("removal", Health::Look, format!("the running server could not be asked: {error:#}"))
    })
}

/// Asks for the alarms, and the calls that are overdue.
fn asked_alarms(data: &Path) -> Vec<Finding> {
    let ask = || -> anyhow::Result<(usize, usize)> {
        let answer = asked(data, "/alarms/open")?;
        let number = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64).context("it did not say");
        Ok((usize::try_from(number("open")?)?, usize::try_from(number("calls_overdue")?)?))
    };
    match ask() {
        Ok((n_open, n_overdue)) => vec![alarms(n_open), calls(n_overdue)],
        Err(error) => {
            vec![finding("alarms", Health::Look, format!("the running server could not be asked: {error:#}"))]
        }
    }
}

/// Whether a deleted key has waited longer than people were told. Nobody rotates while nobody serves.
fn rotation(state: &RotationState, now: At) -> Finding {
    let Some(since) = state.forgotten_at else {
        let last = state.ended_at.map_or_else(|| "never yet".to_owned(), |at| format!("last at {at}"));
        return finding("rotation", Health::Fine, format!("no deleted key waits; rotated {last}"));
    };
    let says = format!("keys deleted since {since} wait for a rotation");
    match since.plus_days(ROTATED_WITHIN_DAYS) < now || since > now {
        true => finding(
            "rotation",
            Health::Broken,
            format!(
                "{says}, longer than the {ROTATED_WITHIN_DAYS} day that people were told: run `fineline key rotate`"
            ),
        ),
        false => finding("rotation", Health::Fine, format!("{says} in the coming night")),
    }
}

/// The last backup that is noted; a note that cannot be read is none.
fn last_backup(data: &Path) -> Option<BackupNote> {
    BackupNote::read(data).ok().flatten()
}

/// Nothing else reminds of a backup that was not made.
fn backup(last: Option<BackupNote>, now: At) -> Finding {
    let run = "run `fineline backup` daily, and `fineline restore --drill` monthly";
    let Some(BackupNote { batch, at }) = last else {
        return finding("backup", Health::Look, format!("this folder was never backed up: {run}"));
    };
    let says = format!("the last one, of batch {batch}, was made at {at}");
    // A time to come is no backup of today: a clock was wrong.
    if at > now.plus_days(1) || at.plus_days(BACKUP_GONE_DAYS) < now {
        let gone = format!("its keys are {BACKUP_GONE_DAYS} days old and must not be kept: there is no backup");
        return finding("backup", Health::Broken, format!("{says}; {gone}; {run}"));
    }
    match at.plus_days(BACKUP_DUE_DAYS) < now {
        true => finding("backup", Health::Look, format!("{says}: {run}")),
        false => finding("backup", Health::Fine, says),
    }
}

/// The DNS records of the signing keys: without them receivers take our mail for somebody else's.
fn signature(ground: &Ground, vault: &Vault) -> Vec<Finding> {
    let domain = ground.settings.given("mail_from").and_then(|from| from.rsplit_once('@')).map(|(_, domain)| domain);
    let signer = domain.and_then(|domain| Signer::load(&vault.snapshot(), domain).ok());
    let records = signer.and_then(|signer| signer.dns_records().ok()).unwrap_or_default();
    records.into_iter().map(|record| finding("dkim", Health::Look, format!("publish in the DNS: {record}"))).collect()
}

fn relay(ground: &Ground) -> Finding {
    let sender = ground.settings.given("mail_from").is_some();
    // Also what it takes to speak to it: password, certificates.
    let checked = crate::mail::relay(&ground.settings).and_then(|_| ground.settings.relay());
    match checked {
        Ok(Some(relay)) if sender => {
            finding("mail", Health::Fine, format!("through {} port {}", relay.host, relay.port))
        }
        Ok(Some(_)) => finding("mail", Health::Broken, "`relay` is set but `mail_from` is not"),
        Ok(None) => finding("mail", Health::Look, "no `relay` is set: messages wait in the outbox"),
        Err(error) => finding("mail", Health::Broken, format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c04_an_open_alarm_is_red() {
        assert_eq!((alarms(0).health, alarms(1).health), (Health::Fine, Health::Broken));
    }

    #[test]
    fn a08_a_recipient_who_waits_too_long_to_be_told_is_red() {
        assert_eq!((calls(0).health, calls(1).health), (Health::Fine, Health::Broken));
    }

    #[test]
    fn c22_a_disk_that_fills_up_is_red_before_it_is_full() {
        let (total, of) = (1_000 << 30, |percent: u64| (1_000 << 30) / 100 * percent);
        assert_eq!(room(of(5), total, 2), (Health::Fine, ""));
        let (low, full) = (room(of(5) - 1, total, 2), room(of(2) - 1, total, 2));
        assert!(low.0 == Health::Broken && low.1.contains("5 %"), "{low:?}");
        assert!(full.0 == Health::Broken && full.1.contains("only opt-outs"), "{full:?}");
        assert_eq!(room(1 << 29, 2 << 30, 2).0, Health::Look);
        assert_eq!(room(of(4), total, 0).0, Health::Fine);
    }

    #[test]
    fn a_superuser_as_the_database_role_is_red() {
        let server = |is_superuser, may_more| Fitness { version: 150_020, is_superuser, may_more };
        assert_eq!(database(&server(true, true)).health, Health::Broken);
        assert_eq!(database(&server(false, true)).health, Health::Look);
        let fine = database(&server(false, false));
        assert!(fine.health == Health::Fine && fine.says.contains("15.20"), "{}", fine.says);
    }

    #[test]
    fn a_clock_in_the_past_is_found() {
        assert_eq!(clock(At::parse("2020-01-01T00:00:00Z").unwrap()).health, Health::Broken);
        assert_eq!(clock(At::parse("2026-11-23T00:00:00Z").unwrap()).health, Health::Fine);
    }

    #[test]
    fn d10_a_deleted_key_that_waits_longer_than_was_promised_is_red() {
        let deleted = At::parse("2026-11-23T12:00:00Z").unwrap();
        let state = RotationState { version: 1, ended_at: None, forgotten_at: Some(deleted), is_under_way: false };
        assert_eq!(rotation(&state, deleted.plus_days(1)).health, Health::Fine);
        assert_eq!(rotation(&state, deleted.plus_days(1).plus_ms(1)).health, Health::Broken);
        assert_eq!(rotation(&RotationState { forgotten_at: None, ..state }, deleted.plus_days(9)).health, Health::Fine);
    }

    #[test]
    fn c22_a_backup_that_was_not_made_turns_yellow_and_then_red() {
        let at = At::parse("2026-11-23T02:00:00Z").unwrap();
        let note = Some(BackupNote { batch: 7, at });
        assert_eq!(backup(None, at).health, Health::Look);
        for (days, health) in [
            (0, Health::Fine),
            (1, Health::Fine),
            (2, Health::Fine),
            (3, Health::Look),
            (7, Health::Look),
            (8, Health::Broken),
            (-2, Health::Broken),
        ] {
            assert_eq!(backup(note, at.plus_days(days)).health, health, "{days} days later");
        }
    }

    #[test]
    fn d03_what_is_not_removed_in_time_is_red() {
        let due_at = At::parse("2026-12-01T00:00:00Z").unwrap();
        assert_eq!(removal(due_at, 7, due_at).health, Health::Fine);
        let late = removal(due_at, 7, due_at.plus_ms(1));
        assert_eq!(late.health, Health::Broken);
        assert!(late.says.contains("2026-12-01") && late.says.contains("7 days"), "{}", late.says);
    }

    #[test]
    fn a_root_key_that_others_can_read_or_that_lies_with_the_data_is_found() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        let look = |data: &Path| root_key(&Root::File(path.clone()), data);
        let elsewhere = Path::new("/proc/self");
        assert_eq!(look(elsewhere).health, Health::Broken);
        crate::config::write_new(&path, "00").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(look(elsewhere).health, Health::Broken);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look(elsewhere).health, Health::Fine);
        assert!(look(folder.path()).says.contains("in the data folder"));
        let beside = tempfile::tempdir_in(folder.path()).unwrap();
        assert!(look(beside.path()).says.contains("same disk"));
        let words = root_key(&Root::Passphrase(Some(path.clone())), elsewhere);
        assert!(words.health == Health::Fine && words.says.contains("passphrase"), "{words:?}");
    }
}
