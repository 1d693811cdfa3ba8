//! Many tests in few guests: a test program of its own, in place of the standard one, because a
//! boot costs more than most of what is tested in it.
//!
//! Cases of a theme run one after the other in one guest, each counted and named by itself. Each
//! leaves the guest as it found it; after one that failed the rest goes on in a new guest. Names
//! and options on the command line are those of `cargo test`, as far as they make sense here.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

use super::{Guest, Options, image, machine};
use crate::skip::skip;

/// What a failed case shows of the guest's journal.
const JOURNAL_LINES: u32 = 60;
/// How many boots of a theme's guest may fail; each may take its whole time limit.
const BOOTS: u32 = 2;

/// One test.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// As in the source.
    pub name: &'static str,
    /// What it does; an error or a panic is a failure.
    pub run: fn(&mut Guest) -> anyhow::Result<()>,
}

/// Cases that share a guest.
#[derive(Debug)]
pub struct Theme {
    /// The name before the cases' names.
    pub name: &'static str,
    /// What their guest is.
    pub options: Options,
    /// In the order in which they run.
    pub cases: Vec<Case>,
}

/// The cases named, in this order.
#[macro_export]
macro_rules! cases {
    ($($name:path),+ $(,)?) => {
        vec![$($crate::guest::cases::Case { name: stringify!($name), run: $name }),+]
    };
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selection {
    list: bool,
    exact: bool,
    none: bool,
    wanted: Vec<String>,
    skipped: Vec<String>,
}

impl Selection {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut selection = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => selection.list = true,
                "--exact" => selection.exact = true,
                // Nothing here is marked as ignored.
                "--ignored" => selection.none = true,
                "--skip" => selection.skipped.extend(arguments.next()),
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    arguments.next();
                }
                other if other.starts_with('-') => {}
                other => selection.wanted.push(other.to_owned()),
            }
        }
        selection
    }

    fn takes(&self, name: &str) -> bool {
        let fits = |pattern: &String| {
            if self.exact { name == pattern } else { name.contains(pattern.as_str()) }
        };
        let wanted = self.wanted.is_empty() || self.wanted.iter().any(fits);
        !self.none && wanted && !self.skipped.iter().any(fits)
    }
}

