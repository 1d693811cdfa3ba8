//! The variables in which shim is asked for something. Passwords stand in some of them, and hashes
//! of passwords in others: a recording, which people send to each other, gets neither.

use onload_core::secure_boot::request::{
    CRYPT_BYTES, LEGACY_BYTES, ListChange, TOGGLE_BYTES, Toggle,
};
use onload_core::secure_boot::variable::Variable;

/// The password of MokManager itself.
const PASSWORD: &str = "MokPW";
/// What stands in place of what is not shown.
const HIDDEN: u8 = b'*';

/// Their names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let lists = ListChange::ALL.into_iter().flat_map(|one| [one.list_name(), one.auth_name()]);
    let toggles = Toggle::ALL.into_iter().map(Toggle::name);
    lists.chain(toggles).chain([PASSWORD, Variable::MOK_TIMEOUT.name])
}

/// Puts stars over what a variable's data says of a password, but for how it was made and how long
/// it is (`reference/secure-boot-mok.md` section 3).
pub(super) fn hide_password(name: &str, data: &mut [u8]) {
    /// State, and length of the password.
    const TOGGLE_HEAD: usize = 8;
    /// Method, rounds, size of the salt.
    const CRYPT_HEAD: usize = 12;
    let toggle = Toggle::ALL.into_iter().any(|one| one.name() == name);
    let hash = name == PASSWORD || ListChange::ALL.into_iter().any(|one| one.auth_name() == name);
    let shown = match data.len() {
        TOGGLE_BYTES if toggle => TOGGLE_HEAD,
        CRYPT_BYTES | LEGACY_BYTES if hash && data.iter().all(|byte| *byte == 0) => data.len(),
        CRYPT_BYTES if hash => CRYPT_HEAD,
        _ if toggle || hash => 0,
        length => length,
    };
    data.iter_mut().skip(shown).for_each(|byte| *byte = HIDDEN);
}

#[cfg(test)]
mod tests {
    use onload_core::secure_boot::request::{PasswordHash, ToggleRequest};

    use super::*;

    const AUTH: &[u8] = include_bytes!("../../../../../tests/secure-boot/auth.bin");

    #[test]
    fn how_a_password_was_made_stays_and_itself_goes() {
        for name in ["MokAuth", "MokDelAuth", "MokXAuth", "MokXDelAuth", "MokPW"] {
            let mut data = AUTH.to_vec();
            hide_password(name, &mut data);
            let (before, after) = (PasswordHash::parse(AUTH), PasswordHash::parse(&data));
            assert_eq!(format!("{before:?}"), format!("{after:?}"), "{name}");
            assert!(data[12..].iter().all(|byte| *byte == b'*'), "{name}");
        }
        for name in ["MokSB", "MokDB", "MokListTrustedNew"] {
            let mut data = [[1, 0, 0, 0, 8, 0, 0, 0].as_slice(), &[b'p'; 32]].concat();
            let before = ToggleRequest::parse(&data);
            hide_password(name, &mut data);
            assert_eq!(ToggleRequest::parse(&data), before, "{name}");
            assert!(!data.contains(&b'p'), "{name}");
        }
        for (name, before, after) in [
            ("MokAuth", vec![0; 32], vec![0; 32]),
            ("MokAuth", vec![7; 32], vec![b'*'; 32]),
            ("MokPW", vec![7; 33], vec![b'*'; 33]),
            ("MokSB", vec![7; 41], vec![b'*'; 41]),
            ("MokNew", vec![7; 40], vec![7; 40]),
            ("MokTimeout", vec![7; 4], vec![7; 4]),
        ] {
            let mut data = before;
            hide_password(name, &mut data);
            assert_eq!(data, after, "{name}");
        }
    }
}
