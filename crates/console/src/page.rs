//! One view struct for each page and the template it fills. Views hold text and numbers that are ready to be shown; they
//! know no vault and no request.

use crate::session::{Page, Staff};
use askama::Template;

/// What surrounds each page.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The company.
    pub company: String,
    /// Said on every page of a demonstration.
    pub banner: Option<String>,
    /// Who is signed in; none on the door.
    pub staff: Option<Staff>,
    /// The word that forms must carry.
    pub csrf: String,
    /// Which menu entry this page is.
    pub here: &'static str,
}

impl Frame {
    /// The pages that this member of staff may open.
    pub(crate) fn menu(&self) -> Vec<Page> {
        let may_see = |page: &Page| self.staff.as_ref().is_some_and(|staff| staff.role.may_see(*page));
        Page::ALL.into_iter().filter(may_see).collect()
    }
}

/// A number shown to marketers: told, or below the floor.
pub(crate) fn told(count: Option<u64>, floor: u32) -> String {
    count.map_or_else(|| format!("fewer than {floor}"), grouped)
}

/// 12345 → "12,345".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A refusal's or outcome's word as a reader says it: "never_asked" → "never asked".
pub(crate) fn spoken(word: &str) -> String {
    word.replace('_', " ")
}

#[derive(Template)]
#[template(path = "enter.html")]
pub(crate) struct Enter {
    pub frame: Frame,
    /// The secret of the link; none = the link is not good any more.
    pub secret: Option<String>,
}

/// One event as the gate saw it: names and reasons, never a value.
pub(crate) struct LiveRow {
    pub at: String,
    pub source: String,
    pub event: String,
    pub outcome: &'static str,
    pub chip: &'static str,
    pub reason: String,
    pub line: Option<u32>,
    pub cut: Vec<String>,
    pub stanza: Option<String>,
}

#[derive(Template)]
#[template(path = "live.html")]
pub(crate) struct LivePage {
    pub frame: Frame,
    pub rows: Vec<LiveRow>,
}

#[derive(Template)]
#[template(path = "live_rows.html")]
pub(crate) struct LiveRows {
    pub rows: Vec<LiveRow>,
}

/// One segment in the list and on its page.
pub(crate) struct SegmentView {
    pub name: String,
    pub purpose: String,
    pub purpose_says: String,
    pub who: String,
    pub reads: Vec<(String, String)>,
    pub matching: String,
    pub tellable: String,
    pub hearing: String,
    pub dropped: Vec<(String, String)>,
    pub line: Option<u32>,
    pub floor: u32,
    pub refused: Option<String>,
}

#[derive(Template)]
#[template(path = "segments.html")]
pub(crate) struct SegmentsPage {
    pub frame: Frame,
    pub segments: Vec<SegmentView>,
}

#[derive(Template)]
#[template(path = "segment.html")]
pub(crate) struct SegmentPage {
    pub frame: Frame,
    pub segment: SegmentView,
}

/// One campaign in the list.
pub(crate) struct CampaignRow {
    pub name: String,
    pub to: String,
    pub by: String,
    pub state: String,
    pub is_running: bool,
    pub reviewed: bool,
}

#[derive(Template)]
#[template(path = "campaigns.html")]
pub(crate) struct CampaignsPage {
    pub frame: Frame,
    pub campaigns: Vec<CampaignRow>,
}

/// The report, when both groups are large enough: interval, table, sample-ratio check.
pub(crate) struct ReportView {
    pub sent: String,
    pub basis: Vec<(String, String)>,
    pub figure: String,
    pub rows: Vec<[String; 5]>,
    pub interval: String,
    pub sample_ratio: String,
    pub sample_ratio_is_bad: bool,
    pub goal: String,
}

#[derive(Template)]
#[template(path = "campaign.html")]
pub(crate) struct CampaignPage {
    pub frame: Frame,
    pub campaign: CampaignRow,
    pub offers: Vec<(String, String, String)>,
    pub hold_out: String,
    pub sentence: String,
    pub reduced: String,
    pub report: Option<ReportView>,
    pub refused: Vec<(String, String)>,
    /// Refused before there was a message: by reason, people at the latest look.
    pub undecided: Vec<(String, String)>,
    pub waiting: Vec<(String, String)>,
    pub may_run: bool,
    pub problem: Option<String>,
}

/// One artefact in the review queue.
pub(crate) struct ReviewRow {
    pub id: String,
    pub kind: String,
    pub name: String,
    pub reviewed: Vec<(String, String)>,
    pub is_effective: bool,
}

#[derive(Template)]
#[template(path = "reviews.html")]
pub(crate) struct ReviewsPage {
    pub frame: Frame,
    pub rows: Vec<ReviewRow>,
    pub may_review: bool,
}

/// One alarm about reading.
pub(crate) struct AlarmRow {
    pub id: String,
    pub at: String,
    pub says: String,
    pub what_to_do: &'static str,
    /// Who looked, when, and what they found; none = open.
    pub acknowledged: Option<(String, String, String)>,
}

#[derive(Template)]
#[template(path = "log.html")]
pub(crate) struct LogPage {
    pub frame: Frame,
    pub alarms: Vec<AlarmRow>,
    pub may_acknowledge: bool,
    pub rows: Vec<(String, String, String, u64)>,
    pub outbox: Vec<(String, String)>,
    pub calls: Vec<CallRow>,
}

/// One call to a recipient about an erasure that has not ended.
pub(crate) struct CallRow {
    pub request: String,
    pub recipient: String,
    pub asked: String,
    pub due: String,
    pub n_tries: u32,
    pub why: String,
}

#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct ProblemPage {
    pub frame: Frame,
    pub title: &'static str,
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_small_ones_are_not_told() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_034_664), "1,034,664");
        assert_eq!(told(None, 50), "fewer than 50");
        assert_eq!(told(Some(1_200), 50), "1,200");
    }
}
