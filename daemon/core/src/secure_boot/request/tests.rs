//! Requests, as `mokutil` leaves them for shim.

use super::*;

const DB: &[u8] = include_bytes!("../../../../../tests/secure-boot/db.esl");
/// What `openssl passwd -6` made of a password, and the same packed.
const CRYPT: &str = include_str!("../../../../../tests/secure-boot/auth.txt");
const AUTH: &[u8] = include_bytes!("../../../../../tests/secure-boot/auth.bin");

/// The first letters of a crypt are bits of these three bytes (SHA-512).
fn first_letters(hash: &[u8; 128]) -> String {
    const ALPHABET: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let bits = u32::from_be_bytes([0, hash[0], hash[21], hash[42]]);
    (0..4).map(|place| char::from(ALPHABET[(bits >> (6 * place) & 63) as usize])).collect()
}

#[test]
fn hashes_of_passwords_are_read_and_written() {
    let parsed = PasswordHash::parse(AUTH).unwrap();
    let PasswordHash::Crypt { method, rounds, salt, hash } = &parsed else { panic!("{parsed:?}") };
    let said: Vec<_> = CRYPT.trim().split('$').collect();
    assert_eq!((*method, *rounds), (Method::Sha512, 5000));
    assert_eq!(salt, said[2].as_bytes());
    assert!(said[3].starts_with(&first_letters(hash)));
    assert!(hash[..64] != [0; 64] && hash[64..] == [0; 64]);
    assert_eq!(parsed.to_bytes(), AUTH);
    let legacy = PasswordHash::parse(&[7; 32]).unwrap();
    assert_eq!(legacy, PasswordHash::Legacy([7; 32]));
    assert_eq!(legacy.to_bytes(), [7; 32]);
    assert_eq!(PasswordHash::parse(&[0; 172]), Ok(PasswordHash::Cleared));
    assert_eq!(PasswordHash::parse(&[0; 32]), Ok(PasswordHash::Cleared));
}

#[test]
fn nothing_of_them_is_printed() {
    let parsed = PasswordHash::parse(AUTH).unwrap();
    let list = BTreeMap::from([("MokAuth", AUTH), ("MokNew", DB)]);
    let shown = format!("{parsed:?} {:#?}", Requests::parse(&list));
    assert!(shown.contains("Crypt(Sha512, 5000 rounds)"), "{shown}");
    assert!(!shown.contains("0123456789abcdef") && !shown.contains("salt"));
    assert_eq!(format!("{:?}", PasswordHash::Legacy([7; 32])), "Legacy");
    let clear: Vec<u8> = "password".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut toggle = [&[0, 0, 0, 0, 8, 0, 0, 0], clear.as_slice()].concat();
    toggle.resize(TOGGLE_BYTES, 0);
    let request = ToggleRequest::parse(&toggle).unwrap();
    assert_eq!(request, ToggleRequest { state: 0, password_length: 8 });
}

#[test]
fn what_is_no_hash_is_told_with_its_place() {
    let with = |place: usize, byte: u8| {
        let mut bytes = AUTH.to_vec();
        bytes[place] = byte;
        PasswordHash::parse(&bytes).map_err(|damaged| damaged.offset)
    };
    assert_eq!((with(0, 6), with(1, 1), with(10, 33)), (Err(0), Err(0), Err(10)));
    assert!(with(10, 32).is_ok());
    for size in [0, 31, 33, 171, 173] {
        assert!(PasswordHash::parse(&vec![1; size]).is_err(), "{size}");
    }
    let toggle = |bytes: &[u8]| ToggleRequest::parse(bytes).map_err(|damaged| damaged.offset);
    assert_eq!((toggle(&[0; 3]), toggle(&[0; 39]), toggle(&[0; 41])), (Err(0), Err(8), Err(40)));
    assert_eq!(toggle(&[17; 40]), Err(4));
}

#[test]
fn half_of_a_request_is_one() {
    let request = |variables: &[(&'static str, &'static [u8])]| {
        Requests::parse(&variables.iter().copied().collect())
    };
    let none = request(&[("MokListRT", DB), ("MokTimeout", &[255; 4])]);
    assert!(!none.any() && none.timeout_secs == Some(Ok(-1)));
    let whole = request(&[("MokNew", DB), ("MokAuth", AUTH)]);
    let ListRequest { list, auth } = &whole.lists[&ListChange::Enrol];
    assert_eq!(list.as_ref().unwrap().as_ref().unwrap().len(), 2);
    assert!(auth.as_ref().unwrap().is_ok() && whole.any());
    for change in ListChange::ALL {
        for name in [change.list_name(), change.auth_name()] {
            let half = request(&[(name, b"?")]);
            let ListRequest { list, auth } = &half.lists[&change];
            assert_eq!(list.is_some(), name == change.list_name());
            assert_eq!(auth.is_some(), name == change.auth_name());
            assert!(half.any() && half.lists.len() == 1);
        }
    }
    for toggle in Toggle::ALL {
        let asked = request(&[(toggle.name(), &[0; 40])]);
        assert!(asked.toggles[&toggle].is_ok() && asked.any());
        assert!(request(&[(toggle.name(), b"")]).toggles[&toggle].is_err());
    }
    let password = request(&[("MokPW", &[0; 172])]);
    assert!(password.any() && password.password == Some(Ok(PasswordHash::Cleared)));
}
