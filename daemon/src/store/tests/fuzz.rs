//! Archives with bytes changed, cut and repeated: whatever comes, the store answers, and keeps
//! nothing that it refused.

use super::source::{KERNEL, VERSION, gz, xz, zst};
use super::*;

/// Changed archives; some four seconds' worth.
const CASES: u32 = 2000;
/// Fixed, so that a failure can be had again.
const SEED: u64 = 0x0a11_0adb;

#[test]
fn no_archive_is_worse_than_refused() {
    let layer = Source::user("usr/lib64/").tar();
    let image = Source::default()
        .file("a.tar", 0o644, &layer)
        .file("b.tar", 0o644, &gz(&Source::modules("opt/lib/modules/", KERNEL, VERSION).tar()))
        .file("manifest.json", 0o644, b"[{\"Layers\":[\"a.tar\",\"b.tar\"]}]")
        .tar();
    let tar = Source::release().tar();
    let seeds = [gz(&tar), zst(&tar), xz(&tar), tar, image];
    let mut random = fastrand::Rng::with_seed(SEED);
    let place = Place::bounded(Bounds { bytes: 16 << 20, ..Bounds::default() });
    let mut taken = 0;
    for case in 0..CASES {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..6) {
            change(&mut bytes, &mut random);
        }
        let name = format!("case-{case}");
        match place.import_as(&bytes, &name) {
            Ok(_) => {
                taken += 1;
                staging::delete(&place.releases().join(name)).unwrap();
            }
            Err(refused) => assert_ne!(refused.kind, RefusalKind::Internal, "{case}: {refused}"),
        }
        assert!(place.names().is_empty(), "case {case} left {:?}", place.names());
    }
    assert!(taken > 0 && taken < CASES, "{taken} of {CASES} were taken: changes reach nothing");
}

fn change(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    // Near a header more happens than in the middle of a file.
    let at = if random.bool() { at & !511 | random.usize(..512).min(511) } else { at };
    let at = at.min(bytes.len() - 1);
    match random.u8(..5) {
        0 => bytes[at] = random.u8(..),
        1 => bytes[at] ^= 1 << random.u8(..8),
        2 => bytes.truncate(at),
        3 => {
            let end = (at + random.usize(..2048)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let into = random.usize(..bytes.len());
            bytes.splice(into..into, piece);
        }
        _ => {
            let end = (at + random.usize(..2048)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}
