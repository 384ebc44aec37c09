//! Times for people.

use p2p_client::protocol::UnixMillis;
use time::OffsetDateTime;

/// A time for people: `2026-11-23 07:27 UTC`.
pub(crate) fn date(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => {
            let month = u8::from(at.month());
            format!("{:04}-{month:02}-{:02} {:02}:{:02} UTC", at.year(), at.day(), at.hour(), at.minute())
        }
        Err(_) => format!("{} ms after 1970", at.0),
    }
}
