//! The desk: finding the one person that staff asks about. An id is read from stdin or a file, never from a flag, so that
//! it stands in no shell history and no process list; each look is written down and shown to that person.

use crate::config::open;
use crate::exit::Failure;
use anyhow::Context;
use model::{ProfileId, RequestId, StaffName};
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use vault::{ErasedWho, Identifier, IdentifierKind, StaffAct, Vault};

/// Longest line with an id, in bytes.
const ID_BYTES_MAX: u64 = 1_024;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;

/// Whom it is about.
#[derive(Debug, clap::Args)]
pub struct Whom {
    /// A file whose first line is the person's id: per_…, the company's own id, or an e-mail address [default: stdin]
    #[arg(long, value_name = "FILE")]
    pub id_file: Option<PathBuf>,
}

/// Who was erased.
#[derive(Debug, clap::Args)]
pub struct WhomErased {
    /// A file whose first line is the request of the receipt (req_…), or an id the person had: per_…, the company's own
    /// id, or an e-mail address [default: stdin]
    #[arg(long, value_name = "FILE")]
    pub id_file: Option<PathBuf>,
}

/// Who looks, and why.
#[derive(Debug, clap::Args)]
pub struct Behalf {
    /// Who acts; the person will see it
    #[arg(long = "as", value_name = "NAME")]
    pub staff: String,
    /// Why; the person will see it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

impl Whom {
    /// Reads the id and finds the person.
    ///
    /// # Errors
    /// No id, or nobody by it.
    pub fn find(&self, vault: &Vault) -> anyhow::Result<ProfileId> {
        let text = self.read()?;
        if let Ok((id, _)) = ProfileId::parse_any(&text) {
            return Ok(id);
        }
        let kinds: &[IdentifierKind] =
            if text.contains('@') { &[IdentifierKind::Email, IdentifierKind::User] } else { &[IdentifierKind::User] };
        let snapshot = vault.snapshot();
        let by = |kind: &IdentifierKind| {
            let value = if *kind == IdentifierKind::Email { text.to_lowercase() } else { text.clone() };
            snapshot.find(&Identifier { kind: *kind, value })
        };
        kinds.iter().find_map(by).ok_or_else(|| Failure::findings("nobody is known by this id"))
    }

    fn read(&self) -> anyhow::Result<String> {
        read_id(self.id_file.as_deref())
    }
}

impl WhomErased {
    /// Whom the id may mean, in the order in which to ask.
    ///
    /// # Errors
    /// No id.
    pub fn candidates(&self) -> anyhow::Result<Vec<ErasedWho>> {
        let text = read_id(self.id_file.as_deref())?;
        if let Ok(request) = RequestId::parse(&text) {
            return Ok(vec![ErasedWho::Request(request)]);
        }
        if let Ok((id, _)) = ProfileId::parse_any(&text) {
            return Ok(vec![ErasedWho::Profile(id)]);
        }
        let by = |(kind, value)| ErasedWho::Identifier(Identifier { kind, value });
        let email = text.contains('@').then(|| (IdentifierKind::Email, text.to_lowercase()));
        Ok(email.into_iter().chain([(IdentifierKind::User, text)]).map(by).collect())
    }
}

fn read_id(file: Option<&Path>) -> anyhow::Result<String> {
    let text = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => first_line(open(path)?)?,
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::usage("an id is read from stdin or --id-file, never from a flag"));
        }
        None => first_line(std::io::stdin().lock())?,
    };
    let text = text.trim().to_owned();
    if text.is_empty() { Err(Failure::usage("the first line holds no id")) } else { Ok(text) }
}

fn first_line(source: impl Read) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(source.take(ID_BYTES_MAX)).read_line(&mut line).context("reading the id")?;
    Ok(line)
}

impl Behalf {
    /// Who acts, and why.
    ///
    /// # Errors
    /// A name or reason that does not fit.
    pub fn checked(&self) -> anyhow::Result<(StaffName, String)> {
        let staff = StaffName::parse(&self.staff).map_err(|error| Failure::usage(format!("--as: {error}")))?;
        let n_chars = self.reason.chars().count();
        if self.reason.trim().is_empty() || n_chars > REASON_CHARS_MAX {
            return Err(Failure::usage(format!("--reason: 1 to {REASON_CHARS_MAX} characters")));
        }
        Ok((staff, self.reason.clone()))
    }

    /// Writes down who acts on whose record, and why, before anything is read.
    ///
    /// # Errors
    /// A name or reason that does not fit, or a vault that cannot be written.
    pub fn note(&self, vault: &Vault, act: &'static str, person: ProfileId) -> anyhow::Result<StaffName> {
        let (staff, reason) = self.checked()?;
        let staff_text = staff.to_string();
        vault.staff_act(StaffAct { staff: staff_text, act, person: Some(person), reason, at: vault.now() })?.wait()?;
        Ok(staff)
    }
}
