//! The settings document that analytics-next fetches before any event: sends every event here and its own measurements
//! nowhere.

use super::call::EVENT_BYTES_MAX;
use promise::Source;
use serde_json::{Value, json};

/// The document for one source. `base_url` is where this house is reached (`https://data.shop.example`).
#[must_use]
pub fn settings(source: &Source, write_key: &str, base_url: &str) -> Value {
    let (protocol, host) = base_url.split_once("://").unwrap_or(("https", base_url));
    let categories: Vec<&String> = source.consent.keys().collect();
    json!({
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": format!("{}/v1", host.trim_end_matches('/')),
                "protocol": protocol,
                "retryQueue": true,
                "addBundledMetadata": true,
                "maximumEventSizeBytes": EVENT_BYTES_MAX,
                "consentSettings": { "categories": categories },
            },
        },
        "plan": { "track": { "__default": { "enabled": true, "integrations": {} } } },
        // Without this the client sends measurements about itself to its maker.
        "metrics": { "sampleRate": 0 },
        "remotePlugins": [],
        "enabledMiddleware": {},
        "legacyVideoPluginsEnabled": false,
        "consentSettings": { "allCategories": categories, "hasUnmappedDestinations": false },
    })
}
