//! The model on generated shops, and on the real one where it is at hand.

use super::*;
use model::Rng;
use model::chance::Seeded;
use proptest::prelude::*;

fn code(text: &str) -> ItemCode {
    ItemCode::parse(text).unwrap()
}

/// A shop with four tastes of 30 items each: people buy within their taste, now and then something else.
fn shop(seed: u64, n_people: usize) -> Vec<(BTreeSet<ItemCode>, BTreeSet<ItemCode>)> {
    let rng: &dyn Rng = &Seeded::new(seed);
    let draw = |taste: u64| {
        let taste = if rng.below(5) == 0 { rng.below(4) } else { taste };
        let rank = rng.below(30) * rng.below(30) / 30;
        code(&format!("{taste}-{rank:02}"))
    };
    let person = |_| {
        let taste = rng.below(4);
        let before = (0..8).map(|_| draw(taste)).collect();
        (before, (0..5).map(|_| draw(taste)).collect())
    };
    (0..n_people).map(person).collect()
}

fn fitted(people: &[(BTreeSet<ItemCode>, BTreeSet<ItemCode>)]) -> Items {
    let baskets: Vec<Vec<ItemCode>> = people.iter().map(|(before, _)| before.iter().cloned().collect()).collect();
    Items::fit(&baskets)
}

#[test]
fn b14_what_goes_together_beats_what_is_popular() {
    let people = shop(7, 600);
    let judged = evaluate(&fitted(&people), &people, 3);
    assert!(judged.n_people > 500);
    assert!(judged.recall_20 > 1.3 * judged.popular_recall_20, "{judged:?}");
}

#[test]
fn fewer_than_five_people_teach_nothing() {
    let pair = vec![code("A"), code("B")];
    assert!(Items::fit(&vec![pair.clone(); 4]).is_empty());
    let five = Items::fit(&vec![pair; 5]);
    assert_eq!(five.rank(&BTreeSet::from([code("a")]), 10).len(), 1);
    let mut baskets = vec![vec![code("A")]; 5];
    baskets.extend(vec![vec![code("B")]; 5]);
    baskets.extend(vec![vec![code("A"), code("B")]; 4]);
    let items = Items::fit(&baskets);
    assert_eq!(items.n_buyers(&code("A")), 9);
    assert!(items.rank(&BTreeSet::from([code("A")]), 10).is_empty(), "a pair of four people must not be kept");
}

#[test]
fn the_reason_is_the_owned_item_with_the_largest_share() {
    let mut baskets = vec![vec![code("KETTLE"), code("TEA")]; 30];
    baskets.extend(vec![vec![code("LAMP"), code("TEA")]; 6]);
    baskets.extend(vec![vec![code("LAMP")]; 40]);
    let ranked = Items::fit(&baskets).rank(&BTreeSet::from([code("KETTLE"), code("LAMP")]), 5);
    assert_eq!(ranked[0].item, code("TEA"));
    assert_eq!(ranked[0].because, Some(code("KETTLE")));
}

#[test]
fn ties_go_to_the_smaller_code() {
    let baskets = vec![vec![code("Z"), code("A"), code("M")]; 9];
    let items = Items::fit(&baskets);
    let ranked: Vec<_> = items.rank(&BTreeSet::from([code("M")]), 5).into_iter().map(|ranked| ranked.item).collect();
    assert_eq!(ranked, [code("A"), code("Z")]);
    assert_eq!(items.popular().map(|(item, _)| item.clone()).collect::<Vec<_>>(), [code("A"), code("M"), code("Z")]);
}

#[test]
fn a_model_reads_back_and_a_broken_one_is_refused() {
    let items = fitted(&shop(3, 200));
    let bytes = items.to_bytes().unwrap();
    assert_eq!(Items::from_bytes(&bytes).unwrap(), items);
    assert!(Items::from_bytes(&bytes[..bytes.len() / 2]).is_err());
    assert!(Items::from_bytes(b"").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_order_of_people_does_not_matter_and_no_owned_item_is_offered(seed: u64, turn in 0usize..50) {
        let people = shop(seed, 60);
        let mut turned = people.clone();
        turned.rotate_left(turn);
        let items = fitted(&people);
        prop_assert_eq!(&items, &fitted(&turned));
        for (owned, _) in &people {
            let ranked = items.rank(owned, 50);
            prop_assert!(ranked.iter().all(|ranked| !owned.contains(&ranked.item)));
            prop_assert!(ranked.iter().all(|ranked| ranked.because.as_ref().is_some_and(|item| owned.contains(item))));
            prop_assert!(ranked.is_sorted_by_key(|ranked| (Reverse(ranked.score_micros), ranked.item.clone())));
        }
    }
}
