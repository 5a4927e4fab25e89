//! Reviews of artefacts: signed by the house review key, counted by role.
//!
//! It does not say what an artefact may read (`promise::Terms`), and lets nobody review twice.

use crate::format::ReviewForm;
use crate::key::Signer;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use promise::{Artefact, ReviewRole};
use std::collections::BTreeSet;

/// Whether the house signed this review.
pub(crate) fn is_signed(form: &ReviewForm, signer: &Signer) -> bool {
    UnparsedPublicKey::new(&ED25519, signer.public()).verify(&form.statement(), &form.signature).is_ok()
}

/// Whether enough different people have looked.
pub(crate) fn is_effective(artefact: &Artefact, reviews: &[ReviewForm]) -> bool {
    let staff: BTreeSet<&str> = reviews.iter().map(|review| review.staff.as_str()).collect();
    match artefact.review {
        ReviewRole::BuiltIn => true,
        ReviewRole::One => !staff.is_empty(),
        ReviewRole::Two => staff.len() >= 2,
    }
}
