//! What systemd thinks of the shipped unit's sandbox.

use std::process::Command;

use anyhow::Context;

use super::table::{Row, Weight};
use crate::node::Node;

const BUDGET: f64 = 4.0;
/// What comes before the figure in the last line.
const VERDICT: &str = "Overall exposure level for ";

/// Asks `systemd-analyze`.
///
/// # Errors
/// Its answer has no figure.
pub fn measure() -> anyhow::Result<Vec<Row>> {
    ["onloadd.service", "onloadd-boot.service", "onloadd-sfptpd.service", "onloadd-nfd.service"]
        .into_iter()
        .map(of_unit)
        .collect()
}

fn of_unit(name: &str) -> anyhow::Result<Row> {
    let what = format!("systemd-analyze security, {name}");
    let unit = Node::repository(&format!("units/{name}"));
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            return Ok(Row::skipped(what, "≤ 4.0", format!("systemd-analyze: {error}")));
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let figure = exposure(&text).with_context(|| {
        format!("no figure of systemd-analyze: {text}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    Ok(Row::new(Weight::Held, what, "≤ 4.0", format!("{figure:.1}"), figure <= BUDGET))
}

fn exposure(text: &str) -> Option<f64> {
    let (_, verdict) = text.split_once(VERDICT)?;
    let (_, figure) = verdict.split_once(": ")?;
    figure.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_behind_the_units_name() {
        let text = "→ Overall exposure level for onloadd.service: 2.1 OK 🙂\n";
        assert_eq!(exposure(text), Some(2.1));
        assert_eq!(exposure("Failed to load unit\n"), None);
    }
}
