//! The clients of one bus connection: how many requests each has under way, and which of them
//! hold something that ends with them. One watch per such client; no wake-ups for the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onload_dbus::error::{Failure, Kind};
use tokio_stream::StreamExt;
use zbus::fdo::NameOwnerChanged;
use zbus::names::{BusName, UniqueName};
use zbus::{Connection, MatchRule, MessageStream};

use crate::letterbox::{Letterbox, Notice};

/// Clients by unique name. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    known: Arc<Mutex<BTreeMap<String, Client>>>,
    letterbox: Letterbox,
}

#[derive(Debug, Default)]
struct Client {
    pending: u32,
    watched: bool,
}

/// One request under way; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    clients: Clients,
    name: String,
    position: u32,
}

impl Ticket {
    /// Checks that the client had fewer than `most` under way when this one came.
    ///
    /// # Errors
    /// `LimitExceeded`.
    pub(super) fn within(&self, most: u32) -> Result<(), Failure> {
        if self.position <= most {
            return Ok(());
        }
        let why = format!("this client has {} requests under way already", self.position - 1);
        let what = "the call is refused: too many at once";
        let fix = "wait for answers, or raise `pending-per-client` in [limits]";
        Err(Failure::new(Kind::LimitExceeded, what, &why, fix))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut known = self.clients.lock();
        if let Some(client) = known.get_mut(&self.name) {
            client.pending = client.pending.saturating_sub(1);
            if client.pending == 0 && !client.watched {
                known.remove(&self.name);
            }
        }
    }
}

impl Clients {
    /// None yet.
    pub(super) fn new(letterbox: Letterbox) -> Self {
        Self { known: Arc::default(), letterbox }
    }

    /// Counts a request.
    pub(super) fn begin(&self, name: &str) -> Ticket {
        let mut known = self.lock();
        let client = known.entry(name.to_owned()).or_default();
        client.pending += 1;
        Ticket { clients: self.clone(), name: name.to_owned(), position: client.pending }
    }

    /// Whether a watched client is there still.
    pub(super) fn is_watched(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|client| client.watched)
    }

    /// Sees to it that the end of a client is told to the loop. Returns when nothing can be missed
    /// any more.
    ///
    /// # Errors
    /// The bus refuses or is gone, or the client is.
    pub(super) async fn watch(
        &self,
        connection: &Connection,
        name: &UniqueName<'_>,
    ) -> zbus::Result<()> {
        if self.is_watched(name.as_str()) {
            return Ok(());
        }
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, name.as_str())
            .build()?;
        let signals = MessageStream::for_match_rule(rule, connection, None).await?;
        let bus = zbus::fdo::DBusProxy::new(connection).await?;
        if !bus.name_has_owner(BusName::from(name.as_ref())).await? {
            return Err(zbus::Error::Failure("the caller is gone".to_owned()));
        }
        // Two calls of one client may come here together; the second watch is one too many.
        let first = {
            let mut known = self.lock();
            let client = known.entry(name.to_string()).or_default();
            !std::mem::replace(&mut client.watched, true)
        };
        if first {
            tokio::spawn(self.clone().until_gone(name.to_string(), signals));
        }
        Ok(())
    }

    async fn until_gone(self, name: String, mut signals: MessageStream) {
        while let Some(Ok(message)) = signals.next().await {
            let gone = NameOwnerChanged::from_message(message)
                .is_some_and(|signal| signal.args().is_ok_and(|args| args.new_owner().is_none()));
            if gone {
                self.lock().remove(&name);
                self.letterbox.notify(Notice::ClientGone { bus_name: name });
                return;
            }
        }
        // The stream ends with the connection: that is the bus's end, not the client's.
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Client>> {
        // Counts and flags are whole at any moment.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn a_client_has_so_many_requests_and_no_more() {
        let (letterbox, _pictures, _posts) = Letterbox::new();
        let clients = Clients::new(letterbox);
        let first = clients.begin(":1.1");
        let second = clients.begin(":1.1");
        let third = clients.begin(":1.1");
        assert!(first.within(2).is_ok() && second.within(2).is_ok());
        assert_eq!(third.within(2).unwrap_err().kind, Kind::LimitExceeded);
        assert!(clients.begin(":1.2").within(2).is_ok(), "others are not bound by it");
        drop((first, third));
        assert!(clients.begin(":1.1").within(2).is_ok(), "an answered request counts no more");
        drop(second);
        assert!(clients.lock().is_empty(), "nothing is kept of clients without requests");
    }
}
