//! Where netlink answers come from: the kernel, or the replies that a capture holds. Netlink lies
//! under no root, so a root other than `/` has recorded answers or none.

use onload_core::reading::Reading;

use super::ethtool::{Ethtool, LINKMODES_GET, TSINFO_GET};
use super::netlink::Connections;
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
        }
    }

    /// Whether captures of older versions lack the answer, where every other has it.
    fn is_young(self) -> bool {
        match self {
            Self::Addresses | Self::Routes => true,
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
                let answer = match question {
                    Question::Links => kernel.route(links::request()).await,
                    Question::Addresses => kernel.route(addresses::request()).await,
                    Question::Routes => kernel.route(routes::request()).await,
                    Question::LinkModes => kernel.ethtool(Ethtool::request(LINKMODES_GET)).await,
                    Question::Timestamping => kernel.ethtool(Ethtool::request(TSINFO_GET)).await,
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
