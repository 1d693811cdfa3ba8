//! What a picture lets expect while nobody gives orders: who waits for the node asks this.

use crate::blocker::Blocker;
use crate::picture::{NodeState, Picture};

/// What is still to come by itself. Of several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outlook {
    /// Nothing more will come of it.
    Settled,
    /// It is stopped by something that may pass.
    MayPass,
    /// It goes on by itself.
    GoesOn,
}

impl Outlook {
    /// Of a picture.
    pub fn of(picture: &Picture) -> Self {
        if picture.change.as_ref().is_some_and(|change| change.confirm_by.is_some()) {
            return Self::Settled;
        }
        match picture.state {
            NodeState::Converging => Self::GoesOn,
            NodeState::Held | NodeState::Degraded => Self::Settled,
            NodeState::Ready | NodeState::Blocked | NodeState::Idle => {
                let blockers = picture.blockers.iter().map(|blocked| of_blocker(&blocked.blocker));
                let settling = if picture.probing { Self::GoesOn } else { Self::Settled };
                match blockers.max() {
                    None | Some(Self::Settled) => settling,
                    Some(worst) => worst,
                }
            }
        }
    }
}

fn of_blocker(blocker: &Blocker) -> Outlook {
    match blocker {
        Blocker::StepFailed { retrying: true, .. } => Outlook::GoesOn,
        Blocker::Unreadable { .. } | Blocker::InUse { .. } | Blocker::NotSeen { .. } => {
            Outlook::MayPass
        }
        Blocker::StepFailed { retrying: false, .. }
        | Blocker::LedgerUnreadable { .. }
        | Blocker::LedgerUnwritable { .. }
        | Blocker::ConfigurationInvalid { .. }
        | Blocker::Held { .. }
        | Blocker::AwaitingOrder { .. }
        | Blocker::Stopped
        | Blocker::AwaitingPermit
        | Blocker::ReleaseMissing { .. }
        | Blocker::Preflight { .. }
        | Blocker::OtherManager { .. }
        | Blocker::AfXdpRefused { .. }
        | Blocker::AfXdpLost { .. }
        | Blocker::AfXdpUnasked { .. }
        | Blocker::Protected { .. }
        | Blocker::Rejected { .. }
        | Blocker::AwaitingConfirmation { .. }
        | Blocker::Drifted { .. }
        | Blocker::Name { .. }
        | Blocker::Clock { .. }
        | Blocker::PoolUnserved { .. } => Outlook::Settled,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::Arc;

    use super::*;
    use crate::blocker::Blocked;
    use crate::change::{Change, Deadline, Manner, Origin};
    use crate::step::{Step, StepError};
    use crate::time::{Moment, Timestamp};

    fn picture(state: NodeState, blockers: Vec<Blocker>) -> Picture {
        let blocked = |blocker| Blocked { subject: "node".to_owned(), blocker };
        let blockers = Arc::new(blockers.into_iter().map(blocked).collect());
        Picture { state, blockers, ..Picture::default() }
    }

    fn failed(retrying: bool) -> Blocker {
        let (step, error) = (Step::StopControlPlane, StepError::Failed("x".to_owned()));
        Blocker::StepFailed { step, error, attempts: 1, retrying }
    }

    fn in_use() -> Blocker {
        Blocker::InUse { release: "9.2.1".parse().unwrap(), by: vec!["pid 7".to_owned()] }
    }

    fn awaits_confirmation() -> Change {
        Change {
            number: 1,
            from: Some("in-tree".parse().unwrap()),
            to: "9.2.1".parse().unwrap(),
            origin: Origin::Boot,
            manner: Manner::default(),
            kernel: None,
            boot: None,
            began: Timestamp(1),
            touched: true,
            turned: None,
            called_off: false,
            confirm_by: Some(Deadline { moment: Moment(9), boot: None, wall: Timestamp(9) }),
        }
    }

    #[test]
    fn what_goes_on_and_what_may_pass_is_waited_for_and_nothing_else() {
        use NodeState::{Blocked, Converging, Degraded, Held, Idle, Ready};
        let protected = || Blocker::Protected { interfaces: Vec::new() };
        let probing = Picture { probing: true, ..picture(Ready, Vec::new()) };
        let change = Some(awaits_confirmation());
        let confirmed = Picture { change, ..picture(Converging, Vec::new()) };
        let cases = [
            ("a step is under way", picture(Converging, Vec::new()), Outlook::GoesOn),
            ("nothing was seen yet", Picture::default(), Outlook::GoesOn),
            ("what was seen is settling", probing, Outlook::GoesOn),
            ("as wanted", picture(Ready, Vec::new()), Outlook::Settled),
            ("no card", picture(Idle, Vec::new()), Outlook::Settled),
            ("an operator holds it", picture(Held, vec![in_use()]), Outlook::Settled),
            ("hands off", picture(Degraded, vec![in_use()]), Outlook::Settled),
            ("tried again", picture(Blocked, vec![in_use(), failed(true)]), Outlook::GoesOn),
            ("not tried again", picture(Blocked, vec![failed(false)]), Outlook::Settled),
            ("it carries the root", picture(Blocked, vec![protected()]), Outlook::Settled),
            ("a clock is open", picture(Blocked, vec![protected(), in_use()]), Outlook::MayPass),
            ("done, and to be confirmed by somebody", confirmed, Outlook::Settled),
        ];
        for (why, picture, expected) in cases {
            assert_eq!(Outlook::of(&picture), expected, "{why}");
        }
    }
}
