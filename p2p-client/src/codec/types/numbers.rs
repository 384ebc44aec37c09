//! Numbers. They are written by serde_json, whose code for them is as fast as it gets.

use super::{Message, Reader};

macro_rules! written_by_serde_json {
    () => {
        #[inline]
        fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
            serde_json::to_writer(out, self)
        }
    };
}

macro_rules! unsigned {
    ($($type:ty)*) => {$(
        impl Message for $type {
            written_by_serde_json!();

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Self::try_from(reader.digits()?).ok()
            }
        }
    )*};
}

macro_rules! signed {
    ($($type:ty)*) => {$(
        impl Message for $type {
            written_by_serde_json!();

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                Self::try_from(signed(reader)?).ok()
            }
        }
    )*};
}

unsigned!(u8 u16 u32 u64 usize);
signed!(i8 i16 i32 i64 isize);

#[inline]
fn signed(reader: &mut Reader<'_>) -> Option<i64> {
    if reader.accept("-") {
        let magnitude = reader.digits()?;
        // To serde_json, -0 is a fraction.
        if magnitude == 0 { None } else { 0_i64.checked_sub_unsigned(magnitude) }
    } else {
        reader.digits()?.try_into().ok()
    }
}

/// Numbers that are read by serde_json, too.
macro_rules! others {
    ($($type:ty)*) => {$(
        impl Message for $type {
            written_by_serde_json!();

            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                serde_json::from_str(reader.number()).ok()
            }
        }
    )*};
}

others!(u128 i128 f32);

impl Message for f64 {
    written_by_serde_json!();

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let number = reader.number();
        exact(number.as_bytes()).or_else(|| serde_json::from_str(number).ok())
    }
}

/// A fraction in the notation of every day, if it has so few digits that one division of two exact numbers gives the nearest there is:
/// serde_json makes the same of it, whether or not it was built to make the nearest of all others, too.
#[inline]
fn exact(number: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    /// A dot and fifteen digits, which 53 bits can hold.
    const LONGEST: usize = 16;
    let (negative, digits) = match number {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let dot = digits.iter().position(|byte| *byte == b'.')?;
    let (whole, fraction) = (&digits[..dot], &digits[dot + 1..]);
    let begins_well = matches!(whole, [b'0'] | [b'1'..=b'9', ..]);
    if !begins_well || fraction.is_empty() || digits.len() > LONGEST {
        return None;
    }
    let mut significand = 0_u64;
    for byte in whole.iter().chain(fraction) {
        significand = significand * 10 + u64::from(byte.is_ascii_digit().then(|| byte - b'0')?);
    }
    #[allow(clippy::cast_precision_loss, reason = "fifteen digits lose nothing")]
    let value = significand as f64 / POWERS[fraction.len()];
    Some(if negative { -value } else { value })
}
