//! From when until when a certificate is valid: what connections have to know that outlive it, and what remembers that it was verified.
//!
//! Of the rest of X.509 nothing is read (RFC 5280, section 4.1: a certificate is a sequence whose first part holds version, serial number, algorithm
//! and issuer, and then the validity; X.690 for the encoding). What is read of a certificate that was not verified yet decides nothing but at which
//! time it is verified.

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::{CertificateDer, UnixTime};

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last moment at which a certificate is valid; `None` for what is no certificate.
pub fn expires_at(cert: &CertificateDer<'_>) -> Option<SystemTime> {
    Some(UNIX_EPOCH + Duration::from_secs(*validity(cert)?.end()))
}

/// From which second since 1970 to which one a certificate is valid, both included; `None` for what is no certificate.
pub(super) fn validity(cert: &CertificateDer<'_>) -> Option<RangeInclusive<u64>> {
    let certificate = &mut expect(&mut cert.as_ref(), SEQUENCE)?;
    let body = &mut expect(certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        element(body)?;
    }
    let (_serial, _algorithm, _issuer) = (element(body)?, element(body)?, element(body)?);
    let validity = &mut expect(body, SEQUENCE)?;
    Some(time(validity)?..=time(validity)?)
}

/// When all of these are valid. `others` may hold certificates that the chain does without; the time is the shorter then.
pub(super) fn common_validity(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<RangeInclusive<u64>> {
    others.iter().try_fold(validity(leaf)?, |common, other| {
        let other = validity(other)?;
        Some(*common.start().max(other.start())..=*common.end().min(other.end()))
    })
}

/// The time nearest to `now` at which all of these are valid; `now` where there is none.
pub(super) fn nearest_valid(leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime) -> UnixTime {
    match common_validity(leaf, others) {
        Some(valid) if !valid.is_empty() => {
            UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs().clamp(*valid.start(), *valid.end())))
        }
        _ => now,
    }
}

/// Takes a time, in seconds since 1970. What was before that counts as then: it is long over.
fn time(rest: &mut &[u8]) -> Option<u64> {
    let (tag, time) = element(rest)?;
    let seconds = match tag {
        UTC_TIME => {
            let year = digits(time.get(..2)?)?;
            // RFC 5280, 4.1.2.5.1: two digits mean 1950 to 2049.
            unix_seconds(if year >= 50 { 1900 + year } else { 2000 + year }, time.get(2..)?)?
        }
        GENERALIZED_TIME => unix_seconds(digits(time.get(..4)?)?, time.get(4..)?)?,
        _ => return None,
    };
    Some(u64::try_from(seconds).unwrap_or(0))
}

fn expect<'a>(rest: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    element(rest).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// Takes one element: its tag and its content.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], after) = rest.split_first_chunk::<2>()?;
    let (length, after) = match first {
        short @ 0..=0x7f => (usize::from(short), after),
        long @ 0x81..=0x84 => {
            let (bytes, after) = after.split_at_checked(usize::from(long & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), after)
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((tag, content))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

/// Seconds since 1970 of a year and `MMDDHHMMSSZ`, by the days of the proleptic Gregorian calendar.
fn unix_seconds(year: i64, rest: &[u8]) -> Option<i64> {
    let (parts, [b'Z']) = rest.split_at_checked(10)? else { return None };
    let part = |at: usize| digits(&parts[at..at + 2]);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March here, so that the leap day is a year's last.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate of which only the parts before the validity's end are there.
    fn certificate(tag: u8, time: &str) -> CertificateDer<'static> {
        let wrap = |tag: u8, content: Vec<u8>| {
            let mut element =
                vec![tag, 0x82, u8::try_from(content.len() >> 8).unwrap(), u8::try_from(content.len() & 255).unwrap()];
            element.extend(content);
            element
        };
        let mut validity = wrap(UTC_TIME, b"200101000000Z".to_vec());
        validity.extend(wrap(tag, time.as_bytes().to_vec()));
        let mut body = wrap(VERSION, vec![2, 1, 2]);
        for (tag, content) in [(2, vec![1]), (SEQUENCE, vec![6, 1, 1]), (SEQUENCE, vec![])] {
            body.extend(wrap(tag, content));
        }
        body.extend(wrap(SEQUENCE, validity));
        wrap(SEQUENCE, wrap(SEQUENCE, body)).into()
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        for (tag, time, seconds) in [
            (UTC_TIME, "700101000000Z", 0),
            (UTC_TIME, "000229120000Z", 951_825_600),
            (UTC_TIME, "491231235959Z", 2_524_607_999),
            (GENERALIZED_TIME, "20500101000000Z", 2_524_608_000),
            (GENERALIZED_TIME, "20261122174036Z", 1_795_369_236),
        ] {
            assert_eq!(expires_at(&certificate(tag, time)), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{time}");
        }
    }

    #[test]
    fn the_beginning_is_read_as_well() {
        assert_eq!(validity(&certificate(UTC_TIME, "200102000000Z")), Some(1_577_836_800..=1_577_923_200));
    }

    #[test]
    fn the_nearest_time_of_validity_is_now_or_the_end_that_is_next_to_it() {
        let second = |seconds: u64| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        // From 2020 until 2030, and until 2025.
        let (leaf, other) = (certificate(UTC_TIME, "300101000000Z"), certificate(UTC_TIME, "250101000000Z"));
        let (begin, end, later) = (1_577_836_800, 1_735_689_600, 1_893_456_000);
        let nearest = |now: u64| nearest_valid(&leaf, std::slice::from_ref(&other), second(now)).as_secs();
        assert_eq!([nearest(0), nearest(begin + 7), nearest(later)], [begin, begin + 7, end]);
        assert_eq!(nearest_valid(&leaf, &[], second(later + 1)).as_secs(), later);
        // One that ends before it begins is never valid, and neither is what is none.
        for never in [certificate(UTC_TIME, "190101000000Z"), CertificateDer::from(vec![1, 2, 3])] {
            assert_eq!(nearest_valid(&never, &[], second(7)).as_secs(), 7);
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(UTC_TIME, "700101000000Z");
        for end in 0..whole.len() {
            assert_eq!(expires_at(&CertificateDer::from(whole[..end].to_vec())), None, "{end} bytes");
        }
        for bad in ["70010100000Z", "701301000000Z", "7001010000000", "70010100000xZ"] {
            assert_eq!(expires_at(&certificate(UTC_TIME, bad)), None, "{bad}");
        }
    }
}
