//! What the README tells people to type.

use crate::node::Node;

/// Lines of the README's shell blocks, without their comments.
///
/// # Panics
/// There is no README.
pub fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(Node::repository("README.md")).unwrap();
    let blocks = readme.split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    shell
        .flat_map(str::lines)
        .map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Those that stand behind a prompt, without it.
pub fn behind_a_prompt() -> Vec<String> {
    let without = |line: &String| {
        let line = line.strip_prefix("$ ").or_else(|| line.strip_prefix("# "))?;
        Some(line.to_owned())
    };
    commands().iter().filter_map(without).collect()
}

/// Whether a line begins with these words.
pub fn begins(line: &str, words: &str) -> bool {
    line.strip_prefix(words).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// Those behind a prompt that begin with these words, in their order.
///
/// # Panics
/// There is none.
pub fn lines(words: &str) -> Vec<String> {
    let lines: Vec<_> = behind_a_prompt().into_iter().filter(|line| begins(line, words)).collect();
    assert!(!lines.is_empty(), "no line of the README begins with `{words}`");
    lines
}
