//! Lines of `/proc/keys`, true and forged.

use super::*;

/// The lines of `.dns_resolver`, `.builtin_trusted_keys` and `Example` are those of a running kernel
/// 6.18; the others are written after them and after `reference/secure-boot-mok.md` section 5.
const TABLE: &str = "\
023c96ff I------     1 perm 1f030000     0     0 keyring   .dns_resolver: empty
0a6db9b1 I------     1 perm 0f0b0000     0     0 keyring   .blacklist: 3
02d8bfa4 I------     2 perm 1f0b0000     0     0 keyring   .machine: 12
30238881 I--Q---     1 perm 39010000     0     0 asymmetri Example: Module: signing: 7bc9355d33bdcd6e105b7fdc08cc5e3fbb22e349: X509.rsa bb22e349 []
3b084d6c I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: empty
006f5ed2 IR-Q---     1 expd 1f3f0000     0 65534 keyring   _uid_ses.0: 1
20d1e0a5 I--Q---     4   3d 3f030000  1000  1000 user      
302d2d52 I------     1 perm 1f010000     0     0 asymmetri Old: 01: X509.RSA []
302d2d53 I------     1 perm 1f010000     0     0 asymmetri : bccb81: X509.ecdsa-nist-p384 bccb81 []
1d9c0b2f I------     1 perm 0b0b0000     0     0 blacklist bin:00ff
1d9c0b30 I------     1 perm 0b0b0000     0     0 blacklist tbs:0123
";

fn key(serial: u32) -> Key {
    KeyTable::parse(TABLE.as_bytes()).keys[&KeySerial(serial)].clone()
}

#[test]
fn lines_are_keys() {
    let table = KeyTable::parse(TABLE.as_bytes());
    assert_eq!(table.unread, []);
    assert_eq!(table.keys.len(), 11);
    let user = key(0x20d1_e0a5);
    assert_eq!((user.users, user.uid, user.gid), (4, 1000, 1000));
    assert_eq!((user.expiry.as_str(), user.permissions), ("3d", 0x3f03_0000));
    assert_eq!((user.kind.as_str(), user.description.as_str()), ("user", ""));
    assert!(user.usable() && !key(0x006f_5ed2).usable());
    assert_eq!(user.serial.to_string(), "20d1e0a5");
}

#[test]
fn public_keys_are_read_from_the_end() {
    let shown = |serial| {
        let key = key(serial);
        let Asymmetric { name, id, algorithm } = key.asymmetric().unwrap();
        format!("{name}|{id}|{algorithm}")
    };
    let id = "7bc9355d33bdcd6e105b7fdc08cc5e3fbb22e349";
    assert_eq!(shown(0x3023_8881), format!("Example: Module: signing|{id}|rsa"));
    assert_eq!(shown(0x302d_2d52), "Old|01|RSA");
    assert_eq!(shown(0x302d_2d53), "|bccb81|ecdsa-nist-p384");
    assert_eq!(key(0x023c_96ff).asymmetric(), None);
    let with = |description: &str| Key { description: description.to_owned(), ..key(0x302d_2d52) };
    for other in ["", "Old", "Old: 01", "01: X509.RSA []", "Old: 0: X509.rsa []", "a: 01: PGP.rsa"]
    {
        assert_eq!(with(other).asymmetric(), None, "{other}");
    }
}

#[test]
fn rings_are_found_by_name() {
    let rings = |text: &str, ring| -> Vec<_> {
        KeyTable::parse(text.as_bytes())
            .rings(ring)
            .map(|(serial, held)| (serial.0, held))
            .collect()
    };
    assert_eq!(rings(TABLE, SystemRing::Machine), [(0x02d8_bfa4, 12)]);
    assert_eq!(rings(TABLE, SystemRing::Builtin), [(0x3b08_4d6c, 0)]);
    assert_eq!(rings(TABLE, SystemRing::Platform), []);
    assert_eq!(SystemRing::ALL.map(SystemRing::name)[4], ".blacklist");
}

