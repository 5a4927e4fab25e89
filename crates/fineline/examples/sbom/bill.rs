//! The bill of materials out of a lock file and what cargo says about it. The same source gives the same bytes: no time, no
//! chance, no place.
//!
//! What is built into the program is `required`; what only its tests and tools need is there as well, marked `excluded`.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The program that the bill is about.
const PROGRAM: &str = "fineline";

/// A package by name and version.
type Key = (String, String);

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn purl(key: &Key) -> String {
    format!("pkg:cargo/{}@{}", key.0, key.1)
}

/// Name, version and checksum of every package of a lock file; own packages have none.
///
/// # Errors
/// A file that is no lock file.
pub fn locked(lock: &str) -> Result<BTreeMap<Key, Option<String>>, String> {
    let lock: toml::Table = toml::from_str(lock).map_err(|error| format!("the lock file: {error}"))?;
    let packages = lock.get("package").and_then(toml::Value::as_array).ok_or("the lock file names no packages")?;
    let text = |package: &toml::Value, key: &str| package.get(key).and_then(toml::Value::as_str).map(str::to_owned);
    let read = |package: &toml::Value| {
        let key = (text(package, "name")?, text(package, "version")?);
        Some((key, text(package, "checksum")))
    };
    packages.iter().map(|package| read(package).ok_or_else(|| "a package without a name".to_owned())).collect()
}

/// The bill, as CycloneDX 1.5.
///
/// # Errors
/// A lock file and metadata that do not fit together.
pub fn of(lock: &str, metadata: &Value) -> Result<Value, String> {
    let locked = locked(lock)?;
    let packages: BTreeMap<&str, &Value> =
        list(metadata, "packages").map(|package| (text(package, "id"), package)).collect();
    let key_of = |id: &str| {
        packages.get(id).map(|package| (text(package, "name").to_owned(), text(package, "version").to_owned()))
    };
    let nodes: BTreeMap<&str, &Value> = metadata
        .get("resolve")
        .map(|resolve| list(resolve, "nodes").map(|node| (text(node, "id"), node)).collect())
        .unwrap_or_default();
    let built_in = built_in(&nodes, &packages);
    let by_key: BTreeMap<Key, &Value> =
        packages.iter().filter_map(|(id, package)| Some((key_of(id)?, *package))).collect();

    let mut components = Vec::new();
    for (key, checksum) in &locked {
        let package = by_key.get(key).ok_or_else(|| format!("cargo does not know {} {}", key.0, key.1))?;
        let scope = if built_in.contains(key) { "required" } else { "excluded" };
        let mut component = json!({
            "type": "library",
            "bom-ref": purl(key),
            "name": key.0,
            "version": key.1,
            "purl": purl(key),
            "scope": scope,
            "licenses": [{ "expression": text(package, "license").replace('/', " OR ") }],
        });
        if let (Some(checksum), Some(component)) = (checksum, component.as_object_mut()) {
            component.insert("hashes".to_owned(), json!([{ "alg": "SHA-256", "content": checksum }]));
        }
        if key.0 != PROGRAM {
            components.push(component);
        }
    }
    let program = locked.keys().find(|key| key.0 == PROGRAM).ok_or("the lock file does not name the program")?;
    let depends = |id: &str, node: &Value| -> Option<Value> {
        let on: BTreeSet<String> =
            list(node, "deps").filter_map(|dependency| key_of(text(dependency, "pkg"))).map(|key| purl(&key)).collect();
        Some(json!({ "ref": purl(&key_of(id)?), "dependsOn": on }))
    };
    let mut dependencies: Vec<Value> = nodes.iter().filter_map(|(id, node)| depends(id, node)).collect();
    dependencies.sort_by(|a, b| text(a, "ref").cmp(text(b, "ref")));
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": purl(program),
                "name": program.0,
                "version": program.1,
                "purl": purl(program),
                "licenses": [{ "expression": "Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    }))
}

/// What is reached from the program without the parts that only tests need.
fn built_in(nodes: &BTreeMap<&str, &Value>, packages: &BTreeMap<&str, &Value>) -> BTreeSet<Key> {
    let of = |id: &str| {
        packages.get(id).map(|package| (text(package, "name").to_owned(), text(package, "version").to_owned()))
    };
    let mut open: Vec<&str> =
        packages.iter().filter(|(_, package)| text(package, "name") == PROGRAM).map(|(id, _)| *id).collect();
    let (mut seen, mut reached) = (BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        reached.extend(of(id));
        let needed = nodes.get(id).into_iter().flat_map(|node| list(node, "deps"));
        open.extend(
            needed
                .filter(|dependency| list(dependency, "dep_kinds").any(|kind| text(kind, "kind") != "dev"))
                .map(|dependency| text(dependency, "pkg")),
        );
    }
    reached
}
