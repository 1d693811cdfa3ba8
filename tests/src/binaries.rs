//! The binaries under test, found beside the program that tests them.

use std::path::PathBuf;

/// The path of a binary of this workspace, built in the same profile as the caller.
///
/// # Panics
/// When it was not built, since every test that needs it would fail for a reason it does not show.
pub fn binary(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a program knows where it is");
    // Tests lie in `deps/` below the directory the binaries are in; programs lie in it.
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "{name} is not built; run `cargo build --workspace --bins` in the same profile first"
        )
    })
}