#[test]
fn forged_lines_hide_nothing_but_their_own_number() {
    let forged = "00000001 I------     1 perm 1f0b0000  1000     0 keyring   .platform: 1\n\
                  00000002 I------     1 perm 1f0b0000     0     0 keyring   .machine: 1\n\
                  3b084d6c I------     1 perm 1f0b0000     0     0 keyring   .platform: 9\n\
                  3b084d6c I------     1 perm 1f0b0000     0     0 keyring   .platform: 9\n";
    let table = KeyTable::parse(format!("{TABLE}{forged}").as_bytes());
    assert_eq!(table.rings(SystemRing::Platform).count(), 0, "a user's, or its number not unique");
    assert_eq!(table.rings(SystemRing::Machine).count(), 2);
    assert_eq!(table.rings(SystemRing::Builtin).count(), 0);
    assert_eq!(table.unread.len(), 2);
    assert_eq!(table.unread[0].offset, TABLE.len() + forged.find("3b084d6c").unwrap());
}

#[test]
fn descriptions_cannot_be_forged() {
    let parse = |text: &str| Described::parse(text.as_bytes());
    let ring = parse("keyring;0;0;1f0b0000;.machine\0").unwrap();
    assert!(ring.is(SystemRing::Machine) && !ring.is(SystemRing::Platform));
    assert_eq!(ring.permissions, 0x1f0b_0000);
    assert!(!parse("keyring;1000;0;1f0b0000;.machine").unwrap().is(SystemRing::Machine));
    assert!(!parse("user;0;0;1f0b0000;.machine").unwrap().is(SystemRing::Machine));
    let key = parse("asymmetric;0;0;39010000;A; B: C: 00ff").unwrap();
    assert_eq!(key.certificate(), Some(("A; B: C", KeyId(vec![0, 0xff]))));
    assert_eq!((key.blacklisted(), ring.certificate()), (None, None));
    let revoked = parse("blacklist;0;0;0b0b0000;tbs:0123").unwrap();
    assert_eq!(revoked.blacklisted(), Some(Blacklisted::ToBeSigned(vec![1, 0x23])));
    for (text, offset) in [("", 0), ("a;b;0;0;c", 2), ("a;0;0;-1;c", 6), ("a;0;0;0", 6)] {
        assert_eq!(parse(text).unwrap_err().offset, offset, "{text}");
    }
}

#[test]
fn what_is_revoked_is_a_hash() {
    assert_eq!(key(0x1d9c_0b2f).blacklisted(), Some(Blacklisted::Binary(vec![0, 0xff])));
    assert_eq!(key(0x1d9c_0b30).blacklisted(), Some(Blacklisted::ToBeSigned(vec![1, 0x23])));
    assert_eq!(key(0x023c_96ff).blacklisted(), None);
}

#[test]
fn other_lines_are_told_with_their_place() {
    let line = "023c96ff I------     1 perm 1f030000     0     0 keyring   .dns: empty\n";
    for (text, offset) in [
        ("x\n", 0),
        ("23c96ff I------ 1 perm 0 0 0 keyring   a\n", 0),
        ("023c96ff I-- 1 perm 0 0 0 keyring   a\n", 9),
        ("023c96ff I------ x perm 0 0 0 keyring   a\n", 17),
        ("023c96ff I------ 1 perm -1 0 0 keyring   a\n", 24),
        ("023c96ff I------ 1 perm 0 0 0 keyring", 30),
    ] {
        let table = KeyTable::parse(format!("{line}{text}").as_bytes());
        assert_eq!(table.unread.len(), 1, "{text}");
        assert_eq!(table.unread[0].offset, line.len() + offset, "{text}");
        assert_eq!(table.keys.len(), 1);
    }
    assert_eq!(KeyTable::parse(b""), KeyTable::default());
}

#[test]
fn members_are_numbers() {
    let bytes = [1_u32.to_ne_bytes(), 0x3023_8881_u32.to_ne_bytes()].concat();
    let wanted = BTreeSet::from([KeySerial(1), KeySerial(0x3023_8881)]);
    assert_eq!(members(&bytes), Ok(wanted));
    assert_eq!(members(&bytes[..7]).unwrap_err().offset, 4);
}
