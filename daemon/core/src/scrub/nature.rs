//! What the bytes of a file are: it says how what must not be told is taken out of them.

/// What the kernel's answers are kept as, and the frames of a time daemon.
const NETLINK: &str = ".netlink/";
pub(super) const FRAMES: &str = ".clocks/ptp4l";
/// Where the firmware and shim show their variables, whose sizes stand in them.
const FIRMWARE: &str = "sys/firmware/efi/";
/// What libraries and modules begin with, and what gzip, xz and zstd make of them (RFC 1952, RFC 8878).
const MAGIC: [&[u8]; 4] = [b"\x7fELF", b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
/// What an archive of an initramfs begins with, and the digits of its first header (cpio(5), newc).
const ARCHIVES: [&[u8]; 2] = [b"070701", b"070702"];
const ARCHIVE_HEADER: usize = 110;

/// What they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Text,
    /// Text for all that is known, though bytes are in it that no text has. One of them is no reason to
    /// let go by what stands around it.
    Odd,
    Netlink,
    /// A form in which places and lengths count.
    Binary,
}

impl Nature {
    pub(super) fn of(path: &str, content: &[u8]) -> Self {
        if path.contains(NETLINK) {
            return Self::Netlink;
        }
        if path.contains(FIRMWARE) || path.contains(FRAMES) || is_binary(content) {
            return Self::Binary;
        }
        // What a command line has between its words is a NUL.
        let odd = |byte: &u8| byte.is_ascii_control() && !b"\0\t\n\r\x1b".contains(byte);
        if std::str::from_utf8(content).is_ok() && !content.iter().any(odd) {
            Self::Text
        } else {
            Self::Odd
        }
    }
}

fn is_binary(content: &[u8]) -> bool {
    let is_archive = || {
        let header = content.get(..ARCHIVE_HEADER);
        ARCHIVES.iter().any(|magic| content.starts_with(magic))
            && header.is_some_and(|header| header.iter().all(u8::is_ascii_hexdigit))
    };
    MAGIC.iter().any(|magic| content.starts_with(magic)) || is_archive() || is_der(content)
}

/// Whether it is one sequence of DER and nothing else (X.690), as certificates are.
fn is_der(content: &[u8]) -> bool {
    let [0x30, first, rest @ ..] = content else { return false };
    let digits = match first {
        0x81..=0x84 => usize::from(first & 0x0f),
        _ => return false,
    };
    let Some((length, body)) = rest.split_at_checked(digits) else { return false };
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    body.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_known_form_is_binary() {
        let archive = [&b"070701"[..], &[b'0'; 104], b"x\0\x01"].concat();
        let certificate = [&[0x30, 0x82, 1, 0][..], &[7; 256]].concat();
        let longer = [&certificate[..], b"\n"].concat();
        for (path, content, nature) in [
            ("machine/.netlink/links.bin", &b"text"[..], Nature::Netlink),
            ("machine/.clocks/ptp4l-var-run-ptp4l.bin", b"text", Nature::Binary),
            ("machine/.clocks/chronyc.csv", b"text", Nature::Text),
            ("machine/sys/firmware/efi/efivars/SecureBoot-8be4", b"\x06\0\0\0\x01", Nature::Binary),
            ("a.ko", b"\x7fELF\x02", Nature::Binary),
            ("a.ko.gz", b"\x1f\x8b\x08\0", Nature::Binary),
            ("a.ko.xz", b"\xfd7zXZ\0\0", Nature::Binary),
            ("a.ko.zst", b"\x28\xb5\x2f\xfd\x04", Nature::Binary),
            ("boot/initramfs.img", &archive, Nature::Binary),
            ("boot/initramfs.img", b"070701 cut\x01", Nature::Odd),
            ("key.der", &certificate, Nature::Binary),
            ("key.der", &longer, Nature::Odd),
            ("key.der", b"\x30\x82", Nature::Odd),
            ("cmdline", b"a\0b\0", Nature::Text),
            ("kernel.log", b"a\x01b", Nature::Odd),
            ("kernel.log", b"caf\xe9", Nature::Odd),
            ("kernel.log", b"", Nature::Text),
        ] {
            assert_eq!(Nature::of(path, content), nature, "{path}: {content:?}");
        }
    }
}
