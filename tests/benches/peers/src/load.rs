//! Puts a load on a caller, and counts.
//!
//! ```text
//! closed: N callers in a row of calls each -> latency from the call's own begin
//! open:   a pacer begins calls at random times -> latency from the time at which the call was meant to begin
//! ```
//! Processor time of both processes is read at both ends of the counted time, so that the warm-up is in none of the figures.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    calls::FIRST_ID,
    cases::{Body, LARGE, Load, Times},
    cpu::{self, Remote},
    designs::Caller,
    histogram::{Histogram, Recorder},
    pacer::Pacer,
};

/// So many calls lie between the numbers of two callers.
const IDS_OF_A_CALLER: u64 = 10_000_000;
/// A design that is so far behind does not hold the rate that it is put under. (A machine that stands still for a moment is made up for.)
const MOST_BEHIND: Duration = Duration::from_secs(1);

const WARMING: u8 = 0;
const COUNTING: u8 = 1;
const OVER: u8 = 2;

/// What was counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// How long was counted, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of the client's process in that time, in microseconds.
    pub(crate) client_cpu_us: f64,
    /// Processor time of the server's process in that time, in microseconds.
    pub(crate) server_cpu_us: f64,
    /// The share of all cores' time that went to other processes and to the kernel's own work.
    pub(crate) others: f64,
    /// Latencies of the calls that ended in that time.
    pub(crate) latencies: Histogram,
}

/// What the tasks of a load share.
struct Shared {
    phase: AtomicU8,
    latencies: Recorder,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { phase: AtomicU8::new(WARMING), latencies: Recorder::new() })
    }

    /// Counts a latency if it is time. Returns whether to go on.
    fn count(&self, latency: Duration) -> bool {
        match self.phase.load(Ordering::Relaxed) {
            COUNTING => self.latencies.record(latency),
            OVER => return false,
            _ => {}
        }
        true
    }
}

/// Puts the load on the caller for its time.
///
/// # Errors
/// The first call's that failed, and where a design does not hold the rate of an open loop.
pub(crate) async fn put(caller: &impl Caller, load: Load, times: Times, server: &mut Remote) -> Result<Sample> {
    let shared = Shared::new();
    let mut tasks = JoinSet::new();
    match load {
        Load::Closed { body, callers } => {
            caller.verify(body).await?;
            for number in 0..callers {
                tasks.spawn(call_in_a_row(caller.clone(), body, number, shared.clone()));
            }
        }
        Load::Mixed { callers } => {
            caller.verify(Body::Page(LARGE)).await?;
            for number in 0..callers {
                tasks.spawn(call_in_a_row(caller.clone(), Body::Echo, number, shared.clone()));
            }
            tasks.spawn(fetch_beside(caller.clone(), callers, shared.clone()));
        }
        Load::Open { rate, seed } => {
            caller.verify(Body::Echo).await?;
            tasks.spawn(call_at_random(caller.clone(), Pacer::new(rate, seed)?, most_under_way(rate), shared.clone()));
        }
    }
    let sample = count(&shared, &mut tasks, times, server).await;
    shared.phase.store(OVER, Ordering::Relaxed);
    let sample = sample?;
    // Calls under way end before the next load begins.
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(sample)
}

/// Lets the load warm up, and counts.
async fn count(shared: &Shared, tasks: &mut JoinSet<Result<()>>, times: Times, server: &mut Remote) -> Result<Sample> {
    run_on(tasks, times.warm_up).await?;
    let machine_before = cpu::machine_time()?;
    let (server_before, client_before, began) = (server.time()?, cpu::own_time(), Instant::now());
    shared.phase.store(COUNTING, Ordering::Relaxed);
    run_on(tasks, times.measured).await?;
    shared.phase.store(WARMING, Ordering::Relaxed);
    let (seconds, client_after, server_after) = (began.elapsed().as_secs_f64(), cpu::own_time(), server.time()?);
    let machine_after = cpu::machine_time()?;
    let micros = |before: Duration, after: Duration| after.saturating_sub(before).as_secs_f64() * 1e6;
    let (client_cpu_us, server_cpu_us) = (micros(client_before, client_after), micros(server_before, server_after));
    let others_us = micros(machine_before, machine_after) - client_cpu_us - server_cpu_us;
    let latencies = shared.latencies.counted();
    ensure!(latencies.count() > 0, "no call ended while calls were counted; count for longer (--seconds)");
    Ok(Sample {
        seconds,
        client_cpu_us,
        server_cpu_us,
        others: others_us.max(0.0) / (seconds * 1e6 * cpu::machine_cores()),
        latencies,
    })
}

/// Lets the tasks run for this time; a task that ends before has failed.
async fn run_on(tasks: &mut JoinSet<Result<()>>, time: Duration) -> Result<()> {
    let ended = async {
        match tasks.join_next().await {
            Some(ended) => ended,
            None => pending().await,
        }
    };
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        ended = ended => Err(match ended {
            Ok(Ok(())) => anyhow!("a caller ended before its time"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        }),
    }
}

