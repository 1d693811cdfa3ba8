//! A strict reader of OpenMetrics text, as far as the page may use it: what it lets through, every
//! Prometheus reads.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail, ensure};

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// A page that holds: families by name.
#[derive(Debug, Default)]
pub struct Page {
    pub families: BTreeMap<String, Family>,
}

/// One family.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub unit: String,
    /// Samples as they stand: name, labels, value.
    pub samples: Vec<(String, Labels, f64)>,
}

impl Page {
    /// Reads a page.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let body = text.strip_suffix("# EOF\n").context("it does not end with # EOF")?;
        let mut page = Self::default();
        let mut current: Option<String> = None;
        for line in body.lines() {
            page.take(line, &mut current).with_context(|| format!("in `{line}`"))?;
        }
        for (name, family) in &page.families {
            family.check(name).with_context(|| format!("family {name}"))?;
        }
        Ok(page)
    }

    fn take(&mut self, line: &str, current: &mut Option<String>) -> anyhow::Result<()> {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (word, name) = (words.next().unwrap_or(""), words.next().context("no name")?);
            let rest = words.next().context("nothing of it")?.to_owned();
            if current.as_deref() != Some(name) {
                ensure!(!self.families.contains_key(name), "the family was there before");
                self.families.insert(name.to_owned(), Family::default());
                *current = Some(name.to_owned());
            }
            let family = self.families.get_mut(name).context("no such family")?;
            ensure!(family.samples.is_empty(), "said of a family after its samples");
            let place = match word {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                _ => bail!("no such word"),
            };
            ensure!(place.is_empty() && !rest.is_empty(), "said twice, or nothing said");
            *place = rest;
            return Ok(());
        }
        let (name, labels, value) = sample(line)?;
        let of = current.as_deref().context("a sample of no family")?;
        let family = self.families.get_mut(of).context("no such family")?;
        let suffix = name.strip_prefix(of).context("a sample of another family")?;
        let suffixes: &[&str] = match family.kind.as_str() {
            "gauge" => &[""],
            "counter" => &["_total"],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => bail!("type `{other}`, or none before the sample"),
        };
        ensure!(suffixes.contains(&suffix), "no such suffix for the type");
        family.samples.push((name, labels, value));
        Ok(())
    }

    /// The value of a series by its whole labels; none where there is no such series.
    pub fn get(&self, series: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Labels =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples().find(|(name, of, _)| name == series && *of == labels).map(|one| one.2)
    }

    /// The same, of a series that must be there.
    pub fn value(&self, series: &str, labels: &[(&str, &str)]) -> f64 {
        self.get(series, labels).unwrap_or_else(|| panic!("no {series} {labels:?}"))
    }

    /// The sum of a series over all labels.
    pub fn sum(&self, series: &str) -> f64 {
        self.samples().filter(|(name, ..)| name == series).map(|one| one.2).sum()
    }

    /// All samples.
    pub fn samples(&self) -> impl Iterator<Item = &(String, Labels, f64)> {
        self.families.values().flat_map(|family| &family.samples)
    }

    /// Whether no counter, and no bucket, of a page before is larger than here.
    pub fn follows(&self, before: &Self) -> bool {
        let counts = |family: &&Family| matches!(family.kind.as_str(), "counter" | "histogram");
        before.families.values().filter(counts).flat_map(|family| &family.samples).all(
            |(name, labels, then)| {
                let now = self.samples().find(|one| one.0 == *name && one.1 == *labels);
                now.is_some_and(|now| now.2 >= *then)
            },
        )
    }
}

