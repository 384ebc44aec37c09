//! A session's incoming bytes under fuzzing. `cargo test` runs the same, with the fuzzer's corpus and with inputs of its own.

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::time::{Duration, Instant};

use super::{
    frame::{FrameReader, HEADER},
    limits::SessionLimits,
    machine::{CallKey, Ended, Event, ItemSent, Machine, Outcome, Progress},
    message::{Answer, Incoming, Message, MessageError, Outgoing},
};
use crate::protocol::{ErrorCode, RpcError};

const MAX_CALLS: u32 = 4;
const MAX_MESSAGE: usize = 1_024;
const MAX_WAITING: usize = 2_048;

/// Feeds bytes to one end of a session that has calls under way, and checks that it keeps its rules.
///
/// The first byte is how many of those after it say where the rest, which is what the other end sent, is cut into pieces.
///
/// # Panics
/// When a rule is broken by this end. (The other end may break any.)
pub fn frames(data: &[u8]) {
    let Some((count, data)) = data.split_first() else { return };
    let (cuts, mut stream) = data.split_at(usize::from(count % 16).min(data.len()));
    let mut cuts = cuts.iter().cycle();
    let mut end = End::new();
    while !stream.is_empty() {
        let length = cuts.next().map_or(stream.len(), |cut| usize::from(*cut) + 1).min(stream.len());
        let (piece, rest) = stream.split_at(length);
        stream = rest;
        if let Err(ended) = end.take_in(piece) {
            return end.finish(&ended);
        }
    }
    end.finish(&Ended::Broken("the input has ended".to_owned()));
}

/// Checks that a message means the same whichever way it is read.
///
/// What is read straight from the bytes leaves its last member unread, so that it can only be compared where that is JSON: where it is not,
/// the decoder of the params or the result refuses it.
///
/// # Panics
/// When the two ways do not agree.
pub fn agree(frame: &Bytes) {
    // With a space before it, a message is not in the form that is read straight from the bytes.
    let spaced = [b" ", &frame[..]].concat();
    match (Message::parse(frame.clone()), Message::parse(spaced.into())) {
        (Ok(fast), general) => match (has_json(&fast), general) {
            (true, Ok(general)) => assert_eq!(meaning(&fast), meaning(&general)),
            (true, Err(error)) => panic!("read straight from the bytes, but {error}: {frame:?}"),
            (false, _) => {}
        },
        (Err(MessageError::NotUtf8), Err(MessageError::NotUtf8))
        | (Err(MessageError::NotJsonRpc(_)), Err(MessageError::NotJsonRpc(_))) => {}
        (Err(error), general) => panic!("{error}, but {general:?}: {frame:?}"),
    }
}

/// Whether the part of a message that was not looked at is JSON.
fn has_json(message: &Message) -> bool {
    let part = match message {
        Message::Call(call) => call.params().unwrap_or("null").as_bytes(),
        Message::Answer { answer: Answer::Result(json), .. } => json,
        _ => b"null",
    };
    serde_json::from_slice::<&RawValue>(part).is_ok()
}

/// All that a message says, as text.
fn meaning(message: &Message) -> String {
    match message {
        Message::Call(call) => format!(
            "call {} of {:?} with {:?} for {:?}, trace {:?}, anonymous {}, origin {:?}, credit {:?}",
            call.id,
            call.method(),
            call.params().map(str::trim_ascii),
            call.timeout,
            call.trace.map(|trace| trace.to_text()),
            call.is_anonymous,
            call.origin,
            call.credit
        ),
        Message::Answer { id, answer: Answer::Result(json) } => format!("result of {id}: {:?}", json.trim_ascii()),
        other => format!("{other:?}"),
    }
}

/// An end with four calls under way, one of which takes items, that serves what comes in.
struct End {
    machine: Machine<()>,
    reader: FrameReader,
    calls: Vec<CallKey>,
    /// Calls of the other end that go on, and how many ended at once.
    working: Vec<u64>,
    served: u32,
    freed: u32,
    late: Instant,
}