/// A caller that makes its next call when it has its answer.
async fn call_in_a_row(caller: impl Caller, body: Body, number: u32, shared: Arc<Shared>) -> Result<()> {
    let first = FIRST_ID + u64::from(number) * IDS_OF_A_CALLER;
    let mut began = Instant::now();
    for id in (first..first + IDS_OF_A_CALLER).cycle() {
        caller.call(body, id).await.with_context(|| format!("call {id}"))?;
        let now = Instant::now();
        if !shared.count(now - began) {
            break;
        }
        began = now;
    }
    Ok(())
}

/// Fetches large bodies one after the other, uncounted.
async fn fetch_beside(caller: impl Caller, number: u32, shared: Arc<Shared>) -> Result<()> {
    let mut id = FIRST_ID + u64::from(number) * IDS_OF_A_CALLER;
    while shared.phase.load(Ordering::Relaxed) != OVER {
        caller.call(Body::Page(LARGE), id).await.context("the large fetch")?;
        id += 1;
    }
    Ok(())
}

/// How many calls are under way where a design is [`MOST_BEHIND`].
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive and some millions at most")]
fn most_under_way(rate: f64) -> usize {
    (rate * MOST_BEHIND.as_secs_f64()) as usize
}

/// Begins calls when they are due, each in a task of its own.
async fn call_at_random(caller: impl Caller, mut pacer: Pacer, most: usize, shared: Arc<Shared>) -> Result<()> {
    let (under_way, next) = (Arc::new(AtomicUsize::new(0)), AtomicU64::new(FIRST_ID));
    let mut calls: JoinSet<Result<()>> = JoinSet::new();
    while shared.phase.load(Ordering::Relaxed) != OVER {
        for due in pacer.due().await? {
            let (caller, shared, under_way) = (caller.clone(), shared.clone(), under_way.clone());
            let id = next.fetch_add(1, Ordering::Relaxed);
            let already = under_way.fetch_add(1, Ordering::Relaxed);
            ensure!(already < most, "the design does not hold this rate: {most} calls wait for their answers");
            calls.spawn(async move {
                caller.call(Body::Echo, id).await.with_context(|| format!("call {id}"))?;
                under_way.fetch_sub(1, Ordering::Relaxed);
                shared.count(due.elapsed());
                Ok(())
            });
        }
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    const TIMES: Times = Times { warm_up: Duration::from_millis(20), measured: Duration::from_millis(100) };

    /// How a made-up design behaves.
    #[derive(Clone, Copy)]
    enum Made {
        Answers,
        Fails,
        NeverAnswers,
        AnswersWrongly,
    }

    impl Caller for Made {
        async fn call(&self, _: Body, _: u64) -> Result<()> {
            match self {
                Self::Answers | Self::AnswersWrongly => tokio::task::yield_now().await,
                Self::Fails => bail!("the line is cut"),
                Self::NeverAnswers => pending().await,
            }
            Ok(())
        }

        async fn verify(&self, _: Body) -> Result<()> {
            ensure!(!matches!(self, Self::AnswersWrongly), "another value came");
            Ok(())
        }
    }

    async fn put_on(design: Made, load: Load) -> Result<Sample> {
        let mut server = Remote::connect(cpu::tell_time()?)?;
        put(&design, load, TIMES, &mut server).await
    }

    #[tokio::test]
    async fn calls_processor_time_and_the_counted_time_are_told() {
        for load in
            [Load::Closed { body: Body::Echo, callers: 4 }, Load::Mixed { callers: 4 }, Load::Open { rate: 20_000.0, seed: 1 }]
        {
            let sample = put_on(Made::Answers, load).await.unwrap();
            assert!(sample.latencies.count() > 0 && sample.client_cpu_us > 0.0 && sample.server_cpu_us > 0.0, "{sample:?}");
            assert!(sample.seconds >= 0.1, "{sample:?}");
        }
    }

    #[tokio::test]
    async fn a_call_that_fails_ends_the_measurement_with_its_reason() {
        for load in [Load::Closed { body: Body::Echo, callers: 4 }, Load::Open { rate: 20_000.0, seed: 1 }] {
            let error = put_on(Made::Fails, load).await.unwrap_err();
            assert!(format!("{error:#}").contains("the line is cut"), "{error:#}");
        }
    }

    #[tokio::test]
    async fn a_wrong_answer_ends_the_measurement_before_it_begins() {
        let error = put_on(Made::AnswersWrongly, Load::Closed { body: Body::Echo, callers: 1 }).await.unwrap_err();
        assert!(error.to_string().contains("another value"), "{error:#}");
    }

    #[tokio::test]
    async fn a_design_that_does_not_hold_the_rate_of_the_open_loop_is_refused() {
        let mut server = Remote::connect(cpu::tell_time().unwrap()).unwrap();
        let times = Times { measured: MOST_BEHIND * 5, ..TIMES };
        let error = put(&Made::NeverAnswers, Load::Open { rate: 20_000.0, seed: 1 }, times, &mut server).await.unwrap_err();
        assert!(error.to_string().contains("20000 calls wait for their answers"), "{error:#}");
    }

    #[tokio::test]
    async fn a_design_that_answers_nothing_has_no_figures() {
        let error = put_on(Made::NeverAnswers, Load::Closed { body: Body::Echo, callers: 1 }).await.unwrap_err();
        assert!(error.to_string().contains("no call ended"), "{error:#}");
    }
}
