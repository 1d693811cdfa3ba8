//! Who may call what. One table; what is not in it is refused.

use onload_core::command::Caller;
use onload_core::picture::Picture;
use onload_dbus::error::{Failure, Kind};
use onload_dbus::{action, interface};
use zbus::Connection;
use zbus::message::{Flags, Header};

use super::caller::Callers;
use super::clients::{Clients, Ticket};
use super::polkit::{self, Interaction, Verdict};

/// What a caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it only reads.
    Everybody,
    /// A polkit action.
    Action(&'static str),
    /// One action for whoever ordered the thing, another for anybody else.
    Owned {
        /// For whoever ordered it.
        owner: &'static str,
        /// For anybody else.
        others: &'static str,
    },
}

/// A method and what its caller needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Interface.
    pub interface: &'static str,
    /// Method.
    pub method: &'static str,
    /// What its caller needs.
    pub access: Access,
}

const fn rule(interface: &'static str, method: &'static str, access: Access) -> Rule {
    Rule { interface, method, access }
}

/// Every method of the contract. A test compares it with the contract's annotations.
pub const TABLE: [Rule; 22] = [
    rule(interface::MANAGER, "Allocate", Access::Action(action::ALLOCATE)),
    rule(interface::MANAGER, "Free", Access::Action(action::ALLOCATE)),
    rule(interface::MANAGER, "Hold", Access::Action(action::HOLD)),
    rule(interface::MANAGER, "Unhold", Access::Action(action::HOLD)),
    rule(interface::MANAGER, "Apply", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "UseRelease", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "Rollback", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "Adopt", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "Confirm", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "ImportRelease", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "RemoveRelease", Access::Action(action::MANAGE_MODULES)),
    rule(interface::MANAGER, "HandOverClock", Access::Action(action::MANAGE_CLOCK)),
    rule(interface::MANAGER, "Reload", Access::Action(action::MANAGE_MODULES)),
    rule(interface::SECURE_BOOT, "ImportKey", Access::Action(action::MANAGE_KEYS)),
    rule(interface::SECURE_BOOT, "RevokeRequest", Access::Action(action::MANAGE_KEYS)),
    rule(interface::MANAGER, "Why", Access::Everybody),
    rule(interface::MANAGER, "ListDevices", Access::Everybody),
    rule(interface::MANAGER, "NamingPlan", Access::Everybody),
    rule(interface::MANAGER, "Environment", Access::Everybody),
    rule(interface::MANAGER, "Profiles", Access::Everybody),
    rule(interface::MANAGER, "Config", Access::Everybody),
    rule(
        interface::JOB,
        "Cancel",
        Access::Owned { owner: action::ALLOCATE, others: action::MANAGE_MODULES },
    ),
];

/// Setting with the number of requests one client may have under way.
const PENDING_SETTING: &str = "limits.pending-per-client";
/// The limit where the picture does not show the setting: before the first configuration is read.
const PENDING_WITHOUT_SETTING: u32 = 8;

/// What an admitted call goes on with. The request counts as under way while this lives.
#[derive(Debug)]
pub(super) struct Pass {
    /// Who calls.
    pub(super) caller: Caller,
    /// The request counted.
    _ticket: Ticket,
}

/// The one who decides.
#[derive(Clone, Debug)]
pub(super) struct Bouncer {
    /// Clients of this connection.
    pub(super) clients: Clients,
    /// Callers of this connection.
    pub(super) callers: Callers,
}

impl Bouncer {
    /// Lets a call in, or says why not. `owner` is the user who ordered what the call is about.
    ///
    /// # Errors
    /// `NotAuthorized`, or `LimitExceeded` when the client has too many requests under way.
    pub(super) async fn admit(
        &self,
        call: &Header<'_>,
        connection: &Connection,
        picture: &Picture,
        (interface, method): (&str, &str),
        owner: Option<u32>,
    ) -> Result<Pass, Failure> {
        let what = format!("{method} is refused");
        let refuse = |why: &str, fix: &str| Failure::new(Kind::NotAuthorized, &what, why, fix);
        let rule = TABLE
            .iter()
            .find(|rule| rule.interface == interface && rule.method == method)
            .ok_or_else(|| refuse("nobody may call it", "report it: a fault of onloadd"))?;
        let sender = call
            .sender()
            .ok_or_else(|| refuse("the call names no sender", "call over a message bus"))?;
        // Counted before anybody is asked: questions are what a flood would be made of.
        let ticket = self.clients.begin(sender.as_str());
        let caller = self.callers.identify(connection, sender, &picture.boot_id).await?;
        if !caller.privileged {
            ticket.within(pending_limit(picture))?;
        }
        let pass = Pass { caller, _ticket: ticket };
        let needed = match rule.access {
            Access::Everybody => return Ok(pass),
            Access::Action(action) => action,
            Access::Owned { owner: action, .. } if owner == Some(pass.caller.uid) => action,
            Access::Owned { others, .. } => others,
        };
        // polkit itself lets root do everything; not asking it lets root in where there is none.
        if pass.caller.privileged {
            return Ok(pass);
        }
        let interaction = if call.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) {
            Interaction::Allowed
        } else {
            Interaction::Forbidden
        };
        let user = pass.caller.uid;
        match polkit::check(connection, sender, needed, interaction).await {
            Verdict::Allowed => Ok(pass),
            Verdict::Denied => Err(refuse(
                &format!("polkit does not let user {user} do {needed}"),
                "call as root, or have an administrator allow the action in polkit",
            )),
            Verdict::AskFirst => Err(refuse(
                &format!("user {user} may do {needed} only when a person agrees"),
                "call from a session with a polkit agent, or as root",
            )),
            Verdict::Absent(why) => Err(refuse(
                &format!("{needed} is for root: {why}"),
                "call as root, or install polkit and allow the action in it",
            )),
        }
    }
}

fn pending_limit(picture: &Picture) -> u32 {
    picture
        .config
        .get(PENDING_SETTING)
        .and_then(|entry| entry.value.parse().ok())
        .unwrap_or(PENDING_WITHOUT_SETTING)
}