impl End {
    fn new() -> Self {
        let limits = SessionLimits {
            max_calls: MAX_CALLS,
            max_message: MAX_MESSAGE,
            max_waiting: MAX_WAITING,
            ..SessionLimits::default()
        };
        let late = Instant::now() + Duration::from_hours(1);
        let mut machine = Machine::new(limits, MAX_CALLS, 0);
        let credits = [None, None, None, Some(3)];
        let calls = credits.into_iter().filter_map(|credit| machine.begin(&call(credit), late, ()).ok()).collect();
        let end = Self { machine, reader: FrameReader::new(MAX_MESSAGE), calls, working: Vec::new(), served: 0, freed: 0, late };
        assert_eq!(end.calls.len(), MAX_CALLS as usize);
        end
    }

    fn take_in(&mut self, piece: &[u8]) -> Result<(), Ended> {
        self.reader.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = self.reader.next()? {
            agree(&frame);
            let mut events = Vec::new();
            let taken = self.machine.receive(Message::parse(frame)?, &mut events);
            self.handle(events);
            self.check();
            taken.map_err(Ended::Violation)?;
        }
        self.check();
        Ok(())
    }

    fn handle(&mut self, mut events: Vec<Event<()>>) {
        while !events.is_empty() {
            for event in std::mem::take(&mut events) {
                match event {
                    Event::Serve(call) => self.serve(&call),
                    Event::Cancel(id) => self.cancel(id),
                    Event::Credit(id) => assert_ne!(self.machine.send_item(id, b"1"), ItemSent::Gone),
                    Event::Freed => self.freed += 1,
                    Event::Wake(()) => self.look(),
                }
            }
            // The other end reads what is sent, in the end.
            if self.machine.is_congested() {
                self.machine.take_output(MAX_WAITING, &mut events);
            }
        }
    }

    /// Every second call ends at once, every other when it is cancelled.
    fn serve(&mut self, call: &Incoming) {
        self.served += 1;
        if self.served.is_multiple_of(2) {
            self.machine.answer(call.id, Ok(b"1".to_vec()), self.late);
        } else {
            self.machine.serving(call.id);
            self.working.push(call.id);
        }
    }

    fn cancel(&mut self, id: u64) {
        if let Some(place) = self.working.iter().position(|working| *working == id) {
            self.working.swap_remove(place);
            self.machine.answer(id, Err(RpcError::new(ErrorCode::CANCELLED, "cancelled")), self.late);
        }
    }

    /// Takes what there is for each caller.
    fn look(&mut self) {
        let machine = &mut self.machine;
        self.calls.retain(|key| {
            loop {
                match machine.take(*key, |_| ()) {
                    Progress::Open | Progress::Item(_) => {}
                    Progress::Pending => return true,
                    Progress::Done(outcome) => {
                        assert!(!matches!(outcome, Outcome::Deadline), "its time is not over");
                        return false;
                    }
                }
            }
        });
    }

    /// What holds after each message, whatever it was.
    fn check(&self) {
        assert_eq!(self.machine.in_flight() + self.freed, MAX_CALLS);
        assert_eq!(self.calls.len(), self.machine.in_flight() as usize, "one who waits for each call that is owed");
        assert!(self.working.len() <= MAX_CALLS as usize);
        assert!(self.machine.waiting() <= MAX_WAITING + MAX_MESSAGE, "{} bytes wait", self.machine.waiting());
        assert!(self.reader.buffered() <= HEADER + MAX_MESSAGE);
    }

    fn finish(mut self, ended: &Ended) {
        let mut events = Vec::new();
        self.machine.end(ended, &mut events);
        for event in events {
            match event {
                Event::Cancel(id) => self.working.retain(|working| *working != id),
                Event::Freed => self.freed += 1,
                Event::Wake(()) => {}
                other => panic!("{other:?} after the end"),
            }
        }
        self.look();
        self.check();
        assert!(self.calls.is_empty() && self.working.is_empty());
        assert!(self.machine.is_quiet());
        assert!(self.machine.begin(&call(None), self.late, ()).is_err());
    }
}

fn call(credit: Option<u32>) -> Outgoing<'static> {
    Outgoing { method: "a/b", params: b"{}", timeout: None, trace: None, is_anonymous: false, origin: None, credit }
}

#[cfg(test)]
mod tests;
