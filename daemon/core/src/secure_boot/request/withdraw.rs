//! Taking back what shim was asked for, before it asks.

use super::enrol::{names, reachable};
use super::obstacle::Obstacle;
use super::write::Write;
use super::{ListChange, ListRequest, PasswordHash, Requests};
use crate::refusal::RefusalKind;
use crate::secure_boot::certificate::Certificate;
use crate::secure_boot::enrolment::places::requested;
use crate::secure_boot::signature_list::write::without;
use crate::secure_boot::signature_list::{self, SignatureType};
use crate::secure_boot::trust::Trust;
use crate::secure_boot::variable::Variable;

/// What is to be taken back.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// These keys; what others asked for stays.
    Keys(&'a [Certificate]),
    /// All that is to be enrolled, whoever asked, as `mokutil --revoke-import` does it.
    All,
}

/// What is done to take it back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawal {
    /// What is to be written, in this order.
    pub writes: Vec<Write>,
    /// What the certificates are called that are asked for no longer.
    pub taken: Vec<String>,
    /// And those that still are.
    pub left: Vec<String>,
}

/// Why nothing is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What is asked for cannot be seen or written.
    Unreachable(Obstacle),
    /// It is not asked for.
    NotPending,
    /// Others are asked for as well, under a password that holds for exactly this list.
    Sealed {
        /// What their certificates are called.
        others: Vec<String>,
    },
}

impl Kept {
    /// One word for programs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(obstacle) => obstacle.reason(),
            Self::NotPending => "NotPending",
            Self::Sealed { .. } => "Sealed",
        }
    }

    /// What a caller is told it is.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Unreachable(obstacle) => obstacle.kind(),
            Self::NotPending => RefusalKind::NotFound,
            Self::Sealed { .. } => RefusalKind::Blocked,
        }
    }

    /// What did not happen.
    pub fn what(&self) -> &'static str {
        "nothing that shim is asked for is taken back"
    }

    /// Why.
    pub fn why(&self) -> String {
        match self {
            Self::Unreachable(obstacle) => obstacle.why(),
            Self::NotPending => {
                "no request (MokNew) names the key; shim deletes what it is asked for at the boot in which it asks".to_owned()
            }
            Self::Sealed { others } => format!(
                "others are asked for as well ({}), and their password is hashed together with the list (MokAuth of 32 bytes)",
                others.join(", ")
            ),
        }
    }

    /// What to do.
    pub fn fix(&self) -> String {
        match self {
            Self::Unreachable(obstacle) => obstacle.fix(),
            Self::NotPending => "nothing; `onloadctl keys list` shows where each key is".to_owned(),
            Self::Sealed { .. } => {
                "`onloadctl keys revoke-request --all`, and ask for the others again".to_owned()
            }
        }
    }
}

/// Says what has to be written to have shim not ask. The password goes before the list: a password
/// alone would have shim forget all keys, a list alone is refused.
///
/// # Errors
/// Nothing of the kind is asked for, or it cannot be taken back.
pub fn withdraw(scope: Scope<'_>, trust: &Trust) -> Result<Withdrawal, Kept> {
    let requests = reachable(trust).map_err(Kept::Unreachable)?;
    let asked = requests.lists.get(&ListChange::Enrol).ok_or(Kept::NotPending)?;
    let called = |data: &[u8]| signature_list::parse(data).map_or(Vec::new(), |all| names(&all));
    let pending = requests.new_list.as_deref().unwrap_or_default();
    let keys = match scope {
        Scope::All => {
            let (writes, taken) = (all_gone(requests), called(pending));
            return Ok(Withdrawal { writes, taken, left: Vec::new() });
        }
        Scope::Keys(keys) => keys,
    };
    let named = |kind, fingerprint| {
        kind == SignatureType::X509 && keys.iter().any(|key| key.fingerprint == fingerprint)
    };
    let rest = without(pending, |kind, entry| {
        entry.certificate().is_ok_and(|one| named(kind, one.fingerprint))
    });
    let rest = rest.map_err(|damaged| Kept::Unreachable(Obstacle::PendingDamaged(damaged)))?;
    if rest.len() == pending.len() {
        return Err(Kept::NotPending);
    }
    let left = called(&rest);
    let taken = keys.iter().filter(|key| requested(requests, key));
    let taken = taken.map(|key| key.subject.to_string()).collect();
    if rest.is_empty() {
        return Ok(Withdrawal { writes: all_gone(requests), taken, left });
    }
    let ListRequest { list: _, auth } = asked;
    if matches!(auth, Some(Ok(PasswordHash::Legacy(_)))) {
        return Err(Kept::Sealed { others: left });
    }
    let name = ListChange::Enrol.list_name().to_owned();
    Ok(Withdrawal { writes: vec![Write { name, data: Some(rest) }], taken, left })
}

/// No request to enrol is left; nor the time to wait, unless it is for something else.
fn all_gone(requests: &Requests) -> Vec<Write> {
    let gone = |name: &str| Write { name: name.to_owned(), data: None };
    let mut writes = vec![gone(ListChange::Enrol.auth_name()), gone(ListChange::Enrol.list_name())];
    let Requests { lists, toggles, password, timeout_secs, new_list: _ } = requests;
    let others = lists.keys().any(|change| *change != ListChange::Enrol);
    if timeout_secs.is_some() && !others && toggles.is_empty() && password.is_none() {
        writes.push(gone(Variable::MOK_TIMEOUT.name));
    }
    writes
}

#[cfg(test)]
mod tests;
