//! Asks polkit whether a caller may do something.

use std::collections::BTreeMap;
use std::time::Duration;

use zbus::names::UniqueName;
use zbus::{Connection, Variant};

/// polkit answers from memory unless it asks a person.
const ANSWER: Duration = Duration::from_secs(10);
/// As long as a person may take to type a password; polkit's agents give up by themselves.
const ANSWER_OF_A_PERSON: Duration = Duration::from_secs(120);

const NAME: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";

/// Bit of CheckAuthorization's flags: a person may be asked.
const ALLOW_USER_INTERACTION: u32 = 1;

/// What polkit says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They may.
    Allowed,
    /// They may not.
    Denied,
    /// They may if a person says so, and the call did not allow to ask one.
    AskFirst,
    /// There is nobody to ask; the text says why.
    Absent(String),
}

/// Whether the call may lead to a question to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interaction {
    /// It may.
    Allowed,
    /// It may not.
    Forbidden,
}

/// Asks. The subject is the connection, which polkit resolves by itself: no pid is trusted.
pub(super) async fn check(
    connection: &Connection,
    sender: &UniqueName<'_>,
    action: &str,
    interaction: Interaction,
) -> Verdict {
    let (flags, patience) = match interaction {
        Interaction::Allowed => (ALLOW_USER_INTERACTION, ANSWER_OF_A_PERSON),
        Interaction::Forbidden => (0, ANSWER),
    };
    let subject = ("system-bus-name", BTreeMap::from([("name", Variant::from(sender.as_str()))]));
    let details = BTreeMap::<&str, &str>::new();
    let body = (subject, action, details, flags, "");
    let call =
        connection.call_method(Some(NAME), PATH, Some(INTERFACE), "CheckAuthorization", &body);
    let reply = match tokio::time::timeout(patience, call).await {
        Err(_) => return Verdict::Absent("polkit does not answer".to_owned()),
        Ok(Err(error)) => return Verdict::Absent(format!("polkit cannot be asked: {error}")),
        Ok(Ok(reply)) => reply,
    };
    match reply.body().deserialize::<((bool, bool, BTreeMap<String, String>),)>() {
        Ok(((true, _, _),)) => Verdict::Allowed,
        Ok(((false, true, _),)) => Verdict::AskFirst,
        Ok(((false, false, _),)) => Verdict::Denied,
        Err(error) => Verdict::Absent(format!("polkit answers nonsense: {error}")),
    }
}
