//! Durations as people write them: `500ms`, `5s`, `15m`, `24h`, `7d`.

use std::time::Duration;

use p2p_client::protocol::UnixMillis;

/// Reads a duration. A number alone is refused: it does not say of what.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write a number and a unit, such as 500ms, 5s, 15m, 24h or 7d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    let duration = match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(60 * 60),
        "d" => seconds(24 * 60 * 60),
        _ => None,
    };
    duration.filter(|duration| !duration.is_zero()).ok_or_else(wrong)
}

/// Writes a duration in its largest whole unit.
pub(super) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        s if s % 86_400 == 0 && s > 86_400 => format!("{} days", s / 86_400),
        s if s % 3600 == 0 => format!("{} h", s / 3600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// How long until then, as people say it.
pub(super) fn left(then: UnixMillis, now: UnixMillis) -> String {
    match then.0.saturating_sub(now.0) / 1000 {
        0 => "0 s: it is due".to_owned(),
        s @ 1..7200 => format!("{} min", s.div_ceil(60)),
        s @ 7200..172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_a_unit_is_a_duration() {
        for (text, seconds) in
            [("5s", 5.0), ("500ms", 0.5), ("15m", 900.0), ("2min", 120.0), ("24h", 86_400.0), ("7d", 604_800.0)]
        {
            assert!((parse(text).unwrap().as_secs_f64() - seconds).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_with_examples() {
        for text in ["", "5", "s", "-5s", "1.5h", "5 s", "0s", "99999999999999999999s", "18446744073709551615d", "5weeks"] {
            assert!(parse(text).unwrap_err().contains("such as 500ms"), "{text}");
        }
    }

    #[test]
    fn a_duration_is_shown_in_its_largest_whole_unit() {
        for (text, shown) in [("24h", "24 h"), ("7d", "7 days"), ("90s", "90 s"), ("120s", "2 min"), ("500ms", "500 ms")] {
            assert_eq!(show(parse(text).unwrap()), shown);
        }
    }

    #[test]
    fn times_to_come_are_told_in_their_largest_unit() {
        let now = UnixMillis(1_000_000_000_000);
        for (seconds, said) in [(0, "0 s: it is due"), (30, "1 min"), (7200, "2 h"), (28_684_800, "332 days")] {
            assert_eq!(left(UnixMillis(now.0 + seconds * 1000), now), said);
        }
        assert_eq!(left(UnixMillis(0), now), "0 s: it is due");
    }
}
