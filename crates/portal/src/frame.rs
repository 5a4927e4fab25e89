//! What every page has around it, and the shared look. It knows nobody's data but the form token of the session.

use crate::session::Session;
use promise::Promise;

/// The one style sheet, as the console also serves it.
pub const SHEET: &str = include_str!("../../../assets/fineline.css");
/// The mark, also the icon.
pub const MARK: &str = include_str!("../../../assets/mark.svg");

/// The pages of a signed-in person, in the order of the menu.
pub(crate) const MENU: [(&str, &str); 7] = [
    ("/privacy/me", "Everything"),
    ("/privacy/me/choices", "Choices"),
    ("/privacy/me/tastes", "Tastes"),
    ("/privacy/me/messages", "Messages"),
    ("/privacy/me/receipts", "Receipts"),
    ("/privacy/me/export", "Copy"),
    ("/privacy/me/erase", "Erase"),
];

/// Around every page: who speaks, where the sheet is, who is signed in.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) company: String,
    pub(crate) contact: String,
    pub(crate) address: String,
    pub(crate) sheet: String,
    /// The form token of the session; none when nobody is signed in.
    pub(crate) csrf: Option<String>,
    /// Which entry of the menu this is.
    pub(crate) here: &'static str,
    /// Whether the browser sends Global Privacy Control.
    pub(crate) gpc: bool,
}

impl Frame {
    /// A page for anybody.
    pub(crate) fn open(promise: &Promise, gpc: bool) -> Self {
        Self {
            company: promise.company.clone(),
            contact: promise.contact.clone(),
            address: promise.address.clone(),
            sheet: format!("/privacy/fineline.css?v={:016x}", fingerprint(SHEET.as_bytes())),
            csrf: None,
            here: "",
            gpc,
        }
    }

    /// A page of a signed-in person.
    pub(crate) fn of(promise: &Promise, session: &Session, here: &'static str, gpc: bool) -> Self {
        Self { csrf: Some(session.csrf.clone()), here, ..Self::open(promise, gpc) }
    }

    /// Whether an entry of the menu is this page.
    pub(crate) fn is_here(&self, href: &str) -> bool {
        self.here == href
    }

    /// The form token, for hidden fields.
    pub(crate) fn csrf(&self) -> &str {
        self.csrf.as_deref().unwrap_or_default()
    }
}

/// Names a version of the sheet, so that browsers may keep it for ever (FNV-1a, not a safeguard).
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
