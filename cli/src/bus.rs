//! The connection to onloadd: everything in two calls, and what changes afterwards.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use onload_dbus::path::{self, Kind};
use onload_dbus::proxies::{JobProxy, ManagerProxy, SecureBootProxy};
use onload_dbus::{BUS_NAME, interface};
use serde_json::{Map, Value};
use tokio_stream::{Stream, StreamExt as _};
use zbus::fdo::ManagedObjects;
use zbus::message::Type;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant};

use crate::args::Bus as Choice;
use crate::ended::{Complaint, Ended};
use crate::properties::{Properties, json};

/// Time for one answer. Orders may wait for a person to authorize them and for the ledger's disk;
/// the bus's own limit for starting a service is 25 s, and its answer says more than ours.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for the bus to accept us: a local socket, so anything slower is stuck.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Signals kept while the terminal is slow. A pool of 10,000 devices can be lent at one go.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// What the node's other interface is called where people see it.
pub const SECURE_BOOT: &str = "secure-boot";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

/// An open connection.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
}

/// What an object stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The node.
    Node,
    /// Whom the node trusts.
    SecureBoot,
    /// One of its objects, by kind and name.
    Object(Kind, String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::SecureBoot => f.write_str(SECURE_BOOT),
            Self::Object(kind, name) => write!(f, "{} {name}", kind.as_str()),
        }
    }
}

impl Subject {
    /// The subject behind a path; none for paths of a newer contract. The node's path has two.
    fn of(text: &str) -> Option<Self> {
        if text == path::ROOT {
            return Some(Self::Node);
        }
        path::parse(text).map(|(kind, name)| Self::Object(kind, name))
    }

    /// What an interface of it is about; none for interfaces of a newer contract.
    fn with(self, interface: &str) -> Option<Self> {
        let both = [Some(Self::SecureBoot).filter(|_| self == Self::Node), Some(self)];
        both.into_iter().flatten().find(|one| one.interface() == interface)
    }

    fn interface(&self) -> &'static str {
        match self {
            Self::Node => interface::MANAGER,
            Self::SecureBoot => interface::SECURE_BOOT,
            Self::Object(kind, _) => kind.interface(),
        }
    }
}

/// All objects and their properties.
pub type Objects = BTreeMap<Subject, Map<String, Value>>;

/// Something that changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// Properties have new values; null where the value was not sent along.
    Changed(Subject, Map<String, Value>),
    /// A new object.
    Appeared(Subject, Map<String, Value>),
    /// An object is no more.
    Gone(Subject),
    /// onloadd came to the bus (true) or left it (false).
    Daemon(bool),
}

