//! The settings document that analytics-next fetches before any event: sends every event here and its own measurements
//! nowhere.

use super::call::EVENT_BYTES_MAX;
use promise::{Basis, Promise, Source};
use serde_json::{Value, json};

/// The document for one source. `base_url` is where this house is reached ("https://data.shop.example").
#[must_use]
pub fn settings(promise: &Promise, source: &Source, write_key: &str, base_url: &str) -> Value {
    let (protocol, host) = base_url.split_once("://").unwrap_or(("https", base_url));
    let categories = categories(promise, source);
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

/// Names under which consent tools know our consent purposes: the source's own, else the purpose's.
fn categories(promise: &Promise, source: &Source) -> Vec<String> {
    let mapped = source.consent.keys().cloned();
    let purposes = promise.purposes.values().filter(|purpose| purpose.basis == Basis::Consent);
    let unmapped = purposes.filter(|purpose| !source.consent.values().any(|name| *name == purpose.name));
    mapped.chain(unmapped.map(|purpose| purpose.name.as_str().to_owned())).collect()
}
