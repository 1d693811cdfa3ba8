//! Colours, and what must never reach a terminal.

use owo_colors::{OwoColorize as _, Style};

/// What a piece of text is to its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    /// Nothing special.
    #[default]
    Plain,
    /// What it is about.
    Strong,
    /// Labels, and what is seldom read.
    Dim,
    /// As it should be.
    Good,
    /// In the way, under way, or not known.
    Warn,
    /// Wrong.
    Bad,
}

impl Paint {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Plain, Self::Strong, Self::Dim, Self::Good, Self::Warn, Self::Bad];

    /// How a terminal shows it. The sixteen colours only: they follow the reader's own scheme.
    pub fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => Style::new().green(),
            Self::Warn => Style::new().yellow(),
            Self::Bad => Style::new().red().bold(),
        }
    }

    /// The text in this colour; it loses the colour again where no terminal reads it.
    pub fn on(self, text: &str) -> String {
        format!("{}", plain(text).style(self.style()))
    }

    /// The colour of a node state.
    pub fn of_state(state: &str) -> Self {
        match state {
            "ready" => Self::Good,
            "idle" => Self::Dim,
            "converging" | "blocked" | "held" => Self::Warn,
            _ => Self::Bad,
        }
    }
}

/// Text from elsewhere (a command name, a reason somebody typed) without what steers a terminal.
pub fn plain(text: &str) -> String {
    let steers = |c: char| c.is_control() || ('\u{e0000}'..='\u{e0fff}').contains(&c);
    text.replace(steers, "\u{fffd}")
}

/// The text without colours.
#[cfg(test)]
pub fn without(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\x1b]0;x\x07b\nc\u{9b}d"), "a\u{fffd}]0;x\u{fffd}b\u{fffd}c\u{fffd}d");
        assert_eq!(without(&Paint::Bad.on("x\x1b[31my")), "x\u{fffd}[31my");
    }
}
