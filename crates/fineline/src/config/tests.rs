//! Layers, origins and refusals of settings.

use super::*;

fn load(text: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> anyhow::Result<Settings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fineline.toml");
    write_new(&path, text).unwrap();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(Some(&path), environment, flags.iter().map(|(name, value)| (*name, (*value).to_owned())))
}

#[test]
fn flags_win_over_environment_over_file_over_defaults_and_each_knows_its_origin() {
    let settings = load(
        "# where\nlisten = \"127.0.0.1:1\"\ndata = \"from_file\"\nengine = \"redb\"\n",
        &[("FINELINE_LISTEN", "127.0.0.1:2"), ("FINELINE_DATA", "from_env"), ("HOME", "/x")],
        &[("listen", "127.0.0.1:3")],
    )
    .unwrap();
    assert_eq!(settings.listen().unwrap().port(), 3);
    assert_eq!(settings.data(), PathBuf::from("from_env"));
    assert_eq!(settings.engine().unwrap(), EngineKind::Redb);
    assert_eq!(settings.promise(), PathBuf::from("promise.toml"));
    let origin = |name: &str| settings.0[name].origin.clone();
    assert_eq!(origin("listen"), Origin::Flag);
    assert_eq!(origin("data"), Origin::Environment("FINELINE_DATA".into()));
    assert!(matches!(origin("engine"), Origin::File { line: 4, .. }));
    assert_eq!(origin("promise"), Origin::Default);
}

#[test]
fn a_store_takes_the_place_of_the_engine_and_keeps_its_password_apart() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    write_new(&password, "words in the first line\nand a remark").unwrap();
    let address = "postgres://fineline@127.0.0.1/shop?schema=shop";
    let settings =
        load(&format!("store = \"{address}\"\nstore_password_file = \"{}\"", password.display()), &[], &[]).unwrap();
    let engine = settings.engine().unwrap();
    assert!(matches!(engine, EngineKind::Postgres(_)));
    assert!(!format!("{engine:?}").contains("words"));
    let refused = |text: &str| load(text, &[], &[]).unwrap_err().to_string();
    assert!(refused("store = \"postgres://fineline:word@127.0.0.1/shop\"").contains("password"));
    assert!(refused("store = \"sqlite://x\"").contains("fineline.toml:1"));
    assert!(
        load("store = \"postgres://fineline@127.0.0.1/shop\"\nstore_ca_file = \"/nonexistent\"", &[], &[]).is_err()
    );
}

#[test]
fn the_console_stands_on_the_next_port_of_the_loopback() {
    let settings = load("listen = \"0.0.0.0:8000\"", &[], &[]).unwrap();
    assert_eq!(settings.console_listen().unwrap().to_string(), "127.0.0.1:8001");
}

#[test]
fn wrong_settings_are_refused_with_their_origin() {
    for (text, part) in [
        ("lissten = \"x\"", "did you mean `listen`?"),
        ("listen = \"nowhere\"", "fineline.toml:1) should be an address"),
        ("\nrelay = \"http://x\"", "fineline.toml:2) should be smtp://"),
        ("base_url = \"https://x.example/path\"", "without a path"),
        ("queue_max = 0", "above 0"),
        ("engine = true", "must be a text"),
        ("listen = ", "fineline.toml"),
    ] {
        let error = load(text, &[], &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{text}: {error}");
        assert_eq!(crate::exit::of(&error), crate::exit::Exit::Usage);
    }
}

#[test]
fn a_public_listener_needs_a_name_and_a_proxy() {
    let checked = |text: &str| load(text, &[], &[]).unwrap().check_listeners();
    assert!(checked("").is_ok());
    let error = checked("listen = \"0.0.0.0:80\"").unwrap_err();
    assert!(error.to_string().contains("base_url"));
    let error = checked("listen = \"0.0.0.0:80\"\nbase_url = \"https://x.example\"").unwrap_err();
    assert!(error.to_string().contains("trusted_proxies"));
    let all = "listen = \"0.0.0.0:80\"\nbase_url = \"https://x.example\"\ntrusted_proxies = [\"10.0.0.1\"]";
    assert!(checked(all).is_ok());
    assert!(checked("console_listen = \"0.0.0.0:81\"").is_err());
}

#[test]
fn a_relay_is_read_in_three_forms() {
    let relay = |text: &str| load(&format!("relay = \"{text}\""), &[], &[]).unwrap().relay().unwrap().unwrap();
    assert_eq!(
        relay("smtp://127.0.0.1:2525"),
        RelaySetting { tls: RelayTls::Plain, host: "127.0.0.1".into(), port: 2525 }
    );
    assert_eq!(relay("smtps://mail.example").port, 465);
    assert_eq!(relay("smtp+starttls://mail.example").tls, RelayTls::StartTls);
    assert!(load("relay = \"smtp://user:secret@host\"", &[], &[]).is_err(), "secrets stand in files");
}
