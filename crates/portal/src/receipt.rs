//! `/privacy/me/receipts`: the person's signed copies of their own answers. It signs nothing; the vault did.

use crate::copy::AnswerCopy;
use crate::frame::Frame;
use askama::Template;

/// `/privacy/me/receipts`
#[derive(Template)]
#[template(path = "receipts.html")]
pub(crate) struct ReceiptsPage {
    pub(crate) frame: Frame,
    pub(crate) answers: Vec<AnswerCopy>,
}

/// `/privacy/me/receipts/{con_…}`
#[derive(Template)]
#[template(path = "receipt.html")]
pub(crate) struct ReceiptPage {
    pub(crate) frame: Frame,
    pub(crate) answer: AnswerCopy,
}
