//! What an operator changes of a node that does not run.
//!
//! Nobody writes an audit log then. So each act is kept in the node's store, with the change itself as one write ([`note`]); when the node
//! starts, it tells them to its audit log, and forgets them ([`tell`], [`forget`]). Acts that change nothing are not kept: whoever has the
//! password reads a copy of the files as well, and a note would cost an earlier save.

use std::collections::VecDeque;

use p2p_client::{
    audit::{LONGEST, Line, Outcome, TARGET},
    protocol::UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::{
    dates::date,
    storage::{Entries, Store, StoreError},
};

/// Where the acts stand in the store.
const ENTRY: &str = "state/offline_acts";
/// How many are kept. Of more, the oldest go and are counted.
const MOST: usize = 1_024;
/// What the audit log says of where they came from.
const FROM: &str = "offline";

/// Something that was done to a node's store while the node did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Act {
    at: UnixMillis,
    by: String,
    what: String,
    whom: String,
    more: String,
}

impl Act {
    /// What the user of this process does now.
    pub(crate) fn now(what: impl Into<String>) -> Self {
        Self { at: UnixMillis::now(), by: this_user(), what: short(what.into()), whom: String::new(), more: String::new() }
    }

    /// Whom or what it is done to.
    pub(crate) fn to(self, whom: impl Into<String>) -> Self {
        Self { whom: short(whom.into()), ..self }
    }

    /// What more there is to say: never a value.
    pub(crate) fn saying(self, more: impl Into<String>) -> Self {
        Self { more: short(more.into()), ..self }
    }

    fn line(&self) -> Line {
        let comma = if self.more.is_empty() { "" } else { ", " };
        let reason = format!("on {}{comma}{}", date(self.at), self.more);
        Line::new(&self.by, &self.what, Outcome::Done).whom(&self.whom).from(FROM).reason(reason)
    }
}

/// All that are kept.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Acts {
    acts: VecDeque<Act>,
    /// How many earlier ones are not kept any more.
    gone: u64,
}

impl Acts {
    fn of(entries: &Entries) -> Self {
        let read = entries.get(ENTRY).map(|stored| serde_json::from_slice(stored.expose()));
        // What cannot be read is as good as one that is gone: the change itself is not held up by it.
        read.unwrap_or_else(|| Ok(Self::default())).unwrap_or_else(|_| Self { gone: 1, ..Self::default() })
    }

    fn add(&mut self, act: Act) {
        self.acts.push_back(act);
        while self.acts.len() > MOST {
            self.acts.pop_front();
            self.gone += 1;
        }
    }
}

/// Keeps an act with the change that it is.
///
/// # Errors
/// There is no room for it in the store.
pub(crate) fn note(entries: &mut Entries, act: Act) -> Result<(), StoreError> {
    let mut acts = Acts::of(entries);
    acts.add(act);
    // Numbers and texts always have a form in JSON.
    let stored = serde_json::to_vec(&acts).unwrap_or_default();
    entries.put(ENTRY, stored)
}

/// Tells the audit log what was done while the node did not run. Says whether it was told anything: where nobody writes that log, it is kept for a start
/// at which somebody does.
pub(crate) fn tell(store: &Store) -> bool {
    if !tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        return false;
    }
    let Some(stored) = store.get(ENTRY) else { return false };
    let Acts { acts, gone } = serde_json::from_slice(stored.expose()).unwrap_or_else(|_| Acts { gone: 1, ..Acts::default() });
    if gone > 0 {
        let reason = format!("there were {gone} more before, which are not kept");
        Line::new("several", "several", Outcome::Done).from(FROM).reason(reason).write();
    }
    for act in &acts {
        act.line().write();
    }
    true
}

/// Forgets what was told.
///
/// # Errors
/// The store cannot be written; it is all told again at the next start.
pub(crate) fn forget(store: &Store) -> Result<(), StoreError> {
    store.update(|entries| {
        entries.remove(ENTRY);
        Ok(())
    })
}

fn short(text: String) -> String {
    if text.chars().count() > LONGEST { text.chars().take(LONGEST).collect() } else { text }
}

/// The operating system's user: `user ada (uid 1000)`. Its name is that of the machine's own list of users; others are known by their number.
#[cfg(unix)]
fn this_user() -> String {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(uid, &users) {
        Some(name) => format!("user {name} (uid {uid})"),
        None => format!("user {uid}"),
    }
}

/// Elsewhere, as the session calls its user.
#[cfg(not(unix))]
fn this_user() -> String {
    std::env::var("USERNAME").map_or_else(|_| "a user".to_owned(), |name| format!("user {name}"))
}

/// The name with this number, in a list of users as in `/etc/passwd`.
#[cfg(unix)]
fn name_of(uid: u32, users: &str) -> Option<&str> {
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.filter(|fields| fields.len() > 2 && fields[2].parse() == Ok(uid)).map(|fields| fields[0]);
    found.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{identity::tests::AuditLines, storage::tests::in_a_folder};

    #[test]
    fn acts_are_told_once_with_who_what_and_when() {
        let (_dir, store) = in_a_folder();
        let lines = AuditLines::capture();
        assert!(!tell(&store), "nothing was done");
        let act = Act { at: UnixMillis(1_000_000_000_000), ..Act::now("store put").to("it").saying("of some size") };
        store.update(|entries| note(entries, act)).unwrap();
        assert!(tell(&store));
        let told = lines.take();
        assert_eq!(told.len(), 1, "{told:?}");
        let who = format!("who=\"{}\"", this_user());
        for part in [
            &*who,
            "what=\"store put\" whom=\"it\" from=\"offline\" outcome=\"done\"",
            "reason=\"on 2001-09-09 01:46 UTC, of some size\"",
        ] {
            assert!(told[0].contains(part), "{part} in {told:?}");
        }
        forget(&store).unwrap();
        assert!(!tell(&store) && lines.take().is_empty());
    }

    #[test]
    fn more_acts_than_are_kept_are_counted_and_the_latest_stay() {
        let mut entries = Entries::default();
        for number in 0..MOST + 3 {
            note(&mut entries, Act::now(format!("act {number}"))).unwrap();
        }
        let acts = Acts::of(&entries);
        assert_eq!((acts.acts.len(), acts.gone), (MOST, 3));
        assert_eq!((&*acts.acts[0].what, &*acts.acts[MOST - 1].what), ("act 3", &*format!("act {}", MOST + 2)));
    }

    #[test]
    fn a_list_that_cannot_be_read_holds_up_no_change_and_is_told_as_a_loss() {
        let (_dir, store) = in_a_folder();
        store.update(|entries| entries.put(ENTRY, "what somebody wrote there")).unwrap();
        store.update(|entries| note(entries, Act::now("store rm"))).unwrap();
        let lines = AuditLines::capture();
        assert!(tell(&store));
        let told = lines.take();
        assert!(told.len() == 2 && told[0].contains("1 more before") && told[1].contains("what=\"store rm\""), "{told:?}");
    }

    #[cfg(unix)]
    #[test]
    fn users_are_named_by_the_machines_list_and_else_by_their_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\nada:x:1000:1000::/home/ada:/bin/sh\n";
        assert_eq!((name_of(0, users), name_of(1000, users), name_of(10, users)), (Some("root"), Some("ada"), None));
    }
}
