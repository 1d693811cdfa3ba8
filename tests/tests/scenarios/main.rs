//! Level 2: scenarios that a person can read. Each `cases/NAME.txt` is a script in the language of
//! [`stage`]; what the node said to it stands in `cases/NAME.out`. `UPDATE=1` writes those anew;
//! read the difference before it is committed.

// A test that cannot unwrap has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

mod shown;
mod stage;

use stage::Stage;

#[test]
fn every_scenario_plays_as_written() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/cases");
    let mut scripts: Vec<_> = fs::read_dir(&cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    scripts.sort();
    assert!(scripts.len() >= 15, "scenarios are missing: {} found", scripts.len());
    let mut different = Vec::new();
    for script in scripts {
        let played = Stage::play(&fs::read_to_string(&script).unwrap());
        let golden = script.with_extension("out");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &played).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if played != expected {
            let at = played.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count();
            let line = |text: &str| text.lines().nth(at).unwrap_or("(end)").to_owned();
            different.push(format!(
                "{} line {}:\n  written {}\n  played  {}",
                golden.display(),
                at + 1,
                line(&expected),
                line(&played)
            ));
        }
    }
    assert!(different.is_empty(), "{}\nUPDATE=1 writes them anew", different.join("\n"));
}
