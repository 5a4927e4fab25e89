//! Who is let in under load, decided from the head of a request, before its body is read or parsed.
//!
//! In this order: the address (a /64 of IPv6), unless a company's server speaks → the key → room for the body among those
//! that are being worked on → the committer's queue, by how long the oldest in it has waited. What is over a caller's own
//! quota is told so (429, and when to come again); our own overload is told in the way each route's callers understand.
//! People's own acts pass all of it: they wait for their turn on the disk, and for nothing else.
//!
//! Deliberately not: connections (`listener`), the sizes of bodies and what is in them (the rooms), and the order in which
//! the committer serves (`vault`). Addresses are looked at and neither kept nor logged.

use model::{Buckets, Clock, Quota, Rng, SourceName};
use promise::{Promise, SourceKind};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use vault::{Urgency, Vault};

/// What one address may ask for, in requests: pages and beacons of a household, or of an office.
pub const PER_ADDRESS: Quota = Quota { per_second: 50, burst: 300 };

/// What one key may send, in KiB: some 20,000 small events a second.
const PER_KEY: Quota = Quota { per_second: 20 << 10, burst: 40 << 10 };

/// Bodies that are being worked on at the same time, in bytes.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;

/// What a body without a length is taken for, in bytes.
const UNSAID_BYTES: usize = 512 << 10;

/// A work's share of the room for bodies and of the queue that one key may take, in hundredths.
const KEY_SHARE_PERCENT: usize = 50;

/// Retry-After when the house is busy, in seconds: one, and up to so many by chance, so that not all come back at once.
const JITTER_SECONDS: u64 = 4;

/// What the head of a request says.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// How urgent.
    pub urgency: Urgency,
    /// The write key that came along in the head.
    pub key: Option<&'a str>,
    /// From where; `None` = from this machine.
    pub address: Option<IpAddr>,
    /// Length of the body, in bytes; `None` = not said.
    pub n_bytes: Option<usize>,
}

/// Why a request is not let in, and after how many seconds to come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The caller's own quota is used up.
    Quota(u64),
    /// We have too much to do.
    Overload(u64),
}

impl Shed {
    /// Seconds after which to come again.
    #[must_use]
    pub const fn retry_after(self) -> u64 {
        match self {
            Self::Quota(seconds) | Self::Overload(seconds) => seconds,
        }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quota(_) => "quota",
            Self::Overload(_) => "overload",
        }
    }
}

/// What decides.
pub struct Admission {
    vault: Vault,
    promise: Arc<Promise>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    addresses: Buckets,
    keys: Buckets,
    flight: Arc<Mutex<Flight>>,
    /// How long the oldest in the queue has waited.
    oldest_wait: Box<dyn Fn() -> Duration + Send + Sync>,
    /// Events are turned away while the oldest waits longer than this.
    wait_max: Duration,
    /// Who may say from where a request comes.
    proxies: Vec<IpAddr>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Admission({:?})", self.wait_max)
    }
}

/// Bodies that are being worked on.
#[derive(Default)]
struct Flight {
    n_bytes: usize,
    of_key: HashMap<SourceName, usize>,
}

/// A request that was let in; its room is given back when this is dropped.
#[derive(Debug)]
pub struct Admitted {
    flight: Arc<Mutex<Flight>>,
    n_bytes: usize,
    source: Option<SourceName>,
}

impl std::fmt::Debug for Flight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Flight({} bytes)", self.n_bytes)
    }
}

impl Admission {
    /// For one house.
    #[must_use]
    pub fn new(vault: Vault, promise: Arc<Promise>, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        let queue = vault.clone();
        Self {
            vault,
            promise,
            clock,
            oldest_wait: Box::new(move || queue.oldest_wait()),
            addresses: Buckets::new(PER_ADDRESS, rng.as_ref()),
            keys: Buckets::new(PER_KEY, rng.as_ref()),
            rng,
            flight: Arc::default(),
            wait_max: Duration::MAX,
            proxies: Vec::new(),
        }
    }

    /// Events are turned away while the oldest in the queue has waited longer than this.
    #[must_use]
    pub fn waiting_at_most(self, wait_max: Duration) -> Self {
        Self { wait_max, ..self }
    }

    /// These, and this machine, may say from where a request comes.
    #[must_use]
    pub fn behind(self, proxies: Vec<IpAddr>) -> Self {
        Self { proxies, ..self }
    }

    /// From where a request comes: the last address in `X-Forwarded-For` that none of our proxies has, when one of them
    /// says so. `None` = from this machine itself.
    #[must_use]
    pub fn address(&self, peer: Option<IpAddr>, forwarded_for: Option<&str>) -> Option<IpAddr> {
        let is_ours = |address: &IpAddr| address.is_loopback() || self.proxies.contains(address);
        let peer = peer?.to_canonical();
        if !is_ours(&peer) {
            return Some(peer);
        }
        let said = forwarded_for.unwrap_or_default().rsplit(',').filter_map(|text| text.trim().parse::<IpAddr>().ok());
        said.map(|address| address.to_canonical()).find(|address| !is_ours(address))
    }

