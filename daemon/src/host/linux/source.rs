//! Where netlink answers come from: the kernel, or the replies that a capture holds. Netlink lies
//! under no root, so a root other than `/` has recorded answers or none.

use std::collections::BTreeSet;

use onload_core::reading::Reading;

use super::ethtool::{
    CHANNELS_GET, COALESCE_GET, Ethtool, FEATURES_GET, LINKMODES_GET, PRIVFLAGS_GET, RINGS_GET,
    TSINFO_GET,
};
use super::netlink::{Answer, Connections};
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
        }
    }

    /// Whether captures of older versions lack the answer, where every other has it.
    fn is_young(self) -> bool {
        match self {
            Self::Addresses | Self::Routes | Self::Functions | Self::Rules | Self::Qdiscs => true,
            Self::Links | Self::LinkModes | Self::Timestamping => false,
        }
    }
}

/// What ethtool netlink is asked of one interface after the other. A dump would ask other drivers too,
/// and begins with so little room that the names of one interface's features do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Sizes of rings.
    Rings,
    /// Counts of channels.
    Channels,
    /// Coalescing of interrupts.
    Coalescing,
    /// Offloads by name.
    Features,
    /// Flags of the driver's own by name.
    PrivateFlags,
}

impl Group {
    /// The file of a capture that holds the answers about all interfaces that were asked for.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Rings => ".netlink/ethtool-rings.bin",
            Self::Channels => ".netlink/ethtool-channels.bin",
            Self::Coalescing => ".netlink/ethtool-coalesce.bin",
            Self::Features => ".netlink/ethtool-features.bin",
            Self::PrivateFlags => ".netlink/ethtool-privflags.bin",
        }
    }

    fn command(self) -> u8 {
        match self {
            Self::Rings => RINGS_GET,
            Self::Channels => CHANNELS_GET,
            Self::Coalescing => COALESCE_GET,
            Self::Features => FEATURES_GET,
            Self::PrivateFlags => PRIVFLAGS_GET,
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
    /// The answer as raw messages. What a change of that moment keeps out of it shows in the next look.
    pub(super) async fn ask(&self, root: &Dir, question: Question) -> Reading<Vec<u8>> {
        self.answer(root, question, |answer| Ok(answer.bytes)).await
    }

    /// The same of one moment, for what no later look can make good.
    pub(super) async fn ask_whole(&self, root: &Dir, question: Question) -> Reading<Vec<u8>> {
        self.answer(root, question, Answer::whole).await
    }

    async fn answer(
        &self,
        root: &Dir,
        question: Question,
        read: fn(Answer) -> anyhow::Result<Vec<u8>>,
    ) -> Reading<Vec<u8>> {
        match self {
            Self::Live(kernel) => {
                let answer = match question {
                    Question::Links => kernel.route(links::request()).await,
                    Question::Addresses => kernel.route(addresses::request()).await,
                    Question::Routes => kernel.route(routes::request()).await,
                    Question::LinkModes => kernel.ethtool(Ethtool::request(LINKMODES_GET)).await,
                    Question::Timestamping => kernel.ethtool(Ethtool::request(TSINFO_GET)).await,
                    Question::Functions => kernel.route(functions::request()).await,
                    Question::Rules => kernel.route(rules::request()).await,
                    Question::Qdiscs => kernel.route(qdiscs::request()).await,
                };
                let answer = match answer.and_then(read) {
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

    /// The answers about interfaces of these numbers as raw messages. One whose driver does not know
    /// the group, or that has gone, has none.
    pub(super) async fn ask_about(
        &self,
        root: &Dir,
        group: Group,
        links: &BTreeSet<u32>,
    ) -> Reading<Vec<u8>> {
        let Self::Live(kernel) = self else { return root.read(group.file(), REPLY_BYTES) };
        let mut answers = Ok(Vec::new());
        for link in links {
            match kernel.ethtool_of(Ethtool::about(group.command(), *link)).await {
                Ok(answer) => answers.iter_mut().for_each(|all| all.extend(&answer)),
                Err(error) => answers = Err(format!("interface number {link}: {error:#}")),
            }
        }
        let answers = match answers {
            Ok(answers) => Reading::Known(answers),
            Err(why) => Reading::Unreadable(why),
        };
        root.keep(group.file(), &answers);
        answers
    }
}
