//! Decimal numbers as integers of a smaller unit: no value is too large, and none is a float.

/// Digits that count; more cannot change an `i64` of any unit that is asked for here.
const DIGITS: u32 = 36;
/// Exponents beyond this are as good as infinite, and keep sums of them within `i64`.
const EXPONENT: i64 = 100_000;

/// A decimal number, with or without fraction and exponent, times ten to the power of `scale`: rounded
/// to the nearest, halves away from zero, and held to what an `i64` takes. None for what is not a finite
/// number (`nan` and `inf` are written by sfptpd where it has none).
pub(super) fn scaled(text: &str, scale: i64) -> Option<i64> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, power(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let (mut value, mut taken) = (0_u128, 0_u32);
    let mut shift = exponent.clamp(-EXPONENT, EXPONENT) + scale;
    for (part, step) in [(whole, 0), (fraction, 1)] {
        for digit in part.bytes() {
            if taken < DIGITS {
                value = value * 10 + u128::from(digit - b'0');
                taken += u32::from(value > 0);
                shift -= step;
            } else {
                shift += 1 - step;
            }
        }
    }
    let size = shifted(value, shift);
    let signed = if negative { -size } else { size };
    Some(i64::try_from(signed).unwrap_or(if negative { i64::MIN } else { i64::MAX }))
}

/// An exponent; one that is too long for an `i64` is as good as infinite.
fn power(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let far = if text.starts_with('-') { -EXPONENT } else { EXPONENT };
    Some(text.parse().unwrap_or(far))
}

/// `value` times ten to the power of `shift`, held far above what an `i64` takes.
fn shifted(value: u128, shift: i64) -> i128 {
    let size = u32::try_from(shift.unsigned_abs()).unwrap_or(u32::MAX);
    let ten = 10_u128.checked_pow(size);
    let shifted = match (shift >= 0, ten) {
        (true, Some(ten)) => value.saturating_mul(ten),
        (true, None) if value > 0 => u128::MAX,
        (true, None) | (false, None) => 0,
        (false, Some(ten)) => value.saturating_add(ten / 2) / ten,
    };
    i128::try_from(shifted).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn decimals_become_integers_of_their_unit() {
        let cases = [
            ("-12.345", 0, Some(-12)),
            ("0.5", 0, Some(1)),
            ("-0.5", 0, Some(-1)),
            ("0.49999999999999999999999999999999999999999999", 0, Some(0)),
            ("12", 9, Some(12_000_000_000)),
            ("-1.2345e-08", 9, Some(-12)),
            ("1.5E+3", 0, Some(1500)),
            ("+7", 0, Some(7)),
            (".5", 1, Some(5)),
            ("5.", 0, Some(5)),
            ("000000000000000000000000000000000000000000000000001", 0, Some(1)),
            ("9223372036854775807", 0, Some(i64::MAX)),
            ("-9223372036854775808", 0, Some(i64::MIN)),
            ("9223372036854775808", 0, Some(i64::MAX)),
            ("1e99999999999999999999", 0, Some(i64::MAX)),
            ("-1e9999", 0, Some(i64::MIN)),
            ("0e9999", 0, Some(0)),
            ("1e-99999999999999999999", 0, Some(0)),
            (
                "123456789012345678901234567890123456789012345678901234567890e-50",
                0,
                Some(1_234_567_890),
            ),
            ("", 0, None),
            (".", 0, None),
            ("-", 0, None),
            ("e5", 0, None),
            ("1e", 0, None),
            ("1e+-5", 0, None),
            ("nan", 0, None),
            ("-inf", 0, None),
            ("1 2", 0, None),
            ("0x10", 0, None),
        ];
        for (text, scale, expected) in cases {
            assert_eq!(scaled(text, scale), expected, "{text}");
        }
    }
}
