//! Two machines with two queues of bytes between them, and a record of what should come of it.
//!
//! It does with each machine what the driver does, in any order: takes output, delivers bytes, serves, lets time pass. Callers look only when
//! they were woken, as tasks do, so that a wake-up that is missing leaves a call without an outcome.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// One thing that may happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// Somebody calls, and waits so long.
    Call { end: usize, ms: u64, style: Style, reply: Reply },
    /// The machine's output is put on its way.
    Take { end: usize, max: usize },
    /// Bytes that this end sent arrive at the other.
    Deliver { end: usize, bytes: usize },
    /// One of the calls that are served goes on: to its next item, or to its answer.
    Work { end: usize, which: u8 },
    /// One of the callers that were woken looks.
    Look { end: usize, which: u8 },
    /// A caller goes away.
    Abandon { end: usize, which: u8 },
    /// So many milliseconds pass.
    Pass(u64),
}

/// How a call is served.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    AtOnce,
    Task,
    Stream { credit: u32, items: u32 },
}

/// With what it is answered.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Ok,
    Error,
    Large,
}

pub(super) struct World {
    ends: [End; 2],
    plans: Vec<(Style, Reply)>,
    now: Instant,
    max_calls: u32,
    is_cut: bool,
}

struct End {
    machine: Machine<u32>,
    reader: FrameReader,
    /// On its way to the other end.
    wire: BytesMut,
    permits: u32,
    ids: BTreeSet<u64>,
    /// Calls of this end that have no outcome, and were not given up.
    pending: BTreeMap<u32, Pending>,
    woken: BTreeSet<u32>,
    outcomes: BTreeMap<u32, Outcome>,
    /// Calls of the other end that this one works on.
    working: BTreeMap<u64, Work>,
    /// Calls of the other end that were ever handed out to be served.
    served: BTreeSet<u32>,
}

struct Pending {
    key: CallKey,
    deadline: Instant,
    items: u32,
}

struct Work {
    label: u32,
    /// How many items were sent.
    items: u32,
    /// What it found none of, and waits to be told of.
    waits: Option<ItemSent>,
}

impl Work {
    /// There is some of what it waits for, if it is that.
    fn goes_on_after(&mut self, found: ItemSent) {
        self.waits = self.waits.filter(|waits| *waits != found);
    }
}

impl World {
    pub(super) fn new(max_calls: u32) -> Self {
        let limits = SessionLimits { max_calls, max_waiting: 400, max_parked: 3 * MAX_INLINE, ..SessionLimits::default() };
        let end = || End {
            machine: Machine::new(limits.clone(), max_calls, 0),
            reader: FrameReader::new(limits.max_message),
            wire: BytesMut::new(),
            permits: max_calls,
            ids: BTreeSet::new(),
            pending: BTreeMap::new(),
            woken: BTreeSet::new(),
            outcomes: BTreeMap::new(),
            working: BTreeMap::new(),
            served: BTreeSet::new(),
        };
        Self { ends: [end(), end()], plans: Vec::new(), now: Instant::now(), max_calls, is_cut: false }
    }

