//! Tests of the verdict: what must happen, what must not, and what no added data may turn round.

use super::*;
use crate::artefact::ArtefactKind;
use model::{Awareness, Context, FactName, FieldName, TraitName};
use proptest::prelude::*;

const DAY: i64 = model::DAY_MS;

fn now() -> At {
    At::parse("2026-06-01T12:00:00Z").unwrap()
}

fn shop() -> &'static Promise {
    static SHOP: std::sync::LazyLock<Promise> =
        std::sync::LazyLock::new(|| crate::parse("shop.toml", crate::fixture::SHOP).unwrap());
    &SHOP
}

fn purpose(name: &str) -> PurposeName {
    PurposeName::parse(name).unwrap()
}

fn relation(status: ConsentStatus) -> Relation {
    Relation { status, notice_version: 1, at: now().plus_days(-30), level: None }
}

fn standing(relations: &[(&str, ConsentStatus)]) -> Standing {
    let relations = relations.iter().map(|(name, status)| (purpose(name), relation(*status))).collect();
    Standing { relations, told_version: 1, ..Standing::default() }
}

fn campaign(promise: &Promise) -> Artefact {
    promise.artefact(ArtefactKind::Campaign, "win_back").unwrap().clone()
}

fn page(promise: &Promise, name: &str) -> Artefact {
    promise.artefact(ArtefactKind::Page, name).unwrap().clone()
}

fn fact(name: &str) -> Fact {
    Fact {
        name: FactName::Trait(TraitName::parse(name).unwrap()),
        value: Value::Number(4),
        class: Class::Plain,
        context: Context::Shopping,
        provenance: Provenance::Derived { ancestors: vec!["Order Completed".into()] },
        as_of: now().plus_days(-2),
        told_at: Some(now().plus_days(-2)),
        told_how: Awareness::InNotice,
        purposes: vec![purpose("offers"), purpose("orders")],
        notice_version: 1,
        expires_at: now().plus_days(100),
    }
}

fn reason(verdict: &Verdict) -> Option<RefusalReason> {
    match verdict {
        Verdict::Yes { .. } => None,
        Verdict::No(refusal) => Some(refusal.reason),
    }
}

#[test]
fn consent_is_in_force_only_when_given() {
    let promise = shop();
    let campaign = campaign(promise);
    for (status, expected) in [
        (ConsentStatus::Given, None),
        (ConsentStatus::Unknown, Some(RefusalReason::NeverAsked)),
        (ConsentStatus::Requested, Some(RefusalReason::NeverAsked)),
        (ConsentStatus::Deferred, Some(RefusalReason::NeverAsked)),
        (ConsentStatus::Refused, Some(RefusalReason::SaidNo)),
        (ConsentStatus::Withdrawn, Some(RefusalReason::Withdrawn)),
        (ConsentStatus::Revoked, Some(RefusalReason::AnswerLapsed)),
        (ConsentStatus::Expired, Some(RefusalReason::AnswerLapsed)),
        (ConsentStatus::Invalidated, Some(RefusalReason::AnswerLapsed)),
    ] {
        let verdict = judge(promise, &campaign, &standing(&[("offers", status)]), now());
        assert_eq!(reason(&verdict), expected, "{}", status.as_str());
    }
    // A contract is not a yes to offers.
    let verdict = judge(promise, &campaign, &standing(&[("orders", ConsentStatus::Given)]), now());
    assert_eq!(reason(&verdict), Some(RefusalReason::NeverAsked));
}

#[test]
fn a_refusal_names_the_line_that_decided() {
    let promise = shop();
    let Verdict::No(refusal) = judge(promise, &campaign(promise), &standing(&[]), now()) else { panic!("yes") };
    assert_eq!(refusal.purpose, Some(purpose("offers")));
    let line = refusal.line.unwrap() as usize;
    assert_eq!(crate::fixture::SHOP.lines().nth(line - 1), Some("[purpose.offers]"));
}

#[test]
fn a_yes_counts_only_under_a_notice_that_covers_it_and_binds() {
    let newer = crate::fixture::SHOP
        .replace("version = 1\nstarts = 2026-01-15", "version = 2\nstarts = 2026-06-10")
        .replace("what you bought.\"\nbasis", "what you bought.\"\nsince_notice = 2\nbasis");
    let promise = &crate::parse("shop.toml", &newer).unwrap();
    let campaign = campaign(promise);
    let mut person = standing(&[("offers", ConsentStatus::Given)]);
    let later = now().plus_days(20);
    assert_eq!(reason(&judge(promise, &campaign, &person, later)), Some(RefusalReason::NotTold), "an older yes");
    person.relations.get_mut("offers").unwrap().notice_version = 2;
    assert_eq!(reason(&judge(promise, &campaign, &person, later)), Some(RefusalReason::NotTold), "never told");
    person.told_version = 2;
    assert_eq!(reason(&judge(promise, &campaign, &person, now())), Some(RefusalReason::NotTold), "binds later");
    assert_eq!(reason(&judge(promise, &campaign, &person, later)), None);
    person.relations.get_mut("offers").unwrap().notice_version = 3;
    assert_eq!(reason(&judge(promise, &campaign, &person, later)), Some(RefusalReason::NotTold), "a notice of nobody");
}

