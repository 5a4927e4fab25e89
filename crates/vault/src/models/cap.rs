//! One cap × two senders: two messages of one person, while days go by and the person says "less".

use super::{Met, finds, holds, now};
use crate::format::{Bytes16, ContactForm, CoreForm};
use crate::pressure;
use crate::wish::Wish;
use model::At;
use promise::CapPlan;
use stateright::{Model, Property};
use std::sync::Arc;

/// Two messages of one person, each with a sender of its own; the cap is one in two days.
#[derive(Clone)]
struct Cap {
    met: Arc<Met>,
    /// Read in the commit; planted: read before it.
    in_commit: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Waiting,
    /// Planted: there was room when it was read.
    HasRoom,
    Trying,
    Over,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pressure {
    /// Message, day, counted for good.
    contacts: Vec<(u8, i32, bool)>,
    messages: [Message; 2],
    day: i32,
    own: Option<u32>,
    /// Days on which something was received.
    received: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Try {
    Begin(u8),
    Sent(u8),
    Unknown(u8),
    Later(u8),
    Day,
    Less,
}

impl Pressure {
    fn core(&self) -> CoreForm {
        let contact = |(message, day, sent): &(u8, i32, bool)| ContactForm {
            message: Bytes16::from([*message; 16]),
            at: now().plus_days(*day).ms(),
            sent: *sent,
        };
        CoreForm { contacts: self.contacts.iter().map(contact).collect(), at_most: self.own, ..CoreForm::default() }
    }

    fn changed(&mut self, change: impl FnOnce(&mut CoreForm)) {
        let mut core = self.core();
        change(&mut core);
        let day = |at: i64| At::from_ms(at).day().since(now().day());
        self.contacts = core.contacts.iter().map(|each| (each.message[0], day(each.at), each.sent)).collect();
    }
}

impl Cap {
    const PLAN: CapPlan = CapPlan { at_most: 1, per_days: 2, quiet_from: 0, quiet_until: 0 };

    fn has_room(state: &Pressure) -> bool {
        let core = state.core();
        let contacts = core.contacts.iter().map(|contact| At::from_ms(contact.at));
        pressure::room(&Self::PLAN, core.at_most, contacts, now().plus_days(state.day)).is_ok()
    }
}

impl Model for Cap {
    type State = Pressure;
    type Action = Try;

    fn init_states(&self) -> Vec<Pressure> {
        let messages = [Message::Waiting; 2];
        vec![Pressure { contacts: Vec::new(), messages, day: 0, own: None, received: Vec::new() }]
    }

    fn actions(&self, state: &Pressure, actions: &mut Vec<Try>) {
        for (number, message) in (0..).zip(state.messages) {
            match message {
                Message::Waiting | Message::HasRoom => actions.push(Try::Begin(number)),
                Message::Trying => actions.extend([Try::Sent(number), Try::Unknown(number), Try::Later(number)]),
                Message::Over => {}
            }
        }
        if state.day < 4 {
            actions.push(Try::Day);
        }
        if state.own.is_none() {
            actions.push(Try::Less);
        }
    }

    fn next_state(&self, last: &Pressure, action: Try) -> Option<Pressure> {
        let mut state = last.clone();
        let at = now().plus_days(state.day);
        let id = |number: u8| Bytes16::from([number; 16]);
        match action {
            Try::Begin(number) => {
                let message = &mut state.messages[usize::from(number)];
                let may = *message == Message::HasRoom || Self::has_room(last);
                if !may {
                    self.met.note("no room");
                    return None;
                }
                if *message == Message::Waiting && !self.in_commit {
                    *message = Message::HasRoom;
                    return Some(state);
                }
                *message = Message::Trying;
                state.changed(|core| pressure::begin_attempt(core, id(number), at));
            }
            Try::Sent(number) | Try::Unknown(number) => {
                self.met.note(if action == Try::Sent(number) { "sent" } else { "unknown" });
                state.messages[usize::from(number)] = Message::Over;
                state.changed(|core| pressure::count_for_good(core, &id(number)));
                // It left when the attempt began, at the earliest.
                let begun = state.contacts.iter().find(|(message, ..)| *message == number)?.1;
                state.received.push(begun);
            }
            Try::Later(number) => {
                self.met.note("later");
                state.messages[usize::from(number)] = Message::Waiting;
                state.changed(|core| pressure::forget_attempt(core, &id(number)));
            }
            Try::Day => {
                self.met.note("a day");
                state.day += 1;
            }
            Try::Less => {
                self.met.note("less");
                state.own = Some(Wish::less(state.own, &Self::PLAN));
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("no window holds more than the cap", |_, state: &Pressure| {
            let tried = state.contacts.iter().filter(|(_, _, sent)| !sent).map(|(_, day, _)| *day);
            let days: Vec<i32> = state.received.iter().copied().chain(tried).collect();
            let most = Cap::PLAN.at_most as usize;
            days.iter().all(|first| days.iter().filter(|day| (0..2).contains(&(**day - first))).count() <= most)
        })]
    }
}

#[test]
fn every_order_of_two_senders_keeps_one_cap() {
    let model = Cap { met: Arc::default(), in_commit: true };
    let met = Arc::clone(&model.met);
    holds("cap × two senders", model, &met, &["no room", "sent", "unknown", "later", "a day", "less"]);
    finds("the cap is read outside the commit", Cap { met: Arc::default(), in_commit: false });
}
