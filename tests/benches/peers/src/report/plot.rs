//! The plot: calls per CPU-second by design, with 64 and with 512 calls at once.

use std::fmt::Write as _;

use crate::{
    cases::{Case, Runtime},
    designs::Design,
    run::Row,
};

const WIDTH: f64 = 760.0;
/// Where the bars begin: the names stand before it.
const LEFT: f64 = 170.0;
/// Space for the figures behind the bars.
const RIGHT: f64 = 110.0;
const TOP: f64 = 78.0;
const BAR: f64 = 15.0;
const GAP: f64 = 16.0;

const CASES: [(Case, &str, &str); 2] = [(Case::Echo64, "b64", "64 at once"), (Case::Echo512, "b512", "512 at once")];

/// Draws it, for one thread on each side; readable on a light and on a dark ground.
pub(crate) fn plot(rows: &[Row]) -> String {
    let rows: Vec<_> = rows.iter().filter(|row| row.runtime == Runtime::CurrentThread).collect();
    let find = |case, design| rows.iter().find(|row| row.case == case && row.design == design);
    let mut designs: Vec<Design> = rows.iter().map(|row| row.design).collect();
    designs.sort_unstable();
    designs.dedup();
    designs.retain(|&design| CASES.iter().any(|&(case, ..)| find(case, design).is_some()));
    let most = rows.iter().filter(|row| CASES.iter().any(|&(case, ..)| case == row.case)).map(|row| row.calls_per_cpu_s());
    let most = most.fold(1.0, f64::max);

    let (mut bars, mut y) = (String::new(), TOP);
    for design in designs {
        let version = rows.iter().find(|row| row.design == design).map_or("", |row| row.version);
        text(&mut bars, LEFT - 8.0, y + BAR, "name", "end", &design.to_string());
        text(&mut bars, LEFT - 8.0, y + BAR + 14.0, "note", "end", version);
        for (case, class, _) in CASES {
            if let Some(row) = find(case, design) {
                let value = row.calls_per_cpu_s();
                let width = (value / most * (WIDTH - LEFT - RIGHT)).max(1.0);
                bar(&mut bars, LEFT, y, width, class);
                text(&mut bars, LEFT + width + 6.0, y + BAR - 3.0, "note", "start", &grouped(value));
            }
            y += BAR + 2.0;
        }
        y += GAP;
    }
    framed(&bars, y + 6.0)
}

fn framed(bars: &str, height: f64) -> String {
    let mut key = String::new();
    for ((_, class, label), x) in CASES.into_iter().zip([LEFT, LEFT + 120.0]) {
        bar(&mut key, x, 48.0, 14.0, class);
        text(&mut key, x + 20.0, 60.0, "note", "start", label);
    }
    text(&mut key, 12.0, 28.0, "title", "start", "Calls per CPU-second, server and client together (more is better)");
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Calls per CPU-second by design">
<style>
  text {{ font-family: system-ui, sans-serif; fill: #24292f; }}
  .title {{ font-size: 16px; font-weight: 600; }} .name {{ font-size: 14px; }} .note {{ font-size: 12px; }}
  .b64 {{ fill: #7aa2d6; }} .b512 {{ fill: #1f5fa8; }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3; }} .b64 {{ fill: #3d6ea5; }} .b512 {{ fill: #8fc1ff; }} }}
</style>
{key}{bars}</svg>
"#
    )
}

fn bar(svg: &mut String, x: f64, y: f64, width: f64, class: &str) {
    // A text takes whatever is written.
    let _ = writeln!(svg, r#"<rect class="{class}" x="{x}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/>"#);
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let _ = writeln!(svg, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{words}</text>"#);
}

/// A number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::made_up::row;

    #[test]
    fn each_measured_design_has_a_bar_for_64_and_for_512() {
        let one = Runtime::CurrentThread;
        let rows = [
            row(Design::P2p, one, Case::Echo64, 2.0),
            row(Design::P2p, one, Case::Echo512, 1.0),
            row(Design::Tonic, one, Case::Echo64, 20.0),
            row(Design::Tonic, one, Case::Mixed, 0.001),
        ];
        let svg = plot(&rows);
        // Three for the values and one each for the key.
        assert_eq!(svg.matches("<rect").count(), 5, "{svg}");
        assert!(svg.contains("1,000,000") && svg.contains("50,000"), "{svg}");
        assert!(svg.contains(&format!(r#"width="{:.1}""#, WIDTH - LEFT - RIGHT)), "the best bar takes all the width: {svg}");
        assert!(svg.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([1.0, 999.0, 1000.0, 1_234_567.0].map(grouped), ["1", "999", "1,000", "1,234,567"]);
    }
}
