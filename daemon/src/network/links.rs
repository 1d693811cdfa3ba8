//! Links of rtnetlink: found by name, and changed one attribute at a time.

use std::fs;
use std::path::{Path, PathBuf};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use nix::errno::Errno;
use nix::libc::{
    IFF_UP, IFLA_ADDRESS, IFLA_ALT_IFNAME, IFLA_EXT_MASK, IFLA_IFNAME, IFLA_INFO_KIND, IFLA_LINK,
    IFLA_LINKINFO, IFLA_MASTER, IFLA_PARENT_DEV_NAME, IFLA_PROP_LIST, RTEXT_FILTER_SKIP_STATS,
    RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK,
};
use onload_core::names::{InterfaceName, PciAddress};
use rtnetlink::sys::protocols::NETLINK_ROUTE;

use super::attribute::{Attributes, each, find, number, text};
use super::netlink::{Netlink, Refused};
use super::rename::Links;

/// `RTM_NEWLINKPROP`, `RTM_DELLINKPROP` of `linux/rtnetlink.h`.
const NEWLINKPROP: u16 = 108;
const DELLINKPROP: u16 = 109;
/// `struct ifinfomsg`.
const HEADER_BYTES: usize = 16;
/// `IFF_UP`.
pub(super) const UP: u32 = IFF_UP as u32;

/// A link as the kernel shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) altnames: Vec<String>,
    pub(super) up: bool,
    /// What a link of software is.
    pub(super) kind: Option<String>,
    /// The link it is made on.
    pub(super) below: Option<u32>,
    pub(super) master: Option<u32>,
    pub(super) mac: Vec<u8>,
    /// The device it belongs to.
    pub(super) parent: Option<String>,
}

/// A connection to rtnetlink, and where sysfs is.
pub(super) struct Rtnetlink {
    netlink: Netlink,
    root: PathBuf,
}

impl Rtnetlink {
    pub(super) fn open(root: &Path) -> Result<Self, Refused> {
        Ok(Self { netlink: Netlink::open(NETLINK_ROUTE)?, root: root.to_owned() })
    }

    /// Has a request done.
    pub(super) fn ask(&mut self, kind: u16, flags: u16, payload: &[u8]) -> Result<(), Refused> {
        self.netlink.ask(kind, flags, payload).map(drop)
    }

    /// The same, where it counts as done if it was done already.
    pub(super) fn add(&mut self, kind: u16, payload: &[u8]) -> Result<(), Refused> {
        match self.ask(kind, NLM_F_CREATE | NLM_F_EXCL, payload) {
            Err(refused) if refused.is(Errno::EEXIST) => Ok(()),
            result => result,
        }
    }

    /// A link that is there.
    pub(super) fn link(&mut self, name: &InterfaceName) -> Result<Link, Refused> {
        let found = self.find(name.as_str())?;
        found.ok_or_else(|| Refused::new(format!("there is no interface {name}")))
    }

    /// Gives a link some attributes.
    pub(super) fn set(&mut self, index: u32, attributes: &Attributes) -> Result<(), Refused> {
        self.ask(RTM_NEWLINK, 0, &[&header(index, 0, 0), attributes.bytes()].concat())
    }

    /// Makes a link.
    pub(super) fn make(&mut self, attributes: &Attributes) -> Result<(), Refused> {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        self.ask(RTM_NEWLINK, flags, &[&header(0, 0, 0), attributes.bytes()].concat())
    }

    /// Sets those of the flags of a link that `mask` has.
    pub(super) fn set_flags(&mut self, index: u32, flags: u32, mask: u32) -> Result<(), Refused> {
        self.ask(RTM_NEWLINK, 0, &header(index, flags, mask))
    }

    /// Sets what only `RTM_SETLINK` is used for: virtual functions.
    pub(super) fn set_functions(&mut self, index: u32, list: &Attributes) -> Result<(), Refused> {
        self.ask(RTM_SETLINK, 0, &[&header(index, 0, 0), list.bytes()].concat())
    }

    /// The directory of the device that a link belongs to.
    pub(super) fn device(&self, name: &str) -> PathBuf {
        self.root.join("sys/class/net").join(name).join("device")
    }

    fn set_altname(&mut self, kind: u16, index: u32, name: &str) -> Result<(), Refused> {
        let names = Attributes::default().with_text(IFLA_ALT_IFNAME, name);
        let list = Attributes::default().with_list(IFLA_PROP_LIST, &names);
        let flags = if kind == NEWLINKPROP { NLM_F_CREATE | NLM_F_EXCL | NLM_F_APPEND } else { 0 };
        self.ask(kind, flags, &[&header(index, 0, 0), list.bytes()].concat())
    }
}

