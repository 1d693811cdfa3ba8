//! Where netlink answers come from: the kernel, or the replies that a capture holds. Netlink lies
//! under no root, so a root other than `/` has recorded answers or none.

use onload_core::reading::Reading;

use super::ethtool::{
    CHANNELS_GET, COALESCE_GET, Ethtool, FEATURES_GET, LINKMODES_GET, PRIVFLAGS_GET, RINGS_GET,
    TSINFO_GET,
};
use super::netlink::Connections;
use super::network::{links as functions, qdiscs, rules};
use super::root::Dir;
use super::{addresses, links, routes};

/// Most that a recorded reply may hold: ten thousand interfaces at 1.5 KiB each.
const REPLY_BYTES: usize = 16 << 20;

/// What netlink is asked in a look: one round trip each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Every link, by rtnetlink.
    Links,
    /// Every address, by rtnetlink.
    Addresses,
    /// Every route, by rtnetlink.
    Routes,
    /// Speeds, by ethtool netlink.
    LinkModes,
    /// Hardware clocks, by ethtool netlink.
    Timestamping,
    /// Every link with its virtual functions, by rtnetlink: drivers ask their firmware for them.
    Functions,
    /// Every rule of routing, by rtnetlink.
    Rules,
    /// Every queueing discipline, by rtnetlink.
    Qdiscs,
    /// Sizes of rings, by ethtool netlink.
    Rings,
    /// Counts of channels, by ethtool netlink.
    Channels,
    /// Coalescing of interrupts, by ethtool netlink.
    Coalescing,
    /// Offloads by name, by ethtool netlink.
    Features,
    /// Flags of drivers' own by name, by ethtool netlink.
    PrivateFlags,
}

impl Question {
    /// The file of a capture that holds the answer: the messages of the dump as on the wire, one
    /// after the other, without the one that ends it.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Links => ".netlink/links.bin",
            Self::Addresses => ".netlink/addresses.bin",
            Self::Routes => ".netlink/routes.bin",
            Self::LinkModes => ".netlink/ethtool-linkmodes.bin",
            Self::Timestamping => ".netlink/ethtool-tsinfo.bin",
            Self::Functions => ".netlink/functions.bin",
            Self::Rules => ".netlink/rules.bin",
            Self::Qdiscs => ".netlink/qdiscs.bin",
            Self::Rings => ".netlink/ethtool-rings.bin",
            Self::Channels => ".netlink/ethtool-channels.bin",
            Self::Coalescing => ".netlink/ethtool-coalesce.bin",
            Self::Features => ".netlink/ethtool-features.bin",
            Self::PrivateFlags => ".netlink/ethtool-privflags.bin",
        }
    }

    /// Whether captures of older versions lack the answer, where every other has it.
    fn is_young(self) -> bool {
        match self {
            Self::Addresses
            | Self::Routes
            | Self::Functions
            | Self::Rules
            | Self::Qdiscs
            | Self::Rings
            | Self::Channels
            | Self::Coalescing
            | Self::Features
            | Self::PrivateFlags => true,
            Self::Links | Self::LinkModes | Self::Timestamping => false,
        }
    }
}

/// The source of netlink answers.
#[derive(Debug)]
pub(super) enum Source {
    /// The running kernel.
    Live(Connections),
    /// Files below the root.
    Recorded,
}

impl Source {
    /// The answer as raw messages.
    pub(super) async fn ask(&self, root: &Dir, question: Question) -> Reading<Vec<u8>> {
        match self {
            Self::Live(kernel) => {
                let named = |command| kernel.ethtool(Ethtool::named(command));
                let answer = match question {
                    Question::Links => kernel.route(links::request()).await,
                    Question::Addresses => kernel.route(addresses::request()).await,
                    Question::Routes => kernel.route(routes::request()).await,
                    Question::LinkModes => kernel.ethtool(Ethtool::request(LINKMODES_GET)).await,
                    Question::Timestamping => kernel.ethtool(Ethtool::request(TSINFO_GET)).await,
                    Question::Functions => kernel.route(functions::request()).await,
                    Question::Rules => kernel.route(rules::request()).await,
                    Question::Qdiscs => kernel.route(qdiscs::request()).await,
                    Question::Rings => named(RINGS_GET).await,
                    Question::Channels => named(CHANNELS_GET).await,
                    Question::Coalescing => named(COALESCE_GET).await,
                    Question::Features => named(FEATURES_GET).await,
                    Question::PrivateFlags => named(PRIVFLAGS_GET).await,
                };
                let answer = match answer {
                    Ok(bytes) => Reading::Known(bytes),
                    Err(error) => Reading::Unreadable(format!("{error:#}")),
                };
                root.keep(question.file(), &answer);
                answer
            }
            Self::Recorded => match root.read(question.file(), REPLY_BYTES) {
                Reading::Absent if question.is_young() => Reading::Absent,
                Reading::Absent => {
                    Reading::Unreadable("no recorded netlink answers under this root".to_owned())
                }
                answer => answer,
            },
        }
    }
}
