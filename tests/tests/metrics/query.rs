//! What a PromQL expression asks for: its series with the labels it names of each, and the labels it
//! groups by. A word that it does not know is a fault: most likely a slip of the pen.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};

/// Functions, aggregations and operators that our files use.
const WORDS: [&str; 11] = [
    "sum",
    "rate",
    "increase",
    "time",
    "histogram_quantile",
    "and",
    "or",
    "unless",
    "absent",
    "max",
    "bool",
];
/// After these come labels in brackets.
const GROUPING: [&str; 5] = ["by", "without", "on", "ignoring", "group_left"];

/// A label, how it is compared, and with what.
type Matcher = (String, String, String);

/// What an expression asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Series, each with its matchers: label, operator, value.
    pub series: Vec<(String, Vec<Matcher>)>,
    /// Labels that it groups or joins by.
    pub grouped_by: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Number,
    Sign(String),
}

impl Query {
    /// Reads an expression.
    pub fn parse(expression: &str) -> anyhow::Result<Self> {
        let tokens = tokens(expression).with_context(|| expression.to_owned())?;
        let mut query = Self::default();
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            let Token::Word(word) = token else { continue };
            if GROUPING.contains(&word.as_str()) {
                let labels;
                (labels, rest) = bracketed(rest, "(", ")")?;
                for label in labels.iter().filter(|one| **one != Token::Sign(",".to_owned())) {
                    let Token::Word(label) = label else { bail!("{label:?} is no label") };
                    query.grouped_by.insert(label.clone());
                }
            } else if word.starts_with("onload_") || word == "up" {
                let mut matchers = Vec::new();
                if rest.first() == Some(&Token::Sign("{".to_owned())) {
                    let inner;
                    (inner, rest) = bracketed(rest, "{", "}")?;
                    for one in inner.split(|token| *token == Token::Sign(",".to_owned())) {
                        let [Token::Word(label), Token::Sign(sign), Token::Text(value)] = one
                        else {
                            bail!("{one:?} is no matcher in {expression}");
                        };
                        matchers.push((label.clone(), sign.clone(), value.clone()));
                    }
                }
                query.series.push((word.clone(), matchers));
            } else {
                ensure!(WORDS.contains(&word.as_str()), "`{word}` in {expression}");
            }
        }
        ensure!(!query.series.is_empty(), "{expression} asks for nothing");
        Ok(query)
    }
}

/// What stands between two brackets, and what comes after them.
fn bracketed<'a>(
    tokens: &'a [Token],
    open: &str,
    close: &str,
) -> anyhow::Result<(&'a [Token], &'a [Token])> {
    let (first, rest) = tokens.split_first().context("it ends where brackets belong")?;
    ensure!(*first == Token::Sign(open.to_owned()), "{first:?} where `{open}` belongs");
    let is_close = |token: &Token| *token == Token::Sign(close.to_owned());
    let end = rest.iter().position(is_close).context("brackets that do not close")?;
    Ok((&rest[..end], &rest[end + 1..]))
}

fn tokens(expression: &str) -> anyhow::Result<Vec<Token>> {
    let mut found = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = |is: fn(char) -> bool| rest.find(|c| !is(c)).unwrap_or(rest.len());
        let taken = if first == '"' {
            let end = rest[1..].find('"').context("a text without an end")? + 1;
            found.push(Token::Text(rest[1..end].to_owned()));
            end + 1
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = length(|c| c.is_ascii_alphanumeric() || c == '_');
            found.push(Token::Word(rest[..end].to_owned()));
            end
        } else if first.is_ascii_digit() {
            // Durations too: 15m, 0.99.
            found.push(Token::Number);
            length(|c| c.is_ascii_alphanumeric() || c == '.')
        } else if first == '$' {
            // A variable of Grafana's, such as `$__rate_interval`.
            found.push(Token::Number);
            let name = rest
                .trim_start_matches(|c: char| c == '$' || c.is_ascii_alphanumeric() || c == '_');
            rest.len() - name.len()
        } else {
            let end = length(|c| "=!~<>".contains(c)).max(1);
            found.push(Token::Sign(rest[..end].to_owned()));
            end
        };
        rest = rest[taken..].trim_start();
    }
    Ok(found)
}

#[test]
fn what_an_expression_asks_for() {
    let query = Query::parse(
        "histogram_quantile(0.99, sum by (instance, le) (rate(onload_x_bucket{a=\"b\", c=~\"$d\"}[10m]))) > 0.1\n and time() - up > 3",
    )
    .unwrap();
    let matcher = |label: &str, sign: &str, value: &str| {
        (label.to_owned(), sign.to_owned(), value.to_owned())
    };
    assert_eq!(
        query.series,
        [
            ("onload_x_bucket".to_owned(), vec![matcher("a", "=", "b"), matcher("c", "=~", "$d")]),
            ("up".to_owned(), vec![]),
        ]
    );
    assert_eq!(query.grouped_by, BTreeSet::from(["instance", "le"].map(str::to_owned)));
    for bad in
        ["", "sum(1)", "smu(onload_x)", "onload_x{a}", "sum by (a onload_x", "onload_x{a=\"b}"]
    {
        assert!(Query::parse(bad).is_err(), "{bad}");
    }
}
