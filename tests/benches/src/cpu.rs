//! The processor time of this process.

use std::{fs, io, time::Duration};

/// User and system time of all threads so far, to a hundredth of a second: fields 14 and 15 of /proc/self/stat, in ticks of 10 ms.
///
/// # Errors
/// Where there is no /proc.
pub fn process_cpu() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in field 2 may hold anything, also spaces and brackets.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
