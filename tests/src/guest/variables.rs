//! A variable store of the firmware's as a file: variables are put into it while the guest is off,
//! as if they had been set before.
//!
//! The layout is EDK2's: a firmware volume, in it a store of authenticated variables, each behind a
//! header, the next on a multiple of four. What is free is erased flash.

use anyhow::{Context, ensure};

/// Owner of shim's variables (reference/secure-boot-mok.md section 1).
pub const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";
/// Owner of the variables that UEFI itself defines.
pub const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// Attributes: kept, and seen by boot programs only.
pub const BOOT_ONLY: u32 = 0b011;
/// Attributes: kept, and seen by the running system too.
pub const RUNTIME: u32 = 0b111;

/// Type of a signature list of certificates.
const X509: &str = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072";
/// Type of the store: variables with the fields that authenticated ones need.
const AUTHENTICATED: &str = "aaf32c78-947b-439a-a180-2e144ec37792";
/// The length of the store's own header, and of a variable's before its name.
const STORE_HEADER: usize = 28;
const HEADER: usize = 60;
/// Every variable begins with it.
const BEGIN: [u8; 2] = [0xaa, 0x55];
/// A variable that was written whole and not deleted since.
const ADDED: u8 = 0x3f;

/// A variable of the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, in ASCII.
    pub name: String,
    /// Whose namespace the name is in: a GUID in hex.
    pub owner: String,
    /// Bits of UEFI: 1 kept, 2 for boot programs, 4 for the running system.
    pub attributes: u32,
    /// Its content.
    pub data: Vec<u8>,
}

impl Variable {
    /// A variable of shim's.
    pub fn shim(name: &str, attributes: u32, data: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), owner: SHIM.to_owned(), attributes, data: data.into() }
    }

    /// The machine owner's keys: shim then trusts these certificates (DER).
    pub fn mok_list(certificates: &[&[u8]]) -> Self {
        Self::shim("MokList", BOOT_ONLY, signature_lists(certificates))
    }
}

/// Signature lists of shim's, one for each certificate (DER).
pub fn signature_lists(certificates: &[&[u8]]) -> Vec<u8> {
    let mut lists = Vec::new();
    for certificate in certificates {
        let entry = 16 + certificate.len();
        lists.extend(guid(X509));
        for number in [28 + entry, 0, entry] {
            lists.extend(word(number));
        }
        lists.extend(guid(SHIM));
        lists.extend(*certificate);
    }
    lists
}

/// Puts variables behind those of a store; none of them may be in it.
///
/// # Errors
/// This is no such store, or it is full.
pub fn add(store: &mut [u8], variables: &[Variable]) -> anyhow::Result<()> {
    let (mut free, end) = free(store).context("no variable store of EDK2's")?;
    for variable in variables {
        let written = encode(variable);
        let to = free + written.len();
        ensure!(to <= end, "the variable store has no room for {}", variable.name);
        store[free..to].copy_from_slice(&written);
        free = to.next_multiple_of(4);
    }
    Ok(())
}

/// Where the free part of a store begins and ends.
fn free(store: &[u8]) -> Option<(usize, usize)> {
    if store.get(40..44)? != b"_FVH" {
        return None;
    }
    let header = usize::from(u16::from_le_bytes(store.get(48..50)?.try_into().ok()?));
    if store.get(header..header + 16)? != guid(AUTHENTICATED) {
        return None;
    }
    let number = |at: usize| -> Option<usize> {
        usize::try_from(u32::from_le_bytes(store.get(at..at + 4)?.try_into().ok()?)).ok()
    };
    let end = (header + number(header + 16)?).min(store.len());
    let mut at = (header + STORE_HEADER).next_multiple_of(4);
    while store.get(at..at + 2)? == BEGIN {
        at = (at + HEADER + number(at + 36)? + number(at + 40)?).next_multiple_of(4);
    }
    Some((at, end))
}

fn encode(variable: &Variable) -> Vec<u8> {
    let name: Vec<u8> =
        variable.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let mut written = Vec::from(BEGIN);
    written.extend([ADDED, 0]);
    written.extend(variable.attributes.to_le_bytes());
    // A counter, a time and a key: of authenticated variables only.
    written.extend([0; 8 + 16 + 4]);
    written.extend(word(name.len()));
    written.extend(word(variable.data.len()));
    written.extend(guid(&variable.owner));
    written.extend(name);
    written.extend(&variable.data);
    written
}

fn word(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a variable is shorter").to_le_bytes()
}

/// A GUID as firmware writes it: the first three groups with the low byte first.
fn guid(text: &str) -> [u8; 16] {
    let number = u128::from_str_radix(&text.replace('-', ""), 16).expect("a GUID in hex");
    let mut bytes = number.to_be_bytes();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store of a kilobyte with nothing in it.
    fn empty() -> Vec<u8> {
        let mut store = vec![0xff; 1024];
        store[40..44].copy_from_slice(b"_FVH");
        store[48..50].copy_from_slice(&72_u16.to_le_bytes());
        store[72..88].copy_from_slice(&guid(AUTHENTICATED));
        store[88..92].copy_from_slice(&word(900));
        store
    }

    #[test]
    fn variables_lie_one_behind_the_other_until_the_store_is_full() {
        let mut store = empty();
        assert_eq!(free(&store), Some((100, 972)));
        let odd = Variable::shim("MokTimeout", RUNTIME, [1, 0, 0]);
        add(&mut store, std::slice::from_ref(&odd)).unwrap();
        // 60 of the header, 22 of the name, 3, and one to the next multiple of four.
        assert_eq!(free(&store), Some((186 + 2, 972)));
        assert_eq!(store[100..108], [0xaa, 0x55, 0x3f, 0, 7, 0, 0, 0]);
        assert_eq!(store[144..148], [0x50, 0xab, 0x5d, 0x60], "the owner's first group");
        assert_eq!(store[160..164], *b"M\0o\0");
        assert_eq!(store[182..186], [1, 0, 0, 0xff]);

        let long = Variable::mok_list(&[&[0x30; 800]]);
        let said = add(&mut store, &[long]).unwrap_err().to_string();
        assert!(said.contains("no room for MokList"), "{said}");
        assert_eq!(free(&store), Some((188, 972)), "and nothing of it is written");
        assert!(add(&mut vec![0xff; 1024], &[odd]).is_err(), "erased flash is no store");
    }

    #[test]
    fn a_signature_list_says_how_long_it_is() {
        let lists = signature_lists(&[&[0x30, 1], &[0x30, 2, 3]]);
        assert_eq!(lists.len(), 28 + 16 + 2 + 28 + 16 + 3);
        assert_eq!(lists[16..28], [46, 0, 0, 0, 0, 0, 0, 0, 18, 0, 0, 0]);
        assert_eq!(lists[44..46], [0x30, 1]);
    }
}
