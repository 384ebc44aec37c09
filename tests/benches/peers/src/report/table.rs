//! The tables, as text.

use std::fmt::Write as _;

use super::targets::{Bound, Verdict, verdicts};
use crate::{
    cases::{Case, OPEN_LOOP_SHARE, Runtime},
    designs::Design,
    run::{Miss, Row},
};

/// With more than this, a run does not tell how fast something is.
const DISTURBED_PERCENT: f64 = 5.0;

/// How a run was made.
pub(crate) struct Circumstances {
    pub(crate) rounds: u32,
    pub(crate) seed: u64,
    /// The share of the machine that other processes took: on average, and at most.
    pub(crate) others: (f64, f64),
}

/// All tables of a run, then the targets, then what could not be measured.
pub(crate) fn text(rows: &[Row], misses: &[Miss], circumstances: &Circumstances) -> String {
    let mut text = String::new();
    for runtime in Runtime::ALL {
        for case in Case::ALL {
            let of_case: Vec<_> = rows.iter().filter(|row| row.runtime == runtime && row.case == case).collect();
            if !of_case.is_empty() {
                line(&mut text, format_args!("\n{case}, {runtime}: {}\n", case.title()));
                align(&mut text, &case_table(&of_case));
            }
        }
    }
    let &Circumstances { rounds, seed, others: (average, most) } = circumstances;
    line(
        &mut text,
        format_args!("\nCPU is user and system time of both processes. Rounds: {rounds}; spread: how far apart they are in CPU."),
    );
    line(
        &mut text,
        format_args!(
            "Open loop: {} % of the highest rate that the design held just before, seed {seed}.",
            OPEN_LOOP_SHARE * 100.0
        ),
    );
    let percent = |share: f64| (share * 100.0).round();
    let (average, most) = (percent(average), percent(most));
    line(
        &mut text,
        format_args!("Other processes took {average} % of the machine on average, {most} % at most, while it was measured."),
    );
    if average > DISTURBED_PERCENT {
        line(
            &mut text,
            format_args!("That is too much: latencies and calls/s are those of a busy machine. Run it again when it is quiet."),
        );
    }
    targets(&mut text, &verdicts(rows));
    for Miss { cell, reason } in misses {
        line(&mut text, format_args!("NOT MEASURED: {}, {}, {}: {reason}", cell.case, cell.runtime, cell.design));
    }
    text
}

fn case_table(rows: &[&Row]) -> Vec<Vec<String>> {
    let ours = rows.iter().find(|row| row.design == Design::P2p).map(|row| row.calls_per_cpu_s());
    let head = [
        "design",
        "version",
        "calls/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "client CPU µs",
        "server CPU µs",
        "calls/CPU-s",
        "p2p is",
        "spread",
    ];
    let body = rows.iter().map(|row| {
        vec![
            row.design.to_string(),
            row.version.to_owned(),
            format!("{:.0}", row.calls_per_s),
            format!("{:.1}", row.p50_us),
            format!("{:.1}", row.p99_us),
            format!("{:.1}", row.p999_us),
            format!("{:.2}", row.client_cpu_us_per_call),
            format!("{:.2}", row.server_cpu_us_per_call),
            format!("{:.0}", row.calls_per_cpu_s()),
            ours.map_or_else(|| "-".to_owned(), |ours| format!("{:.2}×", ours / row.calls_per_cpu_s())),
            format!("{:.0} %", row.cpu_spread * 100.0),
        ]
    });
    std::iter::once(head.map(str::to_owned).to_vec()).chain(body).collect()
}

fn targets(text: &mut String, verdicts: &[Verdict]) {
    let measured: Vec<_> = verdicts.iter().filter_map(|verdict| Some((verdict, verdict.value?, verdict.holds()?))).collect();
    if measured.is_empty() {
        return;
    }
    line(text, format_args!("\nWhat must hold\n"));
    let mut table = vec![["ratio", "must be", "is", ""].map(str::to_owned).to_vec()];
    for (verdict, value, holds) in &measured {
        let bound = match verdict.bound {
            Bound::AtLeast(least) => format!("≥ {least:.2}"),
            Bound::AtMost(most) => format!("≤ {most:.2}"),
        };
        table.push(vec![verdict.what.clone(), bound, format!("{value:.2}"), if *holds { "holds" } else { "MISSED" }.to_owned()]);
    }
    align(text, &table);
    let held = measured.iter().filter(|(_, _, holds)| *holds).count();
    let unmeasured = verdicts.len() - measured.len();
    line(text, format_args!("\n{held} of {} hold; {unmeasured} not measured in this run.", measured.len()));
}

/// Writes a table: the first column to the left, the others to the right.
fn align(text: &mut String, table: &[Vec<String>]) {
    let columns = table.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        table.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in table {
        let mut cells = row.iter().zip(&widths);
        let first = cells.next().map_or_else(String::new, |(cell, &width)| format!("{cell:<width$}"));
        let written = cells.fold(first, |written, (cell, &width)| format!("{written}  {cell:>width$}"));
        line(text, format_args!("{}", written.trim_end()));
    }
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A text takes whatever is written.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::made_up::row, run::Cell};

    const ONE: Runtime = Runtime::CurrentThread;
    const QUIET: Circumstances = Circumstances { rounds: 1, seed: 7, others: (0.0, 0.0) };

    #[test]
    fn a_table_shows_each_design_and_how_much_better_p2p_is() {
        let rows = [row(Design::P2p, ONE, Case::Echo64, 2.0), row(Design::Tonic, ONE, Case::Echo64, 17.0)];
        let text = text(&rows, &[], &QUIET);
        let line = text.lines().find(|line| line.starts_with("tonic ")).unwrap();
        assert!(line.contains("8.50×") && line.contains("1.2.3"), "{line}");
        assert!(text.contains("1 of 1 hold"), "{text}");
    }

    #[test]
    fn a_run_on_a_busy_machine_says_so() {
        let text = text(&[], &[], &Circumstances { others: (0.3, 0.6), ..QUIET });
        assert!(text.contains("30 % of the machine") && text.contains("too much"), "{text}");
    }

    #[test]
    fn a_missed_target_and_what_was_not_measured_are_said() {
        let rows = [row(Design::P2p, ONE, Case::Echo64, 17.0), row(Design::Tonic, ONE, Case::Echo64, 17.0)];
        let cell = Cell { runtime: ONE, case: Case::Mixed, design: Design::P2p };
        let text = text(&rows, &[Miss { cell, reason: "the server is gone".to_owned() }], &QUIET);
        assert!(text.contains("MISSED"), "{text}");
        assert!(text.contains("NOT MEASURED: mixed, current_thread, p2p: the server is gone"), "{text}");
    }
}
