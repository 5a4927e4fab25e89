//! The company's mail put together from settings: sender, signature, relay. Makes the signing keys when there are none yet
//! and writes the relay into the register of recipients. It sends nothing; `deliver` does.

use crate::config::{RelaySetting, RelayTls, Settings, read_text};
use crate::exit::Failure;
use anyhow::Context;
use deliver::dkim::{Algorithm, Key, RECORD_PREFIX, Signer};
use deliver::egress::{Authority, Login, Patience, Relay, RelayConfig, TlsMode};
use deliver::outbox::Mailer;
use deliver::{BaseUrl, Recipient, Sender};
use promise::Promise;
use vault::Vault;

/// Largest password file, in bytes.
const PASSWORD_BYTES_MAX: u64 = 1_024;
/// Largest file with the certificates of the relay's authority, in bytes.
const CERTIFICATES_BYTES_MAX: u64 = 1024 * 1024;

/// Everything that sending needs, or `None` when no relay is set: then messages wait in the outbox.
///
/// # Errors
/// A setting that is missing or wrong, a password file that cannot be read, a vault that cannot be written.
pub async fn mailer(
    settings: &Settings,
    promise: &Promise,
    vault: &Vault,
    base: &BaseUrl,
) -> anyhow::Result<Option<Mailer>> {
    let Some(relay) = settings.relay()? else { return Ok(None) };
    let Some(from) = settings.given("mail_from") else {
        return Err(Failure::usage("`relay` is set, so `mail_from` is needed: the address that mails come from"));
    };
    let relay = checked(settings, relay, base.host())?;
    relay.recipient().register(vault).await?;
    let sender = Sender::new(promise, from, base.clone())?;
    let signer = signer(vault, sender.domain(), settings.text("dkim_selector")).await?;
    Ok(Some(Mailer::new(sender, signer, relay)?))
}

/// The relay as set, everything about it checked that can be without reaching it; `None` when none is set.
///
/// # Errors
/// A setting that is missing or wrong, a file that cannot be read.
pub fn relay(settings: &Settings) -> anyhow::Result<Option<Relay>> {
    settings.relay()?.map(|relay| checked(settings, relay, "localhost")).transpose()
}

fn checked(settings: &Settings, relay: RelaySetting, hello: &str) -> anyhow::Result<Relay> {
    let who = settings.given("relay_operator").map_or_else(|| relay.host.clone(), str::to_owned);
    let tls = match relay.tls {
        RelayTls::Plain => TlsMode::None,
        RelayTls::StartTls => TlsMode::StartTls,
        RelayTls::Wrapped => TlsMode::Tls,
    };
    let config = RelayConfig {
        host: relay.host,
        port: relay.port,
        tls,
        authority: authority(settings)?,
        login: login(settings)?,
        hello: hello.to_owned(),
        connections: deliver::egress::CONNECTIONS_MAX,
        patience: Patience::default(),
        recipient: Recipient::relay(&who, None),
    };
    Relay::new(config).map_err(|error| Failure::usage(error.to_string()))
}

/// The text of a file that a setting names, or of a credential.
fn named(name: &str, file: &str, bytes_max: u64) -> anyhow::Result<String> {
    let path = crate::root::path(file).ok_or_else(|| {
        Failure::usage(format!("setting `{name}` should be a path, or credential: and a name without a slash"))
    })?;
    read_text(&path, bytes_max).with_context(|| format!("setting `{name}`"))
}

fn login(settings: &Settings) -> anyhow::Result<Option<Login>> {
    match (settings.given("relay_user"), settings.given("relay_password_file")) {
        (None, None) => Ok(None),
        (Some(user), Some(file)) => {
            let password = named("relay_password_file", file, PASSWORD_BYTES_MAX)?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            Ok(Some(Login { user: user.to_owned(), password }))
        }
        _ => Err(Failure::usage("`relay_user` and `relay_password_file` belong together")),
    }
}

