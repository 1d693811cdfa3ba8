//! `$((…))`: whole numbers, `+ - * / %`, parentheses, names of variables.

use super::scan::in_name;

/// How deep parentheses and signs may stand in each other.
const DEEPEST: usize = 40;

/// Calculates.
///
/// # Errors
/// Why there is no result.
pub(super) fn calculate(text: &str, value: &dyn Fn(&str) -> String) -> Result<i64, String> {
    let mut sum = Sum { rest: text, value, depth: 0 };
    let result = sum.terms()?;
    match sum.peek() {
        None => Ok(result),
        Some(c) => Err(format!("{c:?} is not expected")),
    }
}

struct Sum<'a> {
    rest: &'a str,
    value: &'a dyn Fn(&str) -> String,
    depth: usize,
}

impl Sum<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes one of these signs.
    fn take(&mut self, signs: &[char]) -> Option<char> {
        let next = self.peek().filter(|next| signs.contains(next))?;
        let rest = self.rest.get(next.len_utf8()..).unwrap_or_default();
        // `**`, `++`, `+=` and the like are other operators.
        let doubled = matches!(next, '+' | '-' | '*') && rest.starts_with(next);
        if doubled || (!matches!(next, '(' | ')') && rest.starts_with('=')) {
            return None;
        }
        self.rest = rest;
        Some(next)
    }

    fn terms(&mut self) -> Result<i64, String> {
        let mut result = self.factors()?;
        while let Some(sign) = self.take(&['+', '-']) {
            let next = self.factors()?;
            let sum = match sign {
                '+' => result.checked_add(next),
                _ => result.checked_sub(next),
            };
            result = sum.ok_or(TOO_LARGE)?;
        }
        Ok(result)
    }

    fn factors(&mut self) -> Result<i64, String> {
        let mut result = self.one()?;
        while let Some(sign) = self.take(&['*', '/', '%']) {
            let next = self.one()?;
            if sign != '*' && next == 0 {
                return Err("a division by 0".to_owned());
            }
            let product = match sign {
                '*' => result.checked_mul(next),
                '/' => result.checked_div(next),
                _ => result.checked_rem(next),
            };
            result = product.ok_or(TOO_LARGE)?;
        }
        Ok(result)
    }

    fn one(&mut self) -> Result<i64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("parentheses stand in each other more than 40 deep".to_owned());
        }
        let result = if self.take(&['(']).is_some() {
            let result = self.terms()?;
            if self.take(&[')']).is_none() {
                return Err("a parenthesis is never closed".to_owned());
            }
            result
        } else if let Some(sign) = self.take(&['+', '-']) {
            let one = self.one()?;
            if sign == '-' { one.checked_neg().ok_or(TOO_LARGE)? } else { one }
        } else {
            self.operand()?
        };
        self.depth -= 1;
        Ok(result)
    }

    fn operand(&mut self) -> Result<i64, String> {
        let Some(next) = self.peek() else { return Err("a number is missing".to_owned()) };
        let end = self.rest.find(|c| !in_name(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(format!("{next:?} is not expected"));
        }
        self.rest = rest;
        if next.is_ascii_digit() {
            return number(word);
        }
        let value = (self.value)(word);
        match value.trim() {
            "" => Ok(0),
            text => match text.strip_prefix('-') {
                Some(text) => number(text)?.checked_neg().ok_or(TOO_LARGE.to_owned()),
                None => number(text),
            },
        }
    }
}

const TOO_LARGE: &str = "the number is too large";

/// A number as a shell reads it: a leading 0 makes it octal.
fn number(text: &str) -> Result<i64, String> {
    let (digits, base) = match text {
        "0" => ("0", 10),
        hex if hex.starts_with("0x") || hex.starts_with("0X") => (hex.get(2..).unwrap_or(""), 16),
        octal if octal.starts_with('0') => (octal.get(1..).unwrap_or(""), 8),
        decimal => (decimal, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return Err(format!("{text:?} is no number"));
    }
    i64::from_str_radix(digits, base).map_err(|_| TOO_LARGE.to_owned())
}
