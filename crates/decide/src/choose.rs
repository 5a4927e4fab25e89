//! Which item, and on what it rests: the person's own word first, then one purchase that enough people share, then the
//! group of that purchase, then what many people buy.
//!
//! A purchase may be used only when at least the smallest group of the campaign's audience made it as well: the
//! combination of segment and purchase then points at a crowd. Guarded items are neither offered nor used as a reason;
//! an item that the catalogue does not know is guarded.

use crate::records::{Combination, Popular};
use model::{Class, ItemCode, RankedItem};
use std::collections::BTreeSet;
use vault::{Item, ItemBasis};

/// What may be chosen from.
pub struct Shelf<'a> {
    /// The catalogue.
    pub catalogue: &'a dyn Fn(&ItemCode) -> Option<Item>,
    /// What many people buy.
    pub popular: &'a Popular,
    /// How many people of the audience share what.
    pub combination: &'a Combination,
    /// Fewest people that may share a combination.
    pub floor: u32,
}

impl std::fmt::Debug for Shelf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shelf(…)")
    }
}

/// One item and its reason.
#[derive(Clone, PartialEq, Eq)]
pub struct Pick {
    /// The item.
    pub item: Item,
    /// On what it rests.
    pub basis: ItemBasis,
    /// Words for `{because}`: the purchase, or the group.
    pub because: Option<String>,
    /// The candidate that was used, if one was.
    pub candidate: Option<RankedItem>,
    /// How many people share the combination; 0 = not counted.
    pub shared_by: u32,
}

impl std::fmt::Debug for Pick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pick({:?})", self.basis)
    }
}

impl Shelf<'_> {
    /// The best item that may be offered; `None` when nothing fits.
    #[must_use]
    pub fn pick(&self, candidates: &[RankedItem], taste: Option<&str>, turned_down: &[String]) -> Option<Pick> {
        let bought: BTreeSet<&ItemCode> = candidates.iter().filter_map(|ranked| ranked.because.as_ref()).collect();
        let open = |code: &ItemCode| {
            let is_open = !bought.contains(code) && !turned_down.iter().any(|down| down == code.as_str());
            self.plain(code).filter(|_| is_open)
        };
        self.stated(candidates, taste, &open)
            .or_else(|| self.purchase(candidates, &open))
            .or_else(|| self.group(candidates, &open))
            .or_else(|| self.many(candidates, &open))
    }

    fn stated(&self, candidates: &[RankedItem], taste: Option<&str>, open: &Open<'_>) -> Option<Pick> {
        let taste = taste?;
        let fits = |item: &Item| item.group == taste;
        let of_candidates =
            candidates.iter().find_map(|ranked| Some((open(&ranked.item).filter(fits)?, Some(ranked.clone()))));
        let (item, candidate) =
            of_candidates.or_else(|| Some((self.popular_in(taste).find_map(|code| open(&code))?, None)))?;
        // How many stated the same is not counted, so nothing is said about it.
        Some(Pick { item, basis: ItemBasis::Stated, because: None, candidate, shared_by: 0 })
    }

    fn purchase(&self, candidates: &[RankedItem], open: &Open<'_>) -> Option<Pick> {
        candidates.iter().find_map(|ranked| {
            let anchor = self.plain(ranked.because.as_ref()?)?;
            let shared_by = self.combination.of_item(&anchor.code);
            let item = open(&ranked.item).filter(|_| shared_by >= self.floor)?;
            let because = Some(anchor.title);
            Some(Pick { item, basis: ItemBasis::Purchase, because, candidate: Some(ranked.clone()), shared_by })
        })
    }

    /// The group of the purchase that speaks for the best candidate; the item is then what many buy of that group, so that
    /// the rare purchase itself decides nothing.
    fn group(&self, candidates: &[RankedItem], open: &Open<'_>) -> Option<Pick> {
        candidates.iter().find_map(|ranked| {
            let anchor = self.plain(ranked.because.as_ref()?)?;
            let shared_by = self.combination.of_group(&anchor.group);
            if shared_by < self.floor {
                return None;
            }
            let item = self.popular_in(&anchor.group).find_map(|code| open(&code))?;
            Some(Pick { item, basis: ItemBasis::Group, because: Some(anchor.group), candidate: None, shared_by })
        })
    }

    fn many(&self, candidates: &[RankedItem], open: &Open<'_>) -> Option<Pick> {
        let not_yet_bought =
            candidates.iter().filter(|ranked| ranked.because.is_none()).map(|ranked| ranked.item.clone());
        let all = self.popular.items.iter().filter_map(|code| ItemCode::parse(code));
        let item = not_yet_bought.chain(all).find_map(|code| open(&code))?;
        let shared_by = self.combination.n_people;
        Some(Pick { item, basis: ItemBasis::Popular, because: None, candidate: None, shared_by })
    }

    fn popular_in(&self, group: &str) -> impl Iterator<Item = ItemCode> {
        self.popular.groups.get(group).into_iter().flatten().filter_map(|code| ItemCode::parse(code))
    }

    fn plain(&self, code: &ItemCode) -> Option<Item> {
        (self.catalogue)(code).filter(|item| item.class < Class::Sensitive)
    }
}

type Open<'a> = dyn Fn(&ItemCode) -> Option<Item> + 'a;