#[test]
fn leave_me_alone_stops_everything_but_the_persons_own_page_and_being_told_of_a_breach() {
    let promise = shop();
    let mut person = standing(&[("offers", ConsentStatus::Given), ("orders", ConsentStatus::Given)]);
    person.restrained = true;
    for artefact in promise.artefacts().values() {
        let verdict = judge(promise, artefact, &person, now());
        let is_owed = artefact.is_portal() || artefact.is_breach_notice();
        let expected = (!is_owed).then_some(RefusalReason::Restrained);
        assert_eq!(reason(&verdict), expected, "{}", artefact.name);
    }
    person.erased = true;
    for artefact in promise.artefacts().values() {
        assert_eq!(reason(&judge(promise, artefact, &person, now())), Some(RefusalReason::NoSuchPerson));
    }
}

#[test]
fn a_fact_is_read_only_within_terms_purpose_and_life() {
    let promise = shop();
    let campaign = campaign(promise);
    let person = standing(&[("offers", ConsentStatus::Given)]);
    let read = |fact: &Fact, at: At| judge_fact(promise, &campaign, &person, fact, at).err().map(|no| no.reason);
    let good = fact("orders_all");
    assert_eq!(read(&good, now()), None);
    assert_eq!(read(&fact("spent_all"), now()), Some(RefusalReason::NotInTerms));
    assert_eq!(read(&good, good.expires_at.plus_ms(-1)), None);
    assert_eq!(read(&good, good.expires_at), Some(RefusalReason::Expired));
    let told = |told_at| Fact { told_at, ..good.clone() };
    assert_eq!(read(&told(None), now()), Some(RefusalReason::NotTold));
    assert_eq!(read(&told(Some(now().plus_ms(1))), now()), Some(RefusalReason::NotTold));
    let narrow = Fact { purposes: vec![purpose("orders")], ..good.clone() };
    assert_eq!(read(&narrow, now()), Some(RefusalReason::OtherPurpose));
    let sensitive = Fact { class: Class::Sensitive, ..good.clone() };
    assert_eq!(read(&sensitive, now()), Some(RefusalReason::Guarded));
    let unknown_notice = Fact { notice_version: 9, ..good };
    assert_eq!(read(&unknown_notice, now()), Some(RefusalReason::NotTold));
}

#[test]
fn the_portal_shows_what_is_held_and_nothing_outlived() {
    let promise = shop();
    let (portal, desk) = (page(promise, "portal"), page(promise, "desk"));
    let person = standing(&[]);
    let hidden = Fact { told_at: None, class: Class::Sensitive, purposes: vec![], ..fact("orders_all") };
    assert_eq!(judge_fact(promise, &portal, &person, &hidden, now()), Ok(()));
    assert_eq!(
        judge_fact(promise, &portal, &person, &hidden, hidden.expires_at).unwrap_err().reason,
        RefusalReason::Expired
    );
    assert_eq!(judge_fact(promise, &desk, &person, &hidden, now()).unwrap_err().reason, RefusalReason::Guarded);
    let never = Fact { class: Class::Never, ..hidden };
    assert_eq!(judge_fact(promise, &portal, &person, &never, now()).unwrap_err().reason, RefusalReason::Guarded);
}

#[test]
fn a_lower_level_hides_what_only_a_fuller_one_lists() {
    let promise = shop();
    let campaign = campaign(promise);
    let mut person = standing(&[("offers", ConsentStatus::Given)]);
    let ranking = Fact {
        value: Value::Ranking(vec![]),
        name: FactName::Trait(TraitName::parse("candidates").unwrap()),
        ..fact("orders_all")
    };
    let read = |person: &Standing, fact: &Fact| judge_fact(promise, &campaign, person, fact, now());
    assert_eq!(read(&person, &ranking), Ok(()));
    for (level, expected) in
        [("full", None), ("little", Some(RefusalReason::AboveLevel)), ("no such", Some(RefusalReason::AboveLevel))]
    {
        person.relations.get_mut("offers").unwrap().level = Some(level.into());
        assert_eq!(read(&person, &ranking).err().map(|no| no.reason), expected, "{level}");
        assert_eq!(read(&person, &fact("orders_all")), Ok(()), "{level}: not listed by any level");
    }
    let on_items = Fact { provenance: Provenance::Derived { ancestors: vec!["item".into()] }, ..fact("orders_all") };
    assert_eq!(read(&person, &on_items).unwrap_err().reason, RefusalReason::AboveLevel);
    assert!(promise.may_see_property(&purpose("offers"), Some("little"), "group"));
    assert!(!promise.may_see_property(&purpose("offers"), Some("little"), "item"));
}