impl Links for Rtnetlink {
    fn find(&mut self, name: &str) -> Result<Option<Link>, Refused> {
        let wanted = Attributes::default()
            // A primary name may be asked for as an alternative one, which may be longer.
            .with_text(
                if name.len() < nix::libc::IFNAMSIZ { IFLA_IFNAME } else { IFLA_ALT_IFNAME },
                name,
            )
            .with_number(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS as u32);
        let request = [&header(0, 0, 0), wanted.bytes()].concat();
        let answer = match self.netlink.ask(RTM_GETLINK, 0, &request) {
            Ok(answer) => answer,
            Err(refused) if refused.is(Errno::ENODEV) => return Ok(None),
            Err(refused) => return Err(refused),
        };
        let message = answer.first().ok_or_else(|| Refused::new("the kernel showed no link"))?;
        read(message).map(Some).ok_or_else(|| Refused::new("what the kernel showed is no link"))
    }

    fn belongs(&self, link: &Link, port: &PciAddress) -> bool {
        let shown = || {
            let device = fs::read_link(self.device(&link.name)).ok()?;
            Some(device.file_name()?.to_str()?.to_owned())
        };
        // The kernel tells it itself since 5.14; before, sysfs alone did.
        link.parent.clone().or_else(shown).is_some_and(|parent| parent == port.to_string())
    }

    fn rename(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.set(index, &Attributes::default().with_text(IFLA_IFNAME, name))
    }

    fn set_up(&mut self, index: u32, up: bool) -> Result<(), Refused> {
        self.set_flags(index, if up { UP } else { 0 }, UP)
    }

    fn add_altname(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.set_altname(NEWLINKPROP, index, name)
    }

    fn remove_altname(&mut self, index: u32, name: &str) -> Result<(), Refused> {
        self.set_altname(DELLINKPROP, index, name)
    }
}

/// `struct ifinfomsg`: family, padding and type are 0.
fn header(index: u32, flags: u32, mask: u32) -> [u8; HEADER_BYTES] {
    let words = [0, index, flags, mask].map(u32::to_ne_bytes);
    let mut header = [0; HEADER_BYTES];
    header.iter_mut().zip(words.as_flattened()).for_each(|(to, from)| *to = *from);
    header
}

fn read(message: &[u8]) -> Option<Link> {
    let word = |at: usize| number(message.get(at..at + 4)?);
    let (index, flags) = (word(4)?, word(8)?);
    let mut link = Link { index, up: flags & UP != 0, ..Link::default() };
    for (kind, value) in each(message.get(HEADER_BYTES..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            IFLA_LINK => link.below = number(value),
            IFLA_MASTER => link.master = number(value),
            IFLA_PARENT_DEV_NAME => link.parent = Some(text(value)),
            IFLA_LINKINFO => link.kind = find(value, IFLA_INFO_KIND).map(text),
            IFLA_PROP_LIST => {
                let names = each(value).filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
                link.altnames.extend(names.map(|(_, name)| text(name)));
            }
            _ => {}
        }
    }
    Some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_as_the_kernel_shows_it() {
        let names = Attributes::default().with_text(IFLA_ALT_IFNAME, "enp59s0f0np0");
        let made = Attributes::default().with_text(IFLA_INFO_KIND, "vlan");
        let attributes = Attributes::default()
            .with_text(IFLA_IFNAME, "ens1f0")
            .with(IFLA_ADDRESS, &[0, 15, 83, 1, 2, 3])
            .with_number(IFLA_LINK, 3)
            .with_number(IFLA_MASTER, 9)
            .with_text(IFLA_PARENT_DEV_NAME, "0000:3b:00.0")
            .with_list(IFLA_LINKINFO, &made)
            .with_list(IFLA_PROP_LIST, &names);
        let message = [&header(7, UP, 0), attributes.bytes()].concat();
        let expected = Link {
            index: 7,
            name: "ens1f0".to_owned(),
            altnames: vec!["enp59s0f0np0".to_owned()],
            up: true,
            kind: Some("vlan".to_owned()),
            below: Some(3),
            master: Some(9),
            mac: vec![0, 15, 83, 1, 2, 3],
            parent: Some("0000:3b:00.0".to_owned()),
        };
        assert_eq!(read(&message), Some(expected));
        assert_eq!(read(&message[..8]), None);
    }
}