/// The reviewed reason line, with the sentence around `{because}` replaced by one that is true for another basis than a
/// purchase. `taste` is the name of the stated fact.
#[must_use]
pub fn why_for(template: &str, basis: ItemBasis, taste: Option<&str>) -> String {
    let Some(slot) = template.find("{because}") else { return template.to_owned() };
    let instead = match (basis, taste) {
        (ItemBasis::Purchase | ItemBasis::None, _) => return template.to_owned(),
        (ItemBasis::Stated, Some(taste)) => {
            format!("We picked {{item}} because you told us that you like {{{taste}}}.")
        }
        (ItemBasis::Group, _) => "We picked {item} because you bought something from {because} before.".to_owned(),
        (ItemBasis::Popular | ItemBasis::Stated, _) => "We picked {item} because many people buy it.".to_owned(),
    };
    let (before, after) = template.split_at_checked(slot).unwrap_or((template, ""));
    let start = before.rfind(['.', '!', '?']).map_or(0, |end| end + 1);
    let end = after.find(['.', '!', '?']).map_or(after.len(), |end| end + 1);
    let lead = before.get(..start).unwrap_or("");
    let gap = if lead.is_empty() { "" } else { " " };
    format!("{lead}{gap}{instead}{}", after.get(end..).unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> ItemCode {
        ItemCode::parse(text).unwrap()
    }

    fn catalogue(item: &ItemCode) -> Option<Item> {
        let (group, class) = match item.as_str().split_at(1).0 {
            "K" => ("kitchen", Class::Plain),
            "G" => ("garden", Class::Plain),
            "B" => ("baby", Class::Sensitive),
            _ => return None,
        };
        let title = format!("thing {item}");
        Some(Item { code: item.clone(), title, group: group.into(), class, price: None })
    }

    fn ranked(item: &str, because: Option<&str>) -> RankedItem {
        RankedItem { item: code(item), because: because.map(code), score_micros: 1 }
    }

    fn check(candidates: &[RankedItem], taste: Option<&str>, down: &[&str], expected: Option<(&str, ItemBasis, u32)>) {
        let popular = Popular {
            items: vec!["B1".into(), "K8".into(), "G9".into()],
            groups: [("garden".into(), vec!["G9".into(), "G8".into()]), ("kitchen".into(), vec!["K8".into()])].into(),
        };
        let combination = Combination {
            n_people: 400,
            items: [("K1".into(), 50), ("B1".into(), 90), ("X1".into(), 90)].into(),
            groups: [("garden".into(), 70), ("baby".into(), 90)].into(),
        };
        let shelf = Shelf { catalogue: &catalogue, popular: &popular, combination: &combination, floor: 50 };
        let down: Vec<String> = down.iter().map(|down| (*down).to_owned()).collect();
        let pick = shelf.pick(candidates, taste, &down);
        let found = pick.as_ref().map(|pick| (pick.item.code.as_str(), pick.basis, pick.shared_by));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_purchase_that_fifty_share_speaks_a_rarer_one_falls_to_its_group_then_to_many() {
        check(&[ranked("K2", Some("K1"))], None, &[], Some(("K2", ItemBasis::Purchase, 50)));
        check(&[ranked("K2", Some("G1"))], None, &[], Some(("G9", ItemBasis::Group, 70)));
        check(&[ranked("K2", Some("G1")), ranked("K3", Some("K1"))], None, &[], Some(("K3", ItemBasis::Purchase, 50)));
        check(&[ranked("K2", Some("K5"))], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[ranked("G5", None)], None, &[], Some(("G5", ItemBasis::Popular, 400)));
    }

    #[test]
    fn a_stated_taste_beats_what_was_worked_out() {
        let candidates = [ranked("K2", Some("K1")), ranked("G3", Some("K1"))];
        check(&candidates, Some("garden"), &[], Some(("G3", ItemBasis::Stated, 0)));
        check(&candidates, Some("garden"), &["G3"], Some(("G9", ItemBasis::Stated, 0)));
        check(&candidates, Some("toys"), &[], Some(("K2", ItemBasis::Purchase, 50)));
        check(&candidates, Some("baby"), &[], Some(("K2", ItemBasis::Purchase, 50)));
    }

    #[test]
    fn guarded_unknown_and_turned_down_items_are_neither_offered_nor_a_reason() {
        check(&[ranked("B2", Some("K1"))], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[ranked("X2", Some("K1"))], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[ranked("K2", Some("B1"))], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[ranked("K2", Some("X1"))], None, &[], Some(("K8", ItemBasis::Popular, 400)));
        check(&[ranked("K2", Some("K1"))], None, &["K2"], Some(("K8", ItemBasis::Popular, 400)));
        check(&[], None, &["K8", "G9"], None);
    }

    #[test]
    fn what_was_bought_is_not_offered_as_popular() {
        check(&[ranked("B2", Some("K8"))], None, &[], Some(("G9", ItemBasis::Popular, 400)));
        check(&[ranked("K2", Some("G9"))], None, &[], Some(("G8", ItemBasis::Group, 70)));
    }

    #[test]
    fn the_reason_line_is_true_for_each_basis() {
        let template = "You placed {n} orders. We picked {item} because you bought {because}. Enjoy.";
        assert_eq!(why_for(template, ItemBasis::Purchase, None), template);
        assert_eq!(
            why_for(template, ItemBasis::Popular, None),
            "You placed {n} orders. We picked {item} because many people buy it. Enjoy."
        );
        assert_eq!(
            why_for(template, ItemBasis::Stated, Some("favourite_group")),
            "You placed {n} orders. We picked {item} because you told us that you like {favourite_group}. Enjoy."
        );
        assert_eq!(
            why_for("Because of {because}", ItemBasis::Group, None),
            "We picked {item} because you bought something from {because} before."
        );
        assert_eq!(why_for("You are here.", ItemBasis::Popular, None), "You are here.");
    }
}
