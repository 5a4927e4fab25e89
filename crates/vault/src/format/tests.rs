//! Every form that was ever written reads back for ever: samples of each in `formats/records-1.json`.

use super::*;
use crate::wish::Wish;
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../formats/records-1.json")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn at() -> At {
    At::parse("2026-11-23T12:00:00Z").unwrap()
}

fn proof() -> ProofForm {
    ProofForm { salt: [1; 16].into(), batch: 7, index: 2 }
}

fn fact() -> Fact {
    let items = vec![RankedItem {
        item: ItemCode::parse("22423").unwrap(),
        because: ItemCode::parse("85123A"),
        score_micros: -5,
    }];
    Fact {
        name: FactName::Trait(TraitName::parse("candidates").unwrap()),
        value: Value::Ranking(items),
        class: Class::Personal,
        context: Context::Work,
        provenance: Provenance::Inferred { ancestors: vec!["Order Completed".into()] },
        as_of: at(),
        told_at: Some(at().plus_days(1)),
        told_how: Awareness::InNotice,
        purposes: vec![PurposeName::parse("offers").unwrap()],
        notice_version: 3,
        expires_at: at().plus_days(9),
    }
}

fn event() -> Event {
    let price = Money { micros: 12_500_000, currency: Currency::GBP };
    let values = [
        ("text", Value::Text("t".into())),
        ("number", Value::Number(-4)),
        ("money", Value::Money(price)),
        ("flag", Value::Flag(true)),
        ("instant", Value::Instant(at())),
        ("date", Value::Date(at().day())),
    ];
    Event {
        id: EventId::from_bytes([4; 16]),
        profile: ProfileId::from_bytes([5; 16]),
        kind: EventKind::Identify,
        name: EventName::parse("Order Completed").unwrap(),
        source: SourceName::parse("shop").unwrap(),
        trust: Trust::Server,
        occurred_at: at(),
        received_at: at().plus_ms(3),
        source_day: Some(at().day()),
        properties: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        lines: vec![LineItem { row: 9, item: ItemCode::parse("22423").unwrap(), quantity: -2, price }],
    }
}

fn trace() -> Trace {
    Trace {
        facts: vec![FactRead { fact: fact(), ancestors: vec!["a".into()], life_used_percent: 40, label: "l".into() }],
        steps: vec![Step { rule: "cap".into(), passed: false, reason: Some(RefusalReason::AnswerLapsed) }],
        texts: ["title".into(), "says".into(), "why".into()],
        slots: BTreeMap::from([("item".into(), "A heart".into())]),
        propensity_micros: 250_000,
        basis: ItemBasis::Group,
        shared_by: 80,
        exposure: "page".into(),
        promise: [6; 32],
        notice_version: 2,
    }
}

fn core() -> CoreForm {
    CoreForm {
        given: None,
        tally: None,
        number: 41,
        kind: 1,
        relations: vec![RelationForm {
            purpose: "offers".into(),
            status: status_code(ConsentStatus::Withdrawn),
            notice_version: 2,
            at: 11,
            level: Some("little".into()),
        }],
        told_version: 2,
        consent_seq: 12,
        restrained: true,
        contacts: vec![ContactForm { message: [7; 16].into(), at: 13, sent: true }],
        at_most: Some(1),
        turned_down: vec!["come_back".into()],
        suppressed: true,
        identifiers: vec![IdentifierForm { kind: 2, value: "a@b.example".into() }],
        joins: vec![JoinForm { other: [8; 16].into(), proof: 1, at: 14 }],
        uses: vec![UseForm { day: 15, artefact: "items".into(), purpose: None, fact: Some("email".into()), n: 3 }],
        tokens: vec![TokenForm { hash: [9; 32].into(), decision: [10; 16].into(), of_page: None }],
        last: BTreeMap::from([("Order Completed".to_owned(), 16)]),
        n_ledger: 4,
        decided: vec![DecidedForm {
            campaign: "c".into(),
            run: 2,
            decision: [10; 16].into(),
            at: 17,
            by_mail: true,
            is_over: None,
        }],
        touched: 18,
        staff_reads: vec![StaffForm { at: 19, staff: "Ada".into(), reason: "r".into(), act: None }],
        created_at: 20,
        wishes_done: vec![[11; 16].into()],
        less: None,
        ..CoreForm::default()
    }
}

