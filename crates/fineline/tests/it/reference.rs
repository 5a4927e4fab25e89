//! The committed reference pages are what the program says of itself.

use std::path::PathBuf;

/// Compares a committed page, or writes it when asked to.
fn check(page: &str, expected: &str) {
    check_at(&format!("docs/reference/{page}"), expected);
}

fn check_at(page: &str, expected: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::var_os("FINELINE_WRITE_REFERENCE").is_some() {
        #[expect(clippy::disallowed_methods, reason = "a test writes the page when asked to")]
        std::fs::write(&path, expected).expect("the page can be written");
    }
    #[expect(clippy::disallowed_methods, reason = "a test reads the page it judges")]
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == expected, "{page} is stale: run with FINELINE_WRITE_REFERENCE=1 and commit it");
}

#[test]
fn the_page_of_commands_is_what_can_be_typed() {
    check("cli.md", &fineline::reference::cli_page());
}

#[test]
fn the_page_of_settings_is_what_can_be_set() {
    check("settings.md", &fineline::reference::settings_page());
}

#[test]
fn the_page_of_metrics_is_frozen() {
    check("metrics.md", &fineline::reference::metrics_page());
}

#[test]
fn the_rules_to_be_woken_by_are_those_of_the_page() {
    check_at("packaging/alerts.yml", &fineline::reference::alerts_file());
}

#[test]
fn the_description_of_the_api_is_what_is_served() {
    let mut text = fineline::serve::openapi().to_pretty_json().unwrap();
    text.push('\n');
    check("openapi.json", &text);
    for path in ["/v1/batch", "/v1/consent", "/v1/decide", "/v1/portal_sessions", "/v1/people/lookup"] {
        assert!(text.contains(&format!("\"{path}\"")), "{path} is not described");
    }
}