#[test]
fn an_artefact_of_several_purposes_lives_on_any_of_them() {
    let promise = shop();
    let count = promise.artefact(ArtefactKind::Trait, "orders_all").unwrap();
    for name in ["orders", "offers"] {
        let person = standing(&[(name, ConsentStatus::Given)]);
        assert_eq!(reason(&judge(promise, count, &person, now())), None, "{name}");
    }
    assert!(reason(&judge(promise, count, &standing(&[]), now())).is_some());
    let counted = promise.artefact(ArtefactKind::Count, "lapsed").unwrap();
    let person = standing(&[("orders", ConsentStatus::Given)]);
    assert_eq!(reason(&judge(promise, counted, &person, now())), None);
}

#[test]
fn no_purpose_in_force_means_nothing_is_stored() {
    let promise = shop();
    let order = &promise.events["Order Completed"];
    let view = &promise.events["Page Viewed"];
    let nobody = standing(&[]);
    let yes = standing(&[("offers", ConsentStatus::Given)]);
    let taken = |event, trust, person: &Standing| promise.intake_purposes(event, trust, person, now());
    // A browser cannot make a contract.
    assert_eq!(taken(order, Trust::Server, &nobody), Ok(vec![purpose("orders")]));
    assert_eq!(taken(order, Trust::Import, &nobody), Ok(vec![purpose("orders")]));
    assert_eq!(taken(order, Trust::Browser, &nobody).unwrap_err().reason, RefusalReason::NeverAsked);
    assert_eq!(taken(order, Trust::Browser, &yes), Ok(vec![purpose("offers")]));
    assert_eq!(taken(order, Trust::Server, &yes), Ok(vec![purpose("offers"), purpose("orders")]));
    // No trust replaces a yes.
    assert_eq!(taken(view, Trust::Server, &yes).unwrap_err().reason, RefusalReason::NeverAsked);
    let mut restrained = yes.clone();
    restrained.restrained = true;
    assert_eq!(taken(order, Trust::Server, &restrained).unwrap_err().reason, RefusalReason::Restrained);
    let refusal = taken(view, Trust::Server, &nobody).unwrap_err();
    assert_eq!(refusal.line, promise.line("purpose", "measuring"));
    let size = &promise.fields[&FieldName::parse("shirt_size").unwrap()];
    assert_eq!(promise.intake_field_purposes(size, Trust::Browser, &yes, now()), Ok(vec![purpose("offers")]));
}

fn statuses() -> impl Strategy<Value = ConsentStatus> {
    use ConsentStatus::{Deferred, Expired, Given, Invalidated, Refused, Requested, Revoked, Unknown, Withdrawn};
    prop::sample::select(vec![
        Given,
        Given,
        Given,
        Requested,
        Deferred,
        Unknown,
        Refused,
        Withdrawn,
        Revoked,
        Expired,
        Invalidated,
    ])
}

fn levels() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["little".to_owned(), "full".to_owned(), "odd".to_owned()]))
}

fn standings() -> impl Strategy<Value = Standing> {
    let relation = (statuses(), 0u32..3, -40i64..2, levels()).prop_map(|(status, notice_version, day, level)| {
        Relation { status, notice_version, at: now().plus_ms(day * DAY), level }
    });
    let names = prop::sample::select(vec![purpose("orders"), purpose("offers"), purpose("measuring"), purpose("x")]);
    let relations = prop::collection::btree_map(names, relation, 0..4);
    (prop::bool::weighted(0.1), prop::bool::weighted(0.1), relations, 0u32..3).prop_map(
        |(erased, restrained, relations, told_version)| Standing {
            erased,
            restrained,
            relations,
            told_version,
            ..Standing::default()
        },
    )
}