/// With everything that later versions added.
fn core_of_now() -> CoreForm {
    let mut core = core();
    core.decided[0].is_over = Some(true);
    core.tokens[0].of_page = Some(true);
    core.less = Some(LessForm { by: [10; 16].into(), before: Some(2), at: 21 });
    core
}

fn core_with_tally() -> CoreForm {
    CoreForm { tally: Some(TallyForm { n: vec![2, 300, 3, 0], sum: [22; 16].into() }), ..core_of_now() }
}

fn hold() -> HoldForm {
    HoldForm {
        id: [23; 16].into(),
        names: vec!["Order Completed".into()],
        reason: "r".into(),
        staff: "Ada".into(),
        at: 45,
        until: 46,
    }
}

fn core_that_leaves() -> CoreForm {
    CoreForm {
        left_at: Some(47),
        last_act: Some(48),
        fate: Some(FateForm::of(Fate::Until(Day::from_number(49)), At::from_ms(50))),
        reminder: Some(ReminderForm { at: 51, decision: [24; 16].into() }),
        holds: Some(vec![hold()]),
        ..core_with_tally()
    }
}

fn spoken() -> SpokenForm {
    SpokenForm {
        of: 1,
        name: "email".into(),
        from: i64::MIN,
        until: Some(52),
        purposes: vec!["offers".into()],
        keep_days: 53,
        clock: 1,
        clock_event: Some("Order Completed".into()),
        end_on: Some("Left Shop".into()),
    }
}

fn ledger() -> LedgerForm {
    LedgerForm {
        id: [12; 16].into(),
        purpose: "offers".into(),
        status: status_code(ConsentStatus::Given),
        level: None,
        text: "Yes".into(),
        language: "en".into(),
        answered_at: 21,
        method: method_code(Method::Gpc),
        notice_version: 2,
        made_up: true,
        source: Some("web".into()),
        at: 22,
        proof: Some(proof()),
        included_by: Some(23),
    }
}

fn decision() -> DecisionForm {
    DecisionForm {
        id: [13; 16].into(),
        at: 24,
        campaign: "win_back".into(),
        artefact: [14; 32].into(),
        offer: Some("come_back".into()),
        item: Some("22423".into()),
        held_out: false,
        channel: channel_code(ChannelKind::Page),
        run: 3,
        trace: TraceForm::of(&trace()),
        message: Some(MessageForm {
            id: [15; 16].into(),
            due_at: 25,
            state: MessageState::Waiting,
            n_attempts: 2,
            why: Some("quiet_hours".into()),
            ended_at: None,
        }),
        reduced: true,
        proof: Some(proof()),
    }
}

fn class() -> ClassForm {
    let columns = [crate::TraitColumn {
        name: TraitName::parse("orders_all").unwrap(),
        event: EventName::parse("Order Completed").unwrap(),
    }];
    let mut form = ClassForm { facts: vec![FactForm::of(&fact())], ..ClassForm::default() };
    form.set_buckets(&columns, &[Bucket { column: 0, day: at().day(), amount: -3 }]);
    form
}

/// Whether some bytes read back as the sample.
type ReadsBack<'a> = &'a dyn Fn(&[u8]) -> bool;