    pub(super) fn act_all(&mut self, actions: &[Action]) {
        for action in actions {
            self.act(*action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Call { end, ms, style, reply } => self.call(end, ms, style, reply),
            Action::Take { end, max } => self.take(end, max),
            Action::Deliver { end, bytes } => self.deliver(end, bytes),
            Action::Work { end, which } => {
                let ids: Vec<_> = self.ends[end].working.keys().copied().collect();
                if let Some(id) = chosen(&ids, which) {
                    self.work(end, id);
                }
            }
            Action::Look { end, which } => {
                let labels: Vec<_> = self.ends[end].woken.iter().copied().collect();
                if let Some(label) = chosen(&labels, which) {
                    self.look(end, label);
                }
            }
            Action::Abandon { end, which } => {
                let labels: Vec<_> = self.ends[end].pending.keys().copied().collect();
                if let Some(label) = chosen(&labels, which) {
                    let end = &mut self.ends[end];
                    let call = end.pending.remove(&label).unwrap();
                    end.machine.abandon(call.key);
                    end.woken.remove(&label);
                }
            }
            Action::Pass(ms) => self.pass(Duration::from_millis(ms)),
        }
        self.check();
    }

    /// What holds at any time.
    fn check(&self) {
        for end in &self.ends {
            assert_eq!(end.permits + end.machine.in_flight(), self.max_calls, "each call that was freed is told once");
            assert!(end.machine.unanswered() <= self.max_calls);
            assert!(end.machine.parked_bytes <= 3 * MAX_INLINE);
            assert_eq!(end.machine.parked_bytes, end.machine.parked.values().map(|parked| parked.body.len()).sum::<usize>());
        }
    }

    fn call(&mut self, end: usize, ms: u64, style: Style, reply: Reply) {
        let label = u32::try_from(self.plans.len()).unwrap();
        let (params, deadline) = (label.to_string(), self.now + Duration::from_millis(ms));
        let credit = if let Style::Stream { credit, .. } = style { Some(credit) } else { None };
        let call = Outgoing { params: params.as_bytes(), credit, ..PLAIN };
        let end = &mut self.ends[end];
        if end.machine.is_congested() {
            return; // Its caller would wait.
        }
        match end.machine.begin(&call, deadline, label) {
            Ok(key) => {
                assert!(end.permits > 0, "more calls than the other end takes");
                end.permits -= 1;
                assert!(end.ids.last().is_none_or(|last| *last < key.id()), "ids grow");
                end.ids.insert(key.id());
                end.pending.insert(label, Pending { key, deadline, items: 0 });
                self.plans.push((style, reply));
            }
            Err(Refused::TooManyStreams { open }) => assert_eq!(open, (self.max_calls / 2).max(1)),
            Err(Refused::TooManyCalls) => assert_eq!(end.permits, 0),
            Err(Refused::Ended(_)) => assert!(end.machine.ended().is_some()),
        }
    }

    fn take(&mut self, end: usize, max: usize) {
        let mut events = Vec::new();
        let side = &mut self.ends[end];
        let chunk = side.machine.take_output(max, &mut events);
        side.wire.extend_from_slice(&chunk);
        if !side.machine.is_congested() {
            side.working.values_mut().for_each(|work| work.goes_on_after(ItemSent::NoRoom));
        }
        self.handle(end, events);
    }

    /// Delivers bytes that `from` sent.
    fn deliver(&mut self, from: usize, bytes: usize) {
        let wire = &mut self.ends[from].wire;
        let piece = wire.split_to(bytes.min(wire.len())).freeze();
        let to = 1 - from;
        let end = &mut self.ends[to];
        end.reader.push(piece);
        let mut events = Vec::new();
        while let Some(frame) = end.reader.next().unwrap() {
            end.machine.receive_bytes(frame, &mut events).expect("no machine breaks a rule");
        }
        self.handle(to, events);
    }

    fn handle(&mut self, at: usize, events: Vec<Event<u32>>) {
        let end = &mut self.ends[at];
        let mut answers = Vec::new();
        for event in events {
            match event {
                Event::Freed => end.permits += 1,
                Event::Wake(label) => {
                    if end.pending.contains_key(&label) {
                        assert!(end.woken.insert(label), "call {label} was woken twice");
                    }
                }
                Event::Serve(call) => {
                    let label: u32 = call.params().unwrap().parse().unwrap();
                    assert!(end.served.insert(label), "call {label} was handed out twice");
                    if matches!(self.plans[label as usize].0, Style::AtOnce) {
                        answers.push((call.id, label));
                    } else {
                        end.machine.serving(call.id);
                        end.working.insert(call.id, Work { label, items: 0, waits: None });
                    }
                }
                Event::Cancel(id) => {
                    if end.working.remove(&id).is_some() && end.machine.is_serving(id) {
                        let error = RpcError::new(ErrorCode::CANCELLED, "its caller has gone");
                        end.machine.answer(id, Err(error), self.now);
                    }
                }
                Event::Credit(id) => {
                    if let Some(work) = end.working.get_mut(&id) {
                        work.goes_on_after(ItemSent::NoCredit);
                    }
                }
            }
        }
        for (id, label) in answers {
            self.answer(at, id, label);
        }
    }

    fn work(&mut self, at: usize, id: u64) {
        let end = &mut self.ends[at];
        let work = end.working.get_mut(&id).unwrap();
        if let Style::Stream { items, .. } = self.plans[work.label as usize].0
            && work.items < items
        {
            if work.waits.is_none() {
                match end.machine.send_item(id, work.items.to_string().as_bytes()) {
                    ItemSent::Sent => work.items += 1,
                    nothing @ (ItemSent::NoCredit | ItemSent::NoRoom) => work.waits = Some(nothing),
                    gone => panic!("a call is being served until it is answered, and not {gone:?}"),
                }
            }
            return;
        }
        let label = end.working.remove(&id).unwrap().label;
        self.answer(at, id, label);
    }

    fn answer(&mut self, at: usize, id: u64, label: u32) {
        let outcome = match self.plans[label as usize].1 {
            Reply::Ok => Ok(label.to_string().into_bytes()),
            Reply::Error => Err(RpcError::new(ErrorCode::SERVICE, label.to_string())),
            Reply::Large => Ok(large(label)),
        };
        self.ends[at].machine.answer(id, outcome, self.now + Duration::from_millis(100));
    }

    fn look(&mut self, at: usize, label: u32) {
        self.ends[at].woken.remove(&label);
        loop {
            let end = &mut self.ends[at];
            let Some(call) = end.pending.get_mut(&label) else { return };
            match end.machine.take(call.key, |_| label) {
                Progress::Pending => return,
                Progress::Open => {}
                Progress::Item(item) => {
                    assert_eq!(item, call.items.to_string(), "items come in order");
                    call.items += 1;
                }
                Progress::Done(outcome) => {
                    let call = end.pending.remove(&label).unwrap();
                    self.check_outcome(at, label, &call, &outcome);
                    assert!(self.ends[at].outcomes.insert(label, outcome).is_none());
                    return;
                }
            }
        }
    }

    fn check_outcome(&mut self, at: usize, label: u32, call: &Pending, outcome: &Outcome) {
        let (style, reply) = self.plans[label as usize];
        match outcome {
            Outcome::Deadline => {
                assert!(call.deadline <= self.now, "call {label} still had time");
                assert_eq!(call.items, 0, "the time of an open stream does not run out");
            }
            Outcome::Answered(answer) => {
                if let Style::Stream { items, .. } = style {
                    assert_eq!(call.items, items, "an answer comes after all items");
                }
                match (answer, reply) {
                    (Answer::Result(json), Reply::Ok) => assert_eq!(json, &label.to_string()),
                    (Answer::Error(error), Reply::Error) => assert_eq!(error.message, label.to_string()),
                    (Answer::Error(error), Reply::Large) => {
                        assert!(error.message.contains("until they are fetched"), "{error:?}");
                    }
                    (Answer::Body { ticket, size }, Reply::Large) => {
                        assert!(*size > MAX_INLINE as u64);
                        // It may be forgotten by now, but it is no other.
                        if let Some(body) = self.ends[1 - at].machine.fetch(*ticket) {
                            assert_eq!(body, large(label));
                        }
                    }
                    _ => panic!("call {label} got {answer:?} in place of its own answer"),
                }
            }
            Outcome::NotSent(_) | Outcome::Lost(_) => {}
            Outcome::Busy { .. } => panic!("a call that was refused was never begun"),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        for at in 0..2 {
            let machine = &mut self.ends[at].machine;
            let mut events = Vec::new();
            if machine.next_deadline().is_some_and(|next| next <= self.now) {
                machine.tick(self.now, &mut events);
            }
            self.handle(at, events);
            let end = &self.ends[at];
            for (label, call) in &end.pending {
                let is_open = end.machine.calls.iter().any(|slot| slot.id == call.key.id() && slot.deadline.is_none());
                let in_time = call.deadline > self.now || is_open;
                assert!(in_time || end.woken.contains(label), "nobody told call {label} that it is late");
            }
        }
    }

    pub(super) fn leave(&mut self, end: usize) {
        self.ends[end].machine.leave("it wants to");
    }

    /// The connection breaks, after so many bytes more arrived at the other end of each.
    pub(super) fn cut(&mut self, first: usize, second: usize) {
        self.deliver(0, first);
        self.deliver(1, second);
        self.is_cut = true;
        for at in 0..2 {
            let mut events = Vec::new();
            self.ends[at].wire.clear();
            self.ends[at].machine.end(&Ended::Broken("it was cut".to_owned()), &mut events);
            self.handle(at, events);
        }
    }

    /// Goes on until nothing is left to do, without a caller being told that it has waited for too long.
    pub(super) fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            let mut idle = true;
            for at in 0..2 {
                if !self.is_cut {
                    self.take(at, usize::MAX);
                    idle &= self.ends[at].wire.is_empty();
                    self.deliver(at, usize::MAX);
                    for id in self.ends[at].working.keys().copied().collect::<Vec<_>>() {
                        idle &= self.ends[at].working[&id].waits.is_some();
                        self.work(at, id);
                    }
                }
                for label in self.ends[at].woken.clone() {
                    self.look(at, label);
                    idle = false;
                }
            }
            self.check();
            if idle {
                for end in &self.ends {
                    assert!(end.pending.is_empty(), "calls without an outcome: {:?}", end.pending.keys());
                }
                // Large answers that nobody fetched are kept until then.
                self.pass(Duration::from_secs(1));
                return self.check_rest();
            }
        }
        panic!("it does not come to rest");
    }