/// Runs the themes' cases as the command line says. Says what `cargo test` says, in its form.
pub fn main(themes: Vec<Theme>) -> ExitCode {
    let selection = Selection::parse(std::env::args().skip(1));
    let all: usize = themes.iter().map(|theme| theme.cases.len()).sum();
    let mut chosen = themes;
    for theme in &mut chosen {
        let name = theme.name;
        theme.cases.retain(|case| selection.takes(&format!("{name}::{}", case.name)));
    }
    chosen.retain(|theme| !theme.cases.is_empty());
    let count: usize = chosen.iter().map(|theme| theme.cases.len()).sum();
    if selection.list {
        for (theme, case) in
            chosen.iter().flat_map(|theme| theme.cases.iter().map(move |case| (theme, case)))
        {
            println!("{}::{}: test", theme.name, case.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {count} tests");
    let started = Instant::now();
    let mut tally = Tally::default();
    let lacking = if count == 0 { Ok(None) } else { image::lacking() };
    for theme in &chosen {
        let before = machine::machine_time();
        let lacking = match &lacking {
            Ok(None) => theme.options.lacking(),
            Ok(Some(why)) => Ok(Some(why.clone())),
            Err(error) => Err(anyhow!("{error:#}")),
        };
        match &lacking {
            Ok(None) => tally.run(theme),
            Ok(Some(why)) => theme.cases.iter().for_each(|case| tally.skip(theme, case, why)),
            Err(error) => theme.cases.iter().for_each(|case| {
                tally.failed(theme, case, Duration::ZERO, &anyhow!("{error:#}"), None);
            }),
        }
        tally.times.push((theme.name, machine::machine_time() - before));
    }
    super::forget_image();
    tally.close(all - count, started.elapsed())
}

#[derive(Default)]
struct Tally {
    passed: usize,
    failures: Vec<String>,
    times: Vec<(&'static str, Duration)>,
}

impl Tally {
    fn run(&mut self, theme: &Theme) {
        let mut guest: Option<Guest> = None;
        let mut boots_left = BOOTS;
        for case in &theme.cases {
            let started = Instant::now();
            let result = match guest.take() {
                Some(guest) => Ok(guest),
                None if boots_left == 0 => Err(anyhow!("its guest did not boot before")),
                None => boot(theme),
            };
            let mut present = match result {
                Ok(present) => present,
                Err(error) => {
                    boots_left = boots_left.saturating_sub(1);
                    self.failed(theme, case, started.elapsed(), &error, None);
                    continue;
                }
            };
            let begun = Instant::now();
            let result = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut present)))
                .unwrap_or_else(|_| Err(anyhow!("it panicked; what it said is above")));
            match result {
                Ok(()) => {
                    self.passed += 1;
                    let secs = begun.elapsed().as_secs_f64();
                    println!("test {}::{} ... ok ({secs:.1} s)", theme.name, case.name);
                    guest = Some(present);
                }
                // The guest is dropped with it: who knows what state it is in.
                Err(error) => self.failed(theme, case, begun.elapsed(), &error, Some(&present)),
            }
        }
    }

    fn failed(
        &mut self,
        theme: &Theme,
        case: &Case,
        took: Duration,
        error: &anyhow::Error,
        guest: Option<&Guest>,
    ) {
        let name = format!("{}::{}", theme.name, case.name);
        println!("test {name} ... FAILED ({:.1} s)\n  {error:#}", took.as_secs_f64());
        let journal =
            guest.map(|guest| guest.journal(&format!("-n {JOURNAL_LINES} -o short-monotonic")));
        if let Some(Ok(journal)) = journal {
            println!("  the guest's journal ends with");
            journal.lines().for_each(|line| println!("  | {line}"));
        }
        self.failures.push(name);
    }

    /// Counted as passed here, as any test that returns without failing; the runner of all levels
    /// takes what was told off again.
    fn skip(&mut self, theme: &Theme, case: &Case, why: &str) {
        let name = format!("{}::{}", theme.name, case.name);
        println!("test {name} ... ok");
        skip(&name, why);
        self.passed += 1;
    }

    fn close(self, filtered: usize, took: Duration) -> ExitCode {
        if !self.failures.is_empty() {
            println!("\nfailures:");
            self.failures.iter().for_each(|name| println!("    {name}"));
        }
        let guests: Duration = self.times.iter().map(|(_, time)| *time).sum();
        let each = self.times.iter().map(|(name, time)| format!("{name} {}", time.as_secs()));
        let line = format!(
            "guest seconds: {} ({})",
            guests.as_secs(),
            each.collect::<Vec<_>>().join(", ")
        );
        if !guests.is_zero() {
            println!("\n{line}");
            if let Err(error) = keep(&line) {
                println!("  cannot keep that: {error:#}");
            }
        }
        let word = if self.failures.is_empty() { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
            self.passed,
            self.failures.len(),
            took.as_secs_f64()
        );
        ExitCode::from(u8::from(!self.failures.is_empty()))
    }
}

fn boot(theme: &Theme) -> anyhow::Result<Guest> {
    super::image()?;
    let started = Instant::now();
    let guest = Guest::boot(&theme.options)?;
    println!("     {}: guest up in {:.1} s", theme.name, started.elapsed().as_secs_f64());
    Ok(guest)
}

/// One line for each run, the newest last, in `guest-seconds.txt` of the target directory.
fn keep(line: &str) -> anyhow::Result<()> {
    let this = std::env::current_exe()?;
    let Some(target) = this.ancestors().find(|path| path.join("CACHEDIR.TAG").exists()) else {
        bail!("{} is in no target directory", this.display());
    };
    let path: PathBuf = Path::new(target).join("guest-seconds.txt");
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    Ok(writeln!(file, "{now} {line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Selection {
        Selection::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn cases_are_chosen_as_cargo_test_chooses_tests() {
        assert!(of("").takes("a::b"));
        assert!(of("--nocapture --test-threads 1 a::").takes("a::b"));
        assert!(!of("c").takes("a::b"));
        assert!(!of("--exact a").takes("a::b"));
        assert!(of("--exact a::b").takes("a::b"));
        assert!(!of("--skip b").takes("a::b"));
        assert!(!of("--ignored").takes("a::b"));
    }
}