    /// Which kind of source a key belongs to, by its urgency; unknown keys are the public's.
    #[must_use]
    pub fn urgency_of(&self, key: Option<&str>) -> Urgency {
        let source = key.and_then(|key| self.vault.source_of_key(key));
        let kind = source.and_then(|source| self.promise.sources.get(&source)).map(|source| source.kind);
        match kind {
            Some(SourceKind::Server) => Urgency::Server,
            Some(SourceKind::Import) => Urgency::Background,
            Some(SourceKind::Browser) | None => Urgency::Browser,
        }
    }

    /// Whether some page of a browser source has this origin: only such a page may read a refusal.
    #[must_use]
    pub fn is_a_page_of_ours(&self, origin: &[u8]) -> bool {
        is_a_page_of(&self.promise, origin)
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// [`Shed`]; nothing is held then.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Admitted, Shed> {
        let source = ask.key.and_then(|key| self.vault.source_of_key(key));
        let n_bytes = ask.n_bytes.unwrap_or(UNSAID_BYTES);
        if ask.urgency == Urgency::Person {
            return Ok(self.let_in(0, None));
        }
        let now = self.clock.ticks();
        // A company's server speaks for many people from one address; its key is its name.
        if let Some(address) = ask.address.filter(|_| ask.urgency != Urgency::Server) {
            self.addresses.take(&network(address), 1, now).map_err(|wait| self.quota(wait))?;
        }
        if let Some(source) = &source {
            let kib = u32::try_from(n_bytes.div_ceil(1_024)).unwrap_or(u32::MAX).max(1);
            self.keys.take(source.as_str().as_bytes(), kib, now).map_err(|wait| self.quota(wait))?;
        }
        {
            let flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
            let part = |percent: usize| IN_FLIGHT_BYTES_MAX * percent / 100;
            let of_key = source.as_ref().and_then(|source| flight.of_key.get(source)).copied().unwrap_or(0);
            let is_greedy = of_key > 0 && of_key.saturating_add(n_bytes) > part(KEY_SHARE_PERCENT);
            let is_heavy = flight.n_bytes.saturating_add(n_bytes) > part(share(ask.urgency));
            drop(flight);
            if is_greedy || is_heavy {
                return Err(self.overload());
            }
        }
        if ask.urgency > Urgency::Decision && (self.oldest_wait)() > self.wait_max {
            return Err(self.overload());
        }
        Ok(self.let_in(n_bytes, source))
    }

    fn let_in(&self, n_bytes: usize, source: Option<SourceName>) -> Admitted {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.n_bytes = flight.n_bytes.saturating_add(n_bytes);
        if let Some(source) = &source {
            let of_key = flight.of_key.entry(source.clone()).or_default();
            *of_key = of_key.saturating_add(n_bytes);
        }
        drop(flight);
        Admitted { flight: Arc::clone(&self.flight), n_bytes, source }
    }

    fn quota(&self, wait: Duration) -> Shed {
        Shed::Quota(wait.as_secs().saturating_add(1).saturating_add(self.jitter() / 2))
    }

    fn overload(&self) -> Shed {
        Shed::Overload(self.jitter().saturating_add(1))
    }

    fn jitter(&self) -> u64 {
        u64::from_be_bytes(self.rng.bytes()) % (JITTER_SECONDS + 1)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut flight = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        flight.n_bytes = flight.n_bytes.saturating_sub(self.n_bytes);
        let Some(source) = &self.source else { return };
        let left = flight.of_key.get(source).map_or(0, |held| held.saturating_sub(self.n_bytes));
        match left {
            0 => drop(flight.of_key.remove(source)),
            left => drop(flight.of_key.insert(source.clone(), left)),
        }
    }
}

/// The part of the room for bodies that may be full before this urgency is turned away, in hundredths.
const fn share(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Person | Urgency::Decision => 100,
        Urgency::Server => 90,
        Urgency::Browser => 80,
        Urgency::Background => 50,
    }
}

/// Whether a browser source of this promise names an origin.
#[must_use]
pub fn is_a_page_of(promise: &Promise, origin: &[u8]) -> bool {
    let browsers = promise.sources.values().filter(|source| source.kind == SourceKind::Browser);
    let mut origins = browsers.flat_map(|source| &source.origins);
    origins.any(|known| known.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin))
}

/// What counts as one address: whoever has an address of IPv6 has 2^64 of them.
#[must_use]
pub fn network(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().iter().take(8).copied().collect(),
    }
}

#[cfg(test)]
mod tests;