/// Who vouches for the relay: the public authorities, or the company's own alone.
fn authority(settings: &Settings) -> anyhow::Result<Authority> {
    let Some(file) = settings.given("relay_ca_file") else { return Ok(Authority::Public) };
    Ok(Authority::Own(named("relay_ca_file", file, CERTIFICATES_BYTES_MAX)?.into_bytes()))
}

/// Signs with the house's keys; makes an RSA key, which every receiver knows, and an Ed25519 key beside it at first use.
async fn signer(vault: &Vault, domain: &str, selector: &str) -> anyhow::Result<Signer> {
    let have = vault.snapshot().house_records(RECORD_PREFIX, 1)?.len();
    if have == 0 {
        for (name, algorithm) in
            [(selector.to_owned(), Algorithm::RsaSha256), (format!("{selector}-ed"), Algorithm::Ed25519Sha256)]
        {
            let key = Key::generate(algorithm)?;
            Key::from_pkcs8(&name, &key).context("setting `dkim_selector`")?;
            vault.put_house_record(&format!("{RECORD_PREFIX}{name}"), Some(key))?.await?;
        }
    }
    Ok(Signer::load(&vault.snapshot(), domain)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::house::household;
    use std::path::Path;

    fn settings(pairs: &[(&'static str, &str)]) -> Settings {
        let nothing = Path::new("/dev/null");
        Settings::load(Some(nothing), [], pairs.iter().map(|(name, text)| (*name, (*text).to_owned()))).unwrap()
    }

    #[tokio::test]
    async fn a_relay_brings_two_signing_keys_once_and_a_place_in_the_register() {
        let promise = std::sync::Arc::new(promise::parse("shop.toml", promise::fixture::SHOP).unwrap());
        let vault = Vault::in_memory(household(promise.clone())).unwrap();
        let base = BaseUrl::parse("http://localhost:4000").unwrap();
        let ask = async |pairs: &[(&'static str, &str)]| mailer(&settings(pairs), &promise, &vault, &base).await;

        assert!(ask(&[]).await.unwrap().is_none(), "without a relay messages wait");
        let error = ask(&[("relay", "smtp://127.0.0.1:2525")]).await.unwrap_err();
        assert!(error.to_string().contains("mail_from"), "{error}");
        let wanted =
            [("relay", "smtp://127.0.0.1:2525"), ("mail_from", "hello@corner.example"), ("relay_operator", "Post Ltd")];
        let made = ask(&wanted).await.unwrap().unwrap();
        let records = made.signer().dns_records().unwrap();
        assert_eq!(records.len(), 2, "{records:?}");
        let register = deliver::recipients(&vault.snapshot()).unwrap();
        assert_eq!(register.first().map(|recipient| recipient.who.as_str()), Some("Post Ltd"));
        assert_eq!(
            ask(&wanted).await.unwrap().unwrap().signer().dns_records().unwrap(),
            records,
            "the same keys again"
        );

        let elsewhere = [("relay", "smtp://mail.example:25"), ("mail_from", "hello@corner.example")];
        assert!(ask(&elsewhere).await.is_err(), "in clear only on this machine");
        // A file that holds no certificate is told before anything is sent, and so is one that is not there.
        for (file, says) in [
            ("/dev/null", "hold none in PEM"),
            ("/nonexistent/ca.pem", "relay_ca_file"),
            ("credential:a/b", "without a slash"),
        ] {
            let wanted =
                [("relay", "smtps://mail.example"), ("mail_from", "hello@corner.example"), ("relay_ca_file", file)];
            let error = format!("{:#}", ask(&wanted).await.unwrap_err());
            assert!(error.contains(says), "{error}");
            // `doctor` finds it as well, without a vault.
            let error = format!("{:#}", relay(&settings(&wanted)).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
        let half = [("relay", "smtps://mail.example"), ("mail_from", "hello@corner.example"), ("relay_user", "shop")];
        assert!(ask(&half).await.unwrap_err().to_string().contains("belong together"));
    }
}
