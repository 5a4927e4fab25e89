//! The reference pages that are made from the program itself: commands, settings, metrics. Committed; a test compares.

use crate::cli::Cli;
use crate::config::KEYS;
use crate::telemetry::{ALERTS, all_metrics};
use clap::CommandFactory;
use std::fmt::Write;

/// `docs/reference/cli.md`.
#[must_use]
pub fn cli_page() -> String {
    let mut out = String::from(
        "# Commands\n\nMade from the program; `fineline help COMMAND` says the same. Data goes to stdout, talk to stderr; \
         `--json` stands behind every\ncommand. Exit codes: 0 fine, 1 findings, 2 usage, 3 changes wait, 4 refused by the \
         promise, 5 cannot reach or open.\nAn id or a secret is read from stdin or a file, never from a flag.\n",
    );
    let mut root = Cli::command();
    root.build();
    let everywhere: Vec<String> =
        root.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().to_string()).collect();
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        page_of(command, &format!("fineline {}", command.get_name()), &everywhere, &mut out);
    }
    out.push_str("\n## Behind every command\n\n");
    for arg in root.get_arguments().filter(|arg| arg.is_global_set()) {
        option_line(arg, &mut out);
    }
    out
}

fn page_of(command: &clap::Command, name: &str, everywhere: &[String], out: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let parts: Vec<_> = command.get_subcommands().filter(|part| part.get_name() != "help").collect();
    if !parts.is_empty() {
        for part in parts {
            page_of(part, &format!("{name} {}", part.get_name()), everywhere, out);
        }
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n## {name}\n\n{about}.\n");
    let own = |arg: &&clap::Arg| {
        !everywhere.contains(&arg.get_id().to_string()) && !matches!(arg.get_id().as_str(), "help" | "version")
    };
    for arg in command.get_arguments().filter(own) {
        option_line(arg, out);
    }
}

fn option_line(arg: &clap::Arg, out: &mut String) {
    let value = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    let takes_value = arg.get_action().takes_values();
    let name = match (arg.get_long(), value.filter(|_| takes_value)) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_else(|| arg.get_id().to_string().to_uppercase()),
    };
    let says = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let default: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    let default = match takes_value && !default.is_empty() {
        true => format!(" (default: {})", default.join(", ")),
        false => String::new(),
    };
    let _ = writeln!(out, "- `{name}`: {says}{default}");
}

/// `docs/reference/settings.md`.
#[must_use]
pub fn settings_page() -> String {
    let mut out = String::from(
        "# Settings\n\nMade from the program; `fineline config` shows each value with where it came from. Later wins: \
         default, `fineline.toml`, `FINELINE_*` in\nthe environment, flag. No secret stands in a setting: those lie in files \
         of their own.\n\n| in `fineline.toml` | in the environment | default | what |\n|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let _ = writeln!(out, "| `{}` | `FINELINE_{}` | {default} | {} |", key.name, key.name.to_uppercase(), key.says);
    }
    out
}

/// `docs/reference/metrics.md`.
#[must_use]
pub fn metrics_page() -> String {
    let mut out = String::from(
        "# Metrics\n\nMade from the program; served at `/metrics` in the Prometheus text form, pushed nowhere. Labels are \
         words of fixed lists and route templates, never\na value of a person. A name stays what it is: dashboards rest on \
         it.\n\n| name | what |\n|---|---|\n",
    );
    for (name, says) in all_metrics() {
        let _ = writeln!(out, "| `{name}` | {says} |");
    }
    out.push_str(
        "\n## Be woken by\n\nWorst first. The same rules for Prometheus stand in `packaging/alerts.yml`.\n\n| when | what it means | \
         what to do |\n|---|---|---|\n",
    );
    for alert in ALERTS {
        let _ = writeln!(out, "| `{}` | {} | {} |", alert.when, alert.means, alert.act);
    }
    out.push_str(
        "\n## Alive and ready\n\n- `/livez` answers 200 as long as the process turns over requests. Restart it when it does not answer \
         for a minute, and for nothing\n  else: a process that is alive and not ready may be doing what it must.\n- `/readyz` answers 200 when \
         the house may be sent work, else 503 with a code and no reason that a stranger could use: the log has\n  it. Take it out of the \
         balancer then; people's own pages and withdrawals are served as long as that is possible.\n",
    );
    out
}

/// `packaging/alerts.yml`.
#[must_use]
pub fn alerts_file() -> String {
    let mut out = String::from(
        "# Made from the program (docs/reference/metrics.md, \"Be woken by\"): rules for Prometheus. The job is called `fineline` there.\n\
         groups:\n  - name: fineline\n    rules:\n",
    );
    for alert in ALERTS {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let _ = writeln!(
            out,
            "      - alert: {}\n        expr: {}\n        for: 5m\n        annotations:\n          summary: {}\n          action: {}",
            alert.name,
            quoted(alert.when),
            quoted(alert.means),
            quoted(alert.act)
        );
    }
    out
}