    fn check_rest(&self) {
        for end in &self.ends {
            assert_eq!(end.machine.owed, 0);
            assert_eq!(end.permits, self.max_calls);
            assert!(end.machine.calls.iter().all(|slot| slot.id == 0), "a place is still occupied: {:?}", end.machine.calls);
            assert_eq!(end.machine.free.len(), end.machine.calls.len());
            assert_eq!(end.machine.free.iter().collect::<BTreeSet<_>>().len(), end.machine.free.len(), "a place is free twice");
            if !self.is_cut {
                assert!(end.working.is_empty(), "calls that wait for ever");
                assert!(end.machine.is_quiet());
            }
        }
    }

    /// A call of which it is said that it was not sent was never handed out.
    pub(super) fn check_outcomes(&self) {
        for at in 0..2 {
            for (label, outcome) in &self.ends[at].outcomes {
                if matches!(outcome, Outcome::NotSent(_)) {
                    assert!(!self.ends[1 - at].served.contains(label), "call {label} was served, and its caller told otherwise");
                }
            }
        }
    }

    /// Whether every call has an answer, was late, or was surely not sent.
    pub(super) fn nothing_was_lost(&self) -> bool {
        self.ends.iter().all(|end| end.outcomes.values().all(|outcome| !matches!(outcome, Outcome::Lost(_))))
    }

    /// Both ends leave, and are done.
    pub(super) fn part(&mut self) {
        self.leave(0);
        self.leave(1);
        self.come_to_rest();
        for end in &self.ends {
            assert!(end.machine.is_drained());
            assert!(end.machine.is_served());
        }
    }
}

fn large(label: u32) -> Vec<u8> {
    let mut json = vec![b'x'; MAX_INLINE + 1];
    json.extend(label.to_be_bytes());
    json
}

fn chosen<T: Copy>(from: &[T], which: u8) -> Option<T> {
    from.get(usize::from(which).checked_rem(from.len())?).copied()
}
