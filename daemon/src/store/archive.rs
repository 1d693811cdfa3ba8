//! An archive member by member, whatever it is packed with and whatever it holds: within bounds, and no path
//! in it leads out of it. What does not hold a release is read with the same care.

use std::fs::File;
use std::io::Read;

use onload_core::refusal::Refusal;

use super::budget::Budget;
use super::fault;
use super::stream::{self, Content};
use super::tarball;

pub(crate) use super::budget::{Bounds, Cancel, Waiting};
pub(crate) use super::tarball::{Member, MemberKind};

/// What it is called in refusals.
const NAME: &str = "the archive";

/// Takes a member, whose content is what the reader gives.
pub(crate) type Take<'t> = dyn FnMut(Member, &mut dyn Read) -> Result<(), Refusal> + 't;

/// Hands every member to `take`, in order. Ends soon after it is cancelled.
///
/// # Errors
/// It cannot be read, is more than the bounds allow, or has a member that nothing may have; or why `take`
/// did not take one.
pub(crate) fn read(
    source: File,
    bounds: Bounds,
    cancel: Cancel,
    take: &mut Take<'_>,
) -> Result<(), Refusal> {
    members(source, &Budget::new(bounds, cancel), take)
}

/// The same with a budget of the caller's.
pub(super) fn members(source: File, budget: &Budget, take: &mut Take<'_>) -> Result<(), Refusal> {
    let mut stream = stream::open(source, budget).map_err(|error| budget.refusal(NAME, &error))?;
    if stream.content == Content::Other {
        return Err(fault::unfit(
            "it is no tar archive, neither plain nor packed with gzip, zstd or xz",
            "give a directory, such an archive, or the output of `podman save`",
        ));
    }
    // Who takes a member sees a bound that was met as an error of the reader.
    tarball::read(NAME, &mut stream.reader, budget, take)
        .map_err(|refusal| budget.stopped().unwrap_or(refusal))
}
