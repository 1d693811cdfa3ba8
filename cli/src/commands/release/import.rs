//! `release import`: files are opened here, with the rights of whoever asks, and handed over;
//! images come through podman, which runs here as well.

mod podman;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use onload_dbus::error::Kind;
use zbus::{Fd, Variant};

use crate::bus::Bus;
use crate::commands::chosen;
use crate::ended::{Complaint, Ended};
use crate::follow::{self, Until};
use crate::render::Output;
use crate::render::paint::plain;

/// What stands for the standard input, as everywhere.
const STANDARD_INPUT: &str = "-";

/// Endings of archives: what has one is a file that is missing, not an image.
const ARCHIVES: [&str; 6] = [".tar", ".tgz", ".gz", ".xz", ".zst", ".ko"];

/// Where a release comes from.
#[derive(Debug)]
enum Source {
    /// Files that are open now.
    Files(OwnedFd),
    /// An image.
    Image(String),
}

/// Opens or fetches, orders, and follows.
pub async fn order(
    bus: &Bus,
    output: Output,
    source: &str,
    version: Option<&str>,
) -> Result<(), Ended> {
    match find(source)? {
        Source::Files(files) => hand_over(bus, output, files, version).await,
        Source::Image(reference) => {
            // Before an image of gigabytes is fetched for a daemon that is not there.
            bus.node().await?;
            let (files, saving) = podman::save(output, &reference).await?;
            match hand_over(bus, output, files, version).await {
                Ok(()) => Ok(()),
                // Where the image ended early, the daemon can only say that it did.
                Err(ended) => Err(saving.fault().await.map_or(ended, Into::into)),
            }
        }
    }
}

async fn hand_over(
    bus: &Bus,
    output: Output,
    files: OwnedFd,
    version: Option<&str>,
) -> Result<(), Ended> {
    let words: Vec<_> =
        version.map(|name| ("Version", Variant::from(name.to_owned()))).into_iter().collect();
    follow::order(bus, output, Until::Ended, async |manager| {
        // Ours closes with the answer: whoever writes into a pipe that the daemon has closed must
        // hear of it.
        let files = files;
        manager.import_release(Fd::from(files.as_fd()), chosen(&words)).await
    })
    .await
}

/// What is meant: a path that is there, the standard input, or an image.
fn find(source: &str) -> Result<Source, Complaint> {
    let refuse = |error: &io::Error| {
        let (kind, fix) = match error.kind() {
            io::ErrorKind::NotFound => (
                Kind::NotFound,
                "name a directory, an archive, or an image such as registry.example/onload:9.1.0",
            ),
            io::ErrorKind::PermissionDenied => {
                (Kind::NotAuthorized, "ask as a user who may read it")
            }
            _ => (Kind::Internal, "see whether the file can be read at all"),
        };
        let what = "no release was taken in";
        Complaint::of(kind, what, format!("{} cannot be opened: {error}", plain(source)), fix)
    };
    if source == STANDARD_INPUT {
        let input = io::stdin().as_fd().try_clone_to_owned();
        return input.map(Source::Files).map_err(|error| refuse(&error));
    }
    match File::open(Path::new(source)) {
        Ok(file) => Ok(Source::Files(file.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_reference(source) => {
            Ok(Source::Image(source.to_owned()))
        }
        Err(error) => Err(refuse(&error)),
    }
}

/// Whether a text that is no path here reads as an image reference, `registry/name:tag`. A single
/// word does not: it is a file that was mistyped more often than an image without a tag.
fn is_reference(text: &str) -> bool {
    let place = text.starts_with(['/', '.', '~', '-']);
    let archive = ARCHIVES.iter().any(|ending| text.ends_with(ending));
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte);
    !place && !archive && text.contains(['/', ':']) && text.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed test is what a panic is for.

    use super::*;

    #[test]
    fn images_are_told_from_paths() {
        let images = [
            "localhost/onload:9.1.0",
            "registry.example:5000/amd/onload@sha256:0123456789abcdef",
            "onload:latest",
        ];
        for image in images {
            assert!(matches!(find(image), Ok(Source::Image(_))), "{image}");
        }
        let missing = ["onload", "./onload:9", "/x/onload:9", "a/onload-9.1.0.tar.gz", "a b/c"];
        for path in missing {
            let complaint = find(path).unwrap_err();
            assert_eq!((complaint.name.as_str(), complaint.exit), ("NotFound", 1), "{path}");
            assert!(complaint.why.contains(path), "{complaint:?}");
        }
        for there in ["/", "-"] {
            assert!(matches!(find(there), Ok(Source::Files(_))), "{there}");
        }
    }
}
