//! What the methods of all objects share: who may come in, where orders are posted, and when an
//! answer may go out.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use onload_core::command::{Command, Reply};
use onload_core::names::AllocationId;
use onload_core::picture::Picture;
use onload_dbus::error::{Failure, Kind};
use onload_dbus::path;
use tokio::sync::watch;
use zbus::message::Header;
use zbus::{Connection, ObjectPath, OwnedObjectPath};

use super::bouncer::{Bouncer, Pass};
use super::errors;
use crate::letterbox::{Letterbox, Notice};

/// An answer waits so long for the bus to show what it speaks of. The bus needs milliseconds; what
/// came and went again before it was ever shown is not worth more.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// The desk where orders are taken. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    /// Who may come in.
    pub(super) bouncer: Bouncer,
    /// Where orders are posted.
    pub(super) letterbox: Letterbox,
    /// The picture whose objects stand on the bus.
    pub(super) standing: watch::Receiver<Arc<Picture>>,
}

impl Desk {
    /// Lets a call in, or says why not.
    ///
    /// # Errors
    /// As [`Bouncer::admit`].
    pub(super) async fn admit(
        &self,
        call: &Header<'_>,
        connection: &Connection,
        method: (&str, &str),
        owner: Option<u32>,
    ) -> Result<Pass, Failure> {
        let picture = self.letterbox.picture();
        self.bouncer.admit(call, connection, &picture, method, owner).await
    }

    /// Posts an order, waits for its answer, and until the bus shows what the answer speaks of: a
    /// caller that is given an object's path must find the object there.
    ///
    /// # Errors
    /// What the loop refuses.
    pub(super) async fn submit(&self, pass: &Pass, command: Command) -> Result<Reply, Failure> {
        self.submit_with(pass, command, None).await
    }

    async fn submit_with(
        &self,
        pass: &Pass,
        command: Command,
        files: Option<OwnedFd>,
    ) -> Result<Reply, Failure> {
        let freed = match &command {
            Command::Free { allocation, .. } => Some(*allocation),
            Command::Allocate { .. }
            | Command::Hold { .. }
            | Command::Unhold
            | Command::Apply { .. }
            | Command::Use { .. }
            | Command::Rollback { .. }
            | Command::Adopt
            | Command::Confirm
            | Command::Import { .. }
            | Command::Remove { .. }
            | Command::ImportKey { .. }
            | Command::RevokeRequest { .. }
            | Command::HandOver { .. }
            | Command::Cancel { .. }
            | Command::Reload
            | Command::KubeletAllocate { .. } => None,
        };
        let answer = self.letterbox.submit_with(pass.caller.clone(), command, files).await;
        let reply = answer.map_err(|refusal| errors::failure(&refusal))?;
        let mut standing = self.standing.clone();
        let shown = standing.wait_for(|picture| shows(picture, &reply, freed));
        // Late, or gone again by now: the answer stands all the same.
        let _ = tokio::time::timeout(SHOWN_WITHIN, shown).await;
        Ok(reply)
    }

    /// Watches the caller of an allocation: one that ends with it, and one that nobody would hear
    /// of any more.
    ///
    /// # Errors
    /// `Cancelled` when the caller is gone already, or the bus is.
    pub(super) async fn watch_caller(
        &self,
        call: &Header<'_>,
        connection: &Connection,
    ) -> Result<Watched, Failure> {
        let Some(client) = call.sender() else {
            return Ok(Watched { desk: self.clone(), client: None });
        };
        self.bouncer.clients.watch(connection, client).await.map_err(|error| {
            let what = "nothing was lent: the caller cannot be watched";
            let fix = "call again, and stay until the answer comes";
            Failure::new(Kind::Cancelled, what, &error.to_string(), fix)
        })?;
        Ok(Watched { desk: self.clone(), client: Some(client.to_string()) })
    }

    /// Posts an order that is either done or refused.
    ///
    /// # Errors
    /// What the loop refuses.
    pub(super) async fn order(
        &self,
        pass: &Pass,
        command: Command,
        method: &str,
    ) -> Result<(), Failure> {
        match self.submit(pass, command).await? {
            Reply::Done => Ok(()),
            Reply::Allocated(_) | Reply::Job(_) | Reply::Containers(_) => {
                Err(errors::unexpected(method))
            }
        }
    }

    /// Posts an order that takes time, with the files that come with it, and gives its job.
    ///
    /// # Errors
    /// What the loop refuses.
    pub(super) async fn job(
        &self,
        pass: &Pass,
        command: Command,
        files: Option<OwnedFd>,
        method: &str,
    ) -> Result<OwnedObjectPath, Failure> {
        match self.submit_with(pass, command, files).await? {
            Reply::Job(id) => Ok(object(path::Kind::Job, &id.to_string())),
            Reply::Done | Reply::Allocated(_) | Reply::Containers(_) => {
                Err(errors::unexpected(method))
            }
        }
    }
}

/// The path of an object of ours.
pub(super) fn object(kind: path::Kind, name: &str) -> OwnedObjectPath {
    // An escaped name has no byte that a path may not have.
    ObjectPath::from_string_unchecked(path::of(kind, name)).into()
}

/// The watch on the caller of an allocation.
#[derive(Debug)]
pub(super) struct Watched {
    desk: Desk,
    client: Option<String>,
}

impl Watched {
    /// To be called when the allocation is answered: a client that vanished between its call and
    /// the answer was reported before there was anything to end, so it is reported once more.
    pub(super) fn settle(self) {
        if let Some(bus_name) = self.client
            && !self.desk.bouncer.clients.is_watched(&bus_name)
        {
            self.desk.letterbox.notify(Notice::ClientGone { bus_name });
        }
    }
}

/// Whether a picture shows what an answer speaks of.
fn shows(picture: &Picture, reply: &Reply, freed: Option<AllocationId>) -> bool {
    let given = match reply {
        Reply::Done | Reply::Containers(_) => true,
        Reply::Allocated(lent) => lent.iter().all(|(id, _)| picture.allocations.contains_key(id)),
        Reply::Job(id) => picture.jobs.contains_key(id),
    };
    given && freed.is_none_or(|id| !picture.allocations.contains_key(&id))
}