/// Runs `check` on one sample of every form, under its name.
fn every_form(check: &mut dyn FnMut(&str, Vec<u8>, ReadsBack<'_>)) {
    macro_rules! forms {
        ($($name:literal: $form:ty = $sample:expr;)*) => {$(
            let sample: $form = $sample;
            check($name, encode(&sample), &|bytes| decode::<$form>("house", bytes).is_ok_and(|read| read == sample));
        )*};
    }
    forms! {
        "event": EventForm = EventForm::of(&event(), &[PurposeName::parse("offers").unwrap()]);
        "fact": FactForm = FactForm::of(&fact());
        "class": ClassForm = class();
        "core": CoreForm = core();
        "core_of_now": CoreForm = core_of_now();
        "core_with_tally": CoreForm = core_with_tally();
        "house_tally": HouseTallyForm = HouseTallyForm { batch: 35, rows: vec![(1, 41, [23; 16].into())] };
        "ledger": LedgerForm = ledger();
        "decision": DecisionForm = decision();
        "outbox": OutboxForm = OutboxForm {
            message: [15; 16].into(), decision: [13; 16].into(), person: [5; 16].into(), artefact: [14; 32].into(),
            n_attempts: 2, trying: true, why: Some("relay_down".into()),
        };
        "wish": Wish = Wish::Answer(ledger());
        "wish_less": Wish = Wish::Less([16; 16].into(), 1);
        "wish_less_by": Wish = Wish::LessBy([16; 16].into(), 1, [10; 16].into(), 21);
        "wish_restore": Wish = Wish::Restore([16; 16].into(), Some(2));
        "wish_undo_less": Wish = Wish::UndoLess([16; 16].into());
        "wish_not_this": Wish = Wish::NotThis([16; 16].into(), vec!["come_back".into()]);
        "wish_leave_me_alone": Wish = Wish::LeaveMeAlone([16; 16].into());
        "item": ItemForm = ItemForm::of(&Item {
            code: ItemCode::parse("85123A").unwrap(), title: "A heart".into(), group: "garden".into(),
            class: Class::Sensitive, price: Money::parse("2.55", Currency::EUR),
        });
        "sale": SaleForm = SaleForm { event: "Order Completed".into(), day: 26, line: LineForm::of(&event().lines[0]) };
        "review": ReviewForm = ReviewForm {
            artefact: [14; 32].into(), staff: "Ada".into(), role: "privacy".into(), at: 27, promise: [6; 32].into(),
            signature: vec![17; 64],
        };
        "use_run": UseRunForm = UseRunForm {
            artefact: "items".into(), purpose: Some("offers".into()), day: 28, fields: vec!["Order Completed".into()],
            people: vec![1, 2, 3], apart: None,
        };
        "use_run_apart": UseRunForm = UseRunForm {
            artefact: "items".into(), purpose: None, day: 28, fields: vec!["Order Completed".into(), "email".into()],
            people: vec![1, 2, 3], apart: Some(vec![(1, vec![4, 5].into())]),
        };
        "staff_read": StaffForm = StaffForm {
            at: 19, staff: "Ada".into(), reason: "r".into(), act: Some("opened_person".into()),
        };
        "hour": HourForm = HourForm {
            hour: 35, counts: vec![CountForm { artefact: "model items".into(), field: "email".into(), n: 36 }],
        };
        "habit": HabitForm = HabitForm {
            since: 37, known: vec![("model items".into(), 38, vec!["email".into()])],
        };
        "alarm": AlarmForm = AlarmForm {
            kind: 1, who: "model items".into(), fields: vec!["email".into()], at: 39, n: 40, usual: 41,
            acknowledged: None,
        };
        "alarm_acknowledged": AlarmForm = AlarmForm {
            kind: 2, who: "Ada".into(), fields: Vec::new(), at: 42, n: 43, usual: 20,
            acknowledged: Some(AcknowledgedForm { at: 44, staff: "Grace".into(), reason: "r".into() }),
        };
        "log": LogForm = LogForm { at: 29, kind: "consent".into(), hash: [18; 32].into() };
        "left": LeftForm = LeftForm { erased_at: 30, restrained: true };
        "request": RequestForm = RequestForm {
            id: [19; 16].into(), kind: "erase".into(), at: 31, unrecoverable_on: 32, proof: Some(proof()),
            taken_back_at: None, taken_back_proof: None, told: None, undo_until: None, words: None,
        };
        "request_told": RequestForm = RequestForm {
            id: [22; 16].into(), kind: "erase".into(), at: 45, unrecoverable_on: 46, proof: Some(proof()),
            taken_back_at: Some(47), taken_back_proof: Some(proof()), undo_until: Some(48), words: Some(1),
            told: Some(vec![ToldForm {
                recipient: "crm".into(), state: ToldState::Impossible, why: Some("w".into()), at: 49, n_tries: 50,
            }]),
        };
        "recovery_undo": RecoveryForm = RecoveryForm { until: 51, sealed: vec![23; 9], undo: Some(vec![24; 9].into()) };
        "undo": UndoForm = UndoForm {
            rows: vec![(4, vec![25].into(), vec![26].into())],
            left: vec![UndoLeftForm { key: vec![27].into(), before: Some(vec![28].into()), written: vec![29].into() }],
            joins: vec![UndoJoinForm {
                of: [30; 16].into(), at: 52, join: JoinForm { other: [31; 16].into(), proof: 1, at: 53 },
            }],
            wishes: vec![Wish::LeaveMeAlone([32; 16].into())],
            columns: Some(vec![33; 4].into()),
            request: [34; 16].into(),
        };
        "given": GivenForm = GivenForm {
            recipient: "crm".into(), what: vec!["w".into()], first_at: 54, last_at: 55, n: 56,
        };
        "erase_call": EraseCallForm = EraseCallForm {
            request: [35; 16].into(), recipient: "crm".into(), reference: "ref".into(), asked_at: 57, due_at: 58,
            n_tries: 59, why: Some("w".into()),
        };
        "recovery": RecoveryForm = RecoveryForm { until: 33, sealed: vec![20; 9], undo: None };
        "rotation": RotationForm = RotationForm {
            ended_at: Some(35), version: 36, stage: RotationStage::Compact, forgotten_at: Some(37), covered_at: Some(38),
        };
        "leaving_core": CoreForm = core_that_leaves();
        "leaving_terms": TermsForm = TermsForm { spoken: vec![spoken()] };
        "leaving_removal": RemovalForm = RemovalForm {
            since: 54, swept_at: Some(55), covered_at: Some(56), clean_at: 57, rounds: vec![(58, 59)],
        };
        "hold": HoldForm = hold();
        "source_key": SourceKeyForm = SourceKeyForm { token: [21; 32].into(), source: "web".into(), at: 34 };
    }
}

#[test]
fn every_form_ever_written_reads_back() {
    #[expect(clippy::disallowed_methods, reason = "the published vectors are files of the repository")]
    let text = std::fs::read_to_string(file()).unwrap();
    let known: Map<String, Json> = serde_json::from_str(&text).unwrap();
    let mut names = Vec::new();
    every_form(&mut |name, bytes, reads_back| {
        assert!(reads_back(&bytes), "{name} does not read back what it writes");
        let published = unhex(known[name].as_str().unwrap_or_else(|| panic!("no vector of {name}")));
        assert!(reads_back(&published), "the published {name} does not read back");
        assert_eq!(hex(&bytes), hex(&published), "{name} is written in another way than before");
        names.push(name.to_owned());
    });
    names.push("what".into());
    names.sort_unstable();
    assert_eq!(known.keys().cloned().collect::<Vec<_>>(), names, "a form was taken away");
}

#[test]
fn records_come_back_as_they_went_in() {
    assert!(EventForm::of(&event(), &[]).event(event().profile).unwrap() == event());
    assert!(FactForm::of(&fact()).fact().unwrap() == fact());
    assert_eq!(TraceForm::of(&trace()).trace().unwrap(), trace());
}

#[test]
fn unknown_numbers_are_ignored_and_garbage_is_damage() {
    // An outbox form of some later version: an eighth field that this program does not know.
    let later = minicbor::to_vec((
        Bytes16::from([1; 16]),
        Bytes16::from([2; 16]),
        Bytes16::from([3; 16]),
        Bytes32::from([4; 32]),
        5u32,
        false,
        Option::<String>::None,
        "new",
    ));
    let read: OutboxForm = decode("outbox", &later.unwrap()).unwrap();
    assert_eq!(read.n_attempts, 5);
    assert!(matches!(
        decode::<CoreForm>("profiles", &[0xff, 0]),
        Err(VaultError::Damaged { keyspace: "profiles", .. })
    ));
}

#[test]
#[ignore = "writes the vectors of new forms; never replaces one"]
fn write_missing_records() {
    #[expect(clippy::disallowed_methods, reason = "the published vectors are files of the repository")]
    let text = std::fs::read_to_string(file()).unwrap();
    let mut known: Map<String, Json> = serde_json::from_str(&text).unwrap();
    every_form(&mut |name, bytes, _| {
        known.entry(name).or_insert_with(|| Json::String(hex(&bytes)));
    });
    let text = serde_json::to_string_pretty(&Json::Object(known)).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the published vectors are files of the repository")]
    std::fs::write(file(), format!("{text}\n")).unwrap();
}
