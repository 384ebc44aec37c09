//! The processor time of this process, and of those that it ran.

use std::{fs, io, time::Duration};

/// User and system time of all threads so far, to a hundredth of a second: fields 14 and 15 of /proc/self/stat, in ticks of 10 ms.
///
/// # Errors
/// Where there is no /proc.
pub fn process_cpu() -> io::Result<Duration> {
    ticks_from(11)
}

/// The same of all processes that this one started, and theirs, that have ended and were waited for: fields 16 and 17.
///
/// # Errors
/// Where there is no /proc.
pub fn children_cpu() -> io::Result<Duration> {
    ticks_from(13)
}

/// Two fields of /proc/self/stat, the first of them so many behind the name.
fn ticks_from(field: usize) -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in field 2 may hold anything, also spaces and brackets.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(field).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