impl Bus {
    /// Connects. Nothing is asked yet, so a missing onloadd shows at the first call.
    pub async fn connect(choice: &Choice) -> Result<Self, Ended> {
        let builder = match choice {
            Choice::System => zbus::connection::Builder::system(),
            Choice::Session => zbus::connection::Builder::session(),
            Choice::Address(address) => zbus::connection::Builder::address(address.as_str()),
        };
        let connecting = builder.method_timeout(CALL_TIMEOUT).build();
        let connection = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Complaint::unreachable("the bus does not answer"))?
            // Whatever goes wrong here, there is no bus to speak over.
            .map_err(|error| Complaint::unreachable(format!("no bus: {}", first_cause(&error))))?;
        Ok(Self { connection })
    }

    /// The node's own methods.
    pub async fn manager(&self) -> Result<ManagerProxy<'_>, Ended> {
        let builder = ManagerProxy::builder(&self.connection);
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// Methods about keys.
    pub async fn secure_boot(&self) -> Result<SecureBootProxy<'_>, Ended> {
        let builder = SecureBootProxy::builder(&self.connection);
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// Methods of one job.
    pub async fn job(&self, name: &str) -> Result<JobProxy<'_>, Ended> {
        let builder = JobProxy::builder(&self.connection).path(path::of(Kind::Job, name));
        Ok(builder.cache_properties(CacheProperties::No).build().await?)
    }

    /// Everything: the node, and all that is below it.
    pub async fn objects(&self) -> Result<Objects, Ended> {
        let (node, below) = tokio::join!(
            self.properties(&Subject::Node, path::ROOT),
            self.call(OBJECT_MANAGER, "GetManagedObjects", &()),
        );
        let below: ManagedObjects = below?.body().deserialize()?;
        let mut objects = Objects::from([(Subject::Node, node?)]);
        for (path, interfaces) in below {
            let Some(subject) = Subject::of(path.as_str()) else { continue };
            let ours = subject.interface();
            // A branch of the tree is listed too, without an interface of ours.
            if let Some((_, dict)) = interfaces.into_iter().find(|(name, _)| name.as_str() == ours)
            {
                objects.insert(subject, json(dict));
            }
        }
        Ok(objects)
    }

    /// Properties of the node alone.
    pub async fn node(&self) -> Result<Properties, Ended> {
        Ok(Properties::new(self.properties(&Subject::Node, path::ROOT).await?))
    }

    /// Whom the node trusts.
    pub async fn trust(&self) -> Result<Map<String, Value>, Ended> {
        self.properties(&Subject::SecureBoot, path::ROOT).await
    }

    /// Every object of a kind, by name, in no order that people care for.
    pub async fn all(&self, kind: Kind) -> Result<Vec<Properties>, Ended> {
        Ok(of_kind(&mut self.objects().await?, kind))
    }

    /// Properties of one job.
    pub async fn job_properties(&self, name: &str) -> Result<Map<String, Value>, Ended> {
        let subject = Subject::Object(Kind::Job, name.to_owned());
        self.properties(&subject, &path::of(Kind::Job, name)).await
    }

    async fn properties(&self, of: &Subject, path: &str) -> Result<Map<String, Value>, Ended> {
        let reply = self
            .connection
            .call_method(Some(BUS_NAME), path, Some(PROPERTIES), "GetAll", &of.interface())
            .await?;
        Ok(json(reply.body().deserialize::<HashMap<String, OwnedVariant>>()?))
    }

    async fn call(&self, interface: &str, member: &str, body: &()) -> zbus::Result<Message> {
        let connection = &self.connection;
        connection.call_method(Some(BUS_NAME), path::ROOT, Some(interface), member, body).await
    }

    /// What changes from now on. Ends with an error when the bus goes away.
    pub async fn signals(
        &self,
    ) -> Result<impl Stream<Item = Result<Signal, Ended>> + Unpin + use<>, Ended> {
        let ours = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS_NAME)
            .path_namespace(path::ROOT)
            .build()?;
        let owner = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg(0, BUS_NAME)
            .build()?;
        let ours = MessageStream::for_match_rule(ours, &self.connection, Some(SIGNALS)).await?;
        let owner = MessageStream::for_match_rule(owner, &self.connection, None).await?;
        let lost = || Err(Complaint::unreachable("the bus went away").into());
        let messages = ours.chain(tokio_stream::once(Err(zbus::Error::InvalidReply))).merge(owner);
        Ok(Box::pin(messages.filter_map(move |message| match message {
            Ok(message) => signal(&message).map(Ok),
            Err(_) => Some(lost()),
        })))
    }
}

/// Takes the objects of a kind out.
pub fn of_kind(objects: &mut Objects, kind: Kind) -> Vec<Properties> {
    objects
        .iter_mut()
        .filter(|(subject, _)| matches!(subject, Subject::Object(its, _) if *its == kind))
        .map(|(_, values)| Properties::new(std::mem::take(values)))
        .collect()
}

/// What a signal says; none when it is not about an object of the contract.
fn signal(message: &Message) -> Option<Signal> {
    let header = message.header();
    let body = message.body();
    match header.member()?.as_str() {
        "PropertiesChanged" => {
            let (interface, changed, silent) =
                body.deserialize::<(String, HashMap<String, OwnedVariant>, Vec<String>)>().ok()?;
            let subject = Subject::of(header.path()?.as_str())?.with(&interface)?;
            let mut changed = json(changed);
            changed.extend(silent.iter().map(|name| (crate::properties::snake(name), Value::Null)));
            Some(Signal::Changed(subject, changed))
        }
        "InterfacesAdded" => {
            let (path, mut interfaces) = body
                .deserialize::<(
                    zbus::OwnedObjectPath,
                    HashMap<String, HashMap<String, OwnedVariant>>,
                )>()
                .ok()?;
            let subject = Subject::of(path.as_str())?;
            let dict = interfaces.remove(subject.interface())?;
            Some(Signal::Appeared(subject, json(dict)))
        }
        "InterfacesRemoved" => {
            let (path, interfaces) =
                body.deserialize::<(zbus::OwnedObjectPath, Vec<String>)>().ok()?;
            let subject = Subject::of(path.as_str())?;
            let ours = interfaces.iter().any(|name| name == subject.interface());
            ours.then_some(Signal::Gone(subject))
        }
        "NameOwnerChanged" => {
            let (_, _, new) = body.deserialize::<(String, String, String)>().ok()?;
            Some(Signal::Daemon(!new.is_empty()))
        }
        _ => None,
    }
}

/// The innermost cause: that is what a person can act on.
fn first_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