fn facts() -> impl Strategy<Value = Fact> {
    let names = prop::sample::select(vec!["orders_all", "orders_90d", "spent_all", "candidates", "gone"]);
    let purposes = prop::collection::vec(prop::sample::select(vec![purpose("orders"), purpose("offers")]), 0..3);
    let told = prop::option::of((-3i64..3).prop_map(|day| now().plus_ms(day * DAY)));
    let classes = prop::sample::select(vec![Class::Plain, Class::Personal, Class::Sensitive, Class::Never]);
    (names, purposes, told, classes, -2i64..3, 0u32..3).prop_map(|(name, purposes, told_at, class, days, notice)| {
        Fact { purposes, told_at, class, expires_at: now().plus_ms(days * DAY), notice_version: notice, ..fact(name) }
    })
}

proptest! {
    /// Missing means no: taking anything away from what is known about a person's wishes never opens a read.
    #[test]
    fn taking_away_never_turns_a_refusal_into_a_yes(person in standings(), fact in facts(), drop in 0usize..4, told in 0u32..3) {
        let promise = shop();
        let mut less = person.clone();
        if let Some(name) = person.relations.keys().nth(drop).cloned() {
            less.relations.remove(&name);
        }
        less.told_version = less.told_version.min(told);
        let unknown = Fact { told_at: None, ..fact.clone() };
        let narrower = Fact { purposes: fact.purposes.iter().skip(1).cloned().collect(), ..fact.clone() };
        for artefact in promise.artefacts().values() {
            let before = judge_fact(promise, artefact, &person, &fact, now());
            if before.is_err() {
                prop_assert!(judge_fact(promise, artefact, &less, &fact, now()).is_err());
                prop_assert!(judge_fact(promise, artefact, &person, &unknown, now()).is_err());
                prop_assert!(judge_fact(promise, artefact, &person, &narrower, now()).is_err());
            }
            if reason(&judge(promise, artefact, &person, now())).is_some() {
                prop_assert!(reason(&judge(promise, artefact, &less, now())).is_some());
            }
        }
    }

    /// A no stays a no, whatever else becomes known: other purposes, newer notices reached, more terms, more ancestors.
    #[test]
    fn adding_data_never_turns_a_refusal_into_a_yes(person in standings(), more in standings(), fact in facts()) {
        let promise = shop();
        let mut richer = person.clone();
        richer.erased |= more.erased;
        richer.restrained |= more.restrained;
        for (name, relation) in more.relations {
            let said = richer.relations.contains_key(&name);
            // Another yes for another purpose is data; a yes in place of this no would be a new wish.
            if !said && name != purpose("offers") {
                richer.relations.insert(name, relation);
            }
        }
        let campaign = campaign(promise);
        if let Some(no) = reason(&judge(promise, &campaign, &person, now())) {
            prop_assert!(reason(&judge(promise, &campaign, &richer, now())).is_some(), "{}", no.as_str());
        }
        let mut ancestors = fact.clone();
        ancestors.provenance = Provenance::Derived { ancestors: vec!["Order Completed".into(), "item".into(), "group".into()] };
        let older = Fact { expires_at: fact.expires_at.plus_ms(-DAY), ..fact.clone() };
        if judge_fact(promise, &campaign, &person, &fact, now()).is_err() {
            for fact in [&fact, &ancestors, &older] {
                prop_assert!(judge_fact(promise, &campaign, &richer, fact, now()).is_err());
            }
        }
    }

    /// Whoever said no, or nothing, is never read for offers, by no artefact and at no time.
    #[test]
    fn without_a_yes_nothing_is_read_for_offers(person in standings(), fact in facts(), days in -400i32..400) {
        let promise = shop();
        let given = person.relations.get("offers").is_some_and(|relation| relation.status.is_given());
        prop_assume!(!given || person.erased || person.restrained);
        let at = now().plus_days(days);
        for artefact in promise.artefacts().values().filter(|artefact| artefact.terms.purpose == Some(purpose("offers")) && artefact.terms.or.is_empty()) {
            prop_assert!(judge_fact(promise, artefact, &person, &fact, at).is_err());
        }
    }

    /// Nothing stored that could not be used: what the gate takes for consent purposes is in force.
    #[test]
    fn the_gate_takes_nothing_for_a_purpose_without_a_yes(person in standings()) {
        let promise = shop();
        for event in promise.events.values() {
            for trust in [Trust::Browser, Trust::Server, Trust::Import] {
                for taken in promise.intake_purposes(event, trust, &person, now()).unwrap_or_default() {
                    prop_assert!(!person.erased && !person.restrained);
                    let by_contract = taken == purpose("orders") && trust != Trust::Browser;
                    prop_assert!(by_contract || promise.in_force(&taken, &person, now()).is_ok());
                    prop_assert!(event.retention.purposes.contains(&taken));
                }
            }
        }
    }
}