impl Family {
    fn check(&self, name: &str) -> anyhow::Result<()> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        ensure!(name.starts_with("onload_") && name.chars().all(plain), "its name");
        for reserved in ["_total", "_info", "_created", "_count", "_sum", "_bucket"] {
            ensure!(!name.ends_with(reserved), "its name ends as a sample's");
        }
        ensure!(self.help.ends_with('.'), "no help, or no sentence");
        if !self.unit.is_empty() {
            ensure!(
                name.ends_with(&format!("_{}", self.unit)),
                "its name does not end in its unit"
            );
        }
        ensure!(self.unit == "seconds" || !name.contains("_seconds"), "a unit that is not said");
        let mut seen = BTreeSet::new();
        for (sample, labels, value) in &self.samples {
            ensure!(seen.insert((sample, labels)), "{sample} {labels:?} is there twice");
            ensure!(value.is_finite(), "{sample} {labels:?} is no number");
            let is_counted = matches!(self.kind.as_str(), "counter" | "histogram");
            ensure!(!is_counted || *value >= 0.0, "{sample} {labels:?} is below zero");
            ensure!(self.kind != "info" || *value == 1.0, "an info that is not 1");
            let has_bound = labels.contains_key("le");
            ensure!(has_bound == sample.ends_with("_bucket"), "a bound where none belongs");
        }
        // Series of a family differ in values of labels, not in which labels they have.
        let names = |labels: &Labels| -> Vec<String> {
            labels.keys().filter(|name| *name != "le").cloned().collect()
        };
        let kinds: BTreeSet<_> = self.samples.iter().map(|one| names(&one.1)).collect();
        ensure!(kinds.len() <= 1, "labels differ: {kinds:?}");
        if self.kind == "histogram" { self.check_buckets(name) } else { Ok(()) }
    }

    fn check_buckets(&self, name: &str) -> anyhow::Result<()> {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        for (sample, labels, value) in &self.samples {
            let mut labels = labels.clone();
            if let Some(bound) = labels.remove("le") {
                let number = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
                ensure!(number.is_infinite() || format!("{number:?}") == bound, "le=\"{bound}\"");
                buckets.entry(labels).or_default().push((number, *value));
            } else {
                ensure!(
                    [format!("{name}_sum"), format!("{name}_count")].contains(sample),
                    "no bucket, sum or count"
                );
            }
        }
        let count = |labels: &Labels| {
            let count = format!("{name}_count");
            self.samples.iter().find(|one| one.0 == count && one.1 == *labels).map(|one| one.2)
        };
        for (labels, of) in &buckets {
            let grow = of.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
            ensure!(grow, "buckets of {labels:?} do not grow");
            let last = of.last().context("no bucket")?;
            ensure!(last.0.is_infinite() && Some(last.1) == count(labels), "+Inf is not the count");
        }
        Ok(())
    }
}

/// One sample: its name, its labels and its value.
fn sample(line: &str) -> anyhow::Result<(String, Labels, f64)> {
    let named = line.find(['{', ' ']).context("no value")?;
    let (name, mut rest) = line.split_at(named);
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").context("no label")?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            ensure!(!label.is_empty() && label.chars().all(plain), "label `{label}`");
            let (value, after) = quoted(after)?;
            ensure!(labels.insert(label.to_owned(), value).is_none(), "label {label} twice");
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after.strip_prefix('}').context("labels do not end")?;
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').context("no space before the value")?;
    ensure!(!value.contains(' '), "more than a value");
    Ok((name.to_owned(), labels, value.parse()?))
}

/// What stands before the closing quote, and what comes after it.
fn quoted(text: &str) -> anyhow::Result<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next().context("an escape of nothing")?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                other => bail!("\\{other} is no escape"),
            }),
            plain => value.push(plain),
        }
    }
    bail!("a value without an end")
}

/// The reader refuses what it is there to refuse.
#[test]
fn what_is_no_page_is_refused() {
    const GOOD: &str = "# HELP onload_x X.\n# TYPE onload_x counter\nonload_x_total{a=\"b\"} 1\n";
    Page::parse(&format!("{GOOD}# EOF\n")).unwrap();
    let bad = [
        (GOOD.to_owned(), "no end"),
        (format!("{GOOD}# EOF\n\n"), "something after the end"),
        (format!("{GOOD}onload_x_total{{a=\"b\"}} 2\n# EOF\n"), "a series twice"),
        (format!("{GOOD}onload_x_total{{c=\"b\"}} 2\n# EOF\n"), "other labels"),
        (format!("{GOOD}onload_x 2\n# EOF\n"), "a counter without its suffix"),
        (format!("{GOOD}# UNIT onload_x seconds\n# EOF\n"), "a word after samples"),
        (GOOD.replace("X.", "X") + "# EOF\n", "no sentence"),
        (GOOD.replace(" 1\n", " -1\n") + "# EOF\n", "below zero"),
        (GOOD.replace("b\"}", "b}") + "# EOF\n", "an open quote"),
        (GOOD.replace("# TYPE onload_x counter\n", "") + "# EOF\n", "no type"),
        (format!("{GOOD}\n# EOF\n"), "an empty line"),
    ];
    for (text, what) in bad {
        assert!(Page::parse(&text).is_err(), "{what}: {text}");
    }
}
