//! The processor time that the two processes take, and the cores that they run on.
//!
//! The client asks the server's process for its processor time at both ends of what it measures, over a connection and on a
//! thread beside the measured ones: the kernel's own count for the whole process, user and system, to the nanosecond.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// The unit of the machine's times, as Linux shows them.
const TICK: Duration = Duration::from_millis(10);
/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The processor time that this process has taken.
pub(crate) fn own_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Tells this process's processor time to whoever connects. Returns where.
pub(crate) fn tell_time() -> Result<SocketAddr> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback for questions about processor time")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        // One client measures at a time, and each has its own connection.
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream) {
    let mut question = [0; 1];
    while stream.read_exact(&mut question).is_ok() {
        let nanos = u64::try_from(own_time().as_nanos()).unwrap_or(u64::MAX);
        if stream.write_all(&nanos.to_be_bytes()).is_err() {
            return;
        }
    }
}

/// Asks another process for its processor time.
pub(crate) struct Remote(TcpStream);

impl Remote {
    /// Connects to where [`tell_time`] answers.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("asking the server for its processor time")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// The processor time that the process has taken.
    pub(crate) fn time(&mut self) -> Result<Duration> {
        let mut nanos = [0; 8];
        self.0.write_all(&[0]).context("asking the server for its processor time")?;
        self.0.read_exact(&mut nanos).context("the server did not tell its processor time; see what it wrote before")?;
        Ok(Duration::from_nanos(u64::from_be_bytes(nanos)))
    }
}

/// The cores that this process may run on.
pub(crate) fn cores() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(None).context("reading which cores may be used")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

/// Keeps this process on these cores. Call it before there are other threads.
pub(crate) fn pin(cores: &[usize]) -> Result<()> {
    ensure!(!cores.is_empty(), "no core was named to run on; give at least one");
    let mut set = CpuSet::new();
    cores.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None, &set).with_context(|| format!("keeping the process on the cores {cores:?}"))
}

/// The time that all cores together were busy since the machine began, whoever used them. The kernel counts it in ticks of 10 ms.
pub(crate) fn machine_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("reading how busy the machine is")?;
    busy_in(&stat).with_context(|| format!("/proc/stat begins with {:?}, in the place of the cores' times", stat.lines().next()))
}

/// How many cores the machine has.
pub(crate) fn machine_cores() -> f64 {
    let cores = fs::read_to_string("/proc/stat").map_or(0, |stat| stat.matches("\ncpu").count());
    f64::from(u32::try_from(cores).unwrap_or(u32::MAX).max(1))
}

/// Everything but the idle times (the fourth and fifth) and the guests' (the ninth and tenth, which are counted in the first two).
fn busy_in(stat: &str) -> Option<Duration> {
    let mut times = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map(str::parse::<u64>);
    let (used, rest) = (times.by_ref().take(3).sum::<Result<u64, _>>().ok()?, times.skip(2).take(3));
    Some(TICK * u32::try_from(used + rest.sum::<Result<u64, _>>().ok()?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_told_to_another_and_grows_with_work() {
        let mut remote = Remote::connect(tell_time().unwrap()).unwrap();
        let before = remote.time().unwrap();
        let mut sum = 0_u64;
        while own_time() < before + Duration::from_millis(20) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(remote.time().unwrap() >= before + Duration::from_millis(20), "after {sum} additions");
    }

    #[test]
    fn the_machine_is_busy_with_all_that_is_not_idle() {
        let stat = "cpu  10 1 5 900 70 2 3 4 8 8\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_in(stat), Some(Duration::from_millis(250)));
        assert_eq!(busy_in("cpu of an unknown kind"), None);
        assert!(machine_time().unwrap() > Duration::ZERO);
    }

    #[test]
    fn no_core_to_run_on_is_refused() {
        assert!(pin(&[]).is_err());
    }
}
