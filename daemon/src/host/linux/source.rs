//! Where netlink answers come from: the kernel, or the replies that a capture holds. Netlink lies
//! under no root, so a root other than `/` has recorded answers or none.

use onload_core::reading::Reading;

use super::ethtool::{Ethtool, LINKMODES_GET, TSINFO_GET};
use super::links;
use super::netlink::Connections;
use super::root::Dir;

/// Most that a recorded reply may hold: ten thousand interfaces at 1.5 KiB each.
const REPLY_BYTES: usize = 16 << 20;

/// What netlink is asked in a look: three round trips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Every link, by rtnetlink.
    Links,
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
            Self::LinkModes => ".netlink/ethtool-linkmodes.bin",
            Self::Timestamping => ".netlink/ethtool-tsinfo.bin",
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
                Reading::Absent => {
                    Reading::Unreadable("no recorded netlink answers under this root".to_owned())
                }
                answer => answer,
            },
        }
    }
}
