//! Explanations for `Why`: a stand-in until the core explains by itself.

use onload_core::picture::Picture;

/// An explained decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explanation {
    /// What it is about.
    pub(super) subject: String,
    /// What was decided.
    pub(super) decision: String,
    /// What was looked at, and what it said.
    pub(super) inputs: Vec<(String, String)>,
    /// What would lead to another decision.
    pub(super) would_change: Vec<String>,
}

/// Explains what stands between a subject and what is wanted.
pub(super) fn explain(picture: &Picture, subject: &str) -> Option<Explanation> {
    let blocked: Vec<_> = picture.blockers.iter().filter(|b| b.subject == subject).collect();
    let known = subject == "node"
        || !blocked.is_empty()
        || picture.ports.keys().any(|key| key.to_string() == subject)
        || picture.modules.keys().any(|key| key.as_str() == subject)
        || picture.releases.keys().any(|key| key.as_str() == subject)
        || picture.pools.keys().any(|key| key.as_str() == subject);
    known.then(|| Explanation {
        subject: subject.to_owned(),
        decision: picture.summary.clone(),
        inputs: blocked.iter().map(|b| (b.blocker.reason().to_owned(), b.blocker.why())).collect(),
        would_change: blocked.iter().map(|b| b.blocker.fix()).collect(),
    })
}
