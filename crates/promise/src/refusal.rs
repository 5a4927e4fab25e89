//! A refusal in plain English: what stands in the way, and the question that would make it a yes.

use crate::judge::{Refusal, RefusalReason};

impl Refusal {
    /// One or two sentences for a page or a terminal, ending with the better question where there is one.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut out = self.reason.says().to_owned();
        if let Some(purpose) = &self.purpose {
            out.push_str(&format!(" It is about the purpose “{purpose}”"));
            match self.line {
                Some(line) => out.push_str(&format!(" (line {line} of the promise).")),
                None => out.push('.'),
            }
        }
        if let Some(question) = self.reason.better_question() {
            out.push(' ');
            out.push_str(question);
        }
        out
    }
}

impl RefusalReason {
    /// Every reason, in the order of the code.
    pub const ALL: [Self; 30] = [
        Self::NoSuchPerson,
        Self::Restrained,
        Self::NotReviewed,
        Self::UnknownArtefact,
        Self::NeverAsked,
        Self::SaidNo,
        Self::Withdrawn,
        Self::AnswerLapsed,
        Self::NoContract,
        Self::NotTold,
        Self::NotInTerms,
        Self::OtherPurpose,
        Self::AboveLevel,
        Self::Expired,
        Self::Guarded,
        Self::GroupTooSmall,
        Self::CapReached,
        Self::QuietHours,
        Self::HeldOut,
        Self::NoAddress,
        Self::TurnedDown,
        Self::NothingFits,
        Self::ChangedMeanwhile,
        Self::NotInSegment,
        Self::AlreadyDecided,
        Self::Suppressed,
        Self::NoLongerSo,
        Self::Paused,
        Self::NotCounted,
        Self::Held,
    ];

    /// Reads the word back that [`RefusalReason::as_str`] writes.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// What stands in the way, in one sentence.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::NoSuchPerson => "We know nobody here.",
            Self::Restrained => "This person asked to be left alone.",
            Self::NotReviewed => "Nobody has reviewed this yet.",
            Self::UnknownArtefact => "The promise does not declare this.",
            Self::NeverAsked => "This person was never asked.",
            Self::SaidNo => "This person said no.",
            Self::Withdrawn => "This person said yes and took it back.",
            Self::AnswerLapsed => "This person's yes is no longer valid.",
            Self::NoContract => "There is no order or contract that needs this.",
            Self::NotTold => "This person has not been told about this yet, or the notice does not bind yet.",
            Self::NotInTerms => "What was reviewed does not name this fact.",
            Self::OtherPurpose => "This fact was given for another purpose.",
            Self::AboveLevel => "This person chose to share less than this.",
            Self::Expired => "This has reached its end date.",
            Self::Guarded => "This is guarded: it is not used without the person's own word.",
            Self::GroupTooSmall => "Fewer people match than the smallest group that may be looked at.",
            Self::CapReached => "This person has had as many messages as were promised.",
            Self::QuietHours => "It is within this person's quiet hours.",
            Self::HeldOut => "This person is in the group that is left alone so that the gain can be measured.",
            Self::NoAddress => "There is no address to write to.",
            Self::TurnedDown => "This person turned this down.",
            Self::NothingFits => "Nothing on offer fits.",
            Self::ChangedMeanwhile => "This person's wishes changed while this was being decided.",
            Self::NotInSegment => "This person does not match the segment.",
            Self::AlreadyDecided => "This campaign has already been decided for this person.",
            Self::Suppressed => "This address bounced or complained.",
            Self::NoLongerSo => "What this would say is no longer so.",
            Self::Paused => "The campaign does not run at the moment.",
            Self::NotCounted => "So many reads wait to be written down that one more could not be.",
            Self::Held => "This is kept for a legal hold alone, and serves nothing else meanwhile.",
        }
    }

    /// What would make it a yes, where something honest would.
    #[must_use]
    pub const fn better_question(self) -> Option<&'static str> {
        match self {
            Self::NeverAsked | Self::AnswerLapsed => Some("Ask, and say what for: would you like this?"),
            Self::NoContract => Some("Send the order from your server, or ask for a yes instead."),
            Self::NotReviewed => Some("Who can look at this today?"),
            Self::UnknownArtefact => Some("Declare it in the promise file, then ask for a review."),
            Self::NotTold => Some("Tell people first: when does the notice reach them?"),
            Self::NotInTerms => Some("Is it needed? Then name it and have it reviewed again."),
            Self::OtherPurpose => Some("Can you reach the goal with what was given for this purpose?"),
            Self::AboveLevel => Some("What can you offer with what this person does share?"),
            Self::Guarded => Some("Ask, don't infer: let people tell you on their page."),
            Self::GroupTooSmall => Some("Which wider group would be served as well?"),
            Self::CapReached | Self::QuietHours | Self::NotCounted => Some("Can it wait?"),
            Self::NothingFits => Some("What would this person be glad to get?"),
            Self::NoAddress => Some("Show it on a page when the person comes by."),
            Self::NoSuchPerson
            | Self::Restrained
            | Self::SaidNo
            | Self::Withdrawn
            | Self::Expired
            | Self::HeldOut
            | Self::TurnedDown
            | Self::ChangedMeanwhile
            | Self::NotInSegment
            | Self::AlreadyDecided
            | Self::Suppressed
            | Self::NoLongerSo
            | Self::Paused
            | Self::Held => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::PurposeName;

    #[test]
    fn a_refusal_names_purpose_line_and_question() {
        let refusal = Refusal {
            reason: RefusalReason::NeverAsked,
            purpose: Some(PurposeName::parse("offers").unwrap()),
            line: Some(20),
        };
        assert_eq!(
            refusal.sentence(),
            "This person was never asked. It is about the purpose “offers” (line 20 of the promise). \
             Ask, and say what for: would you like this?"
        );
        assert_eq!(Refusal::because(RefusalReason::SaidNo).sentence(), "This person said no.");
    }

    #[test]
    fn every_word_reads_back_and_is_used_once() {
        for reason in RefusalReason::ALL {
            assert_eq!(RefusalReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(RefusalReason::parse("perhaps"), None);
    }

    #[test]
    fn a_no_is_never_answered_with_another_question() {
        for reason in
            [RefusalReason::SaidNo, RefusalReason::Withdrawn, RefusalReason::Restrained, RefusalReason::TurnedDown]
        {
            assert_eq!(reason.better_question(), None, "{}", reason.as_str());
        }
    }
}
