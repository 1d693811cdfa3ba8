//! What is in place for containers: the link of each pool, where it leads somewhere.

use onload_core::names::PoolName;
use onload_core::reading::Reading;
use onload_core::userland::{LIBRARIES, Userland};

use super::root::{Dir, Kind};
use crate::store::CURRENT;
use crate::store::userland::{POOLS, TREES, tree_of};

/// Reads the links below the state directory.
pub(super) fn read(root: &Dir, state: &str) -> Reading<Userland> {
    let state = state.trim_end_matches('/');
    let directory = format!("{state}/{POOLS}");
    let entries = match root.list(&directory) {
        Reading::Known(entries) => entries,
        Reading::Absent => Default::default(),
        Reading::Unreadable(why) => return Reading::Unreadable(format!("{directory}: {why}")),
    };
    let pools = entries.into_iter().filter(|(_, kind)| *kind == Kind::Directory);
    let tree = |(name, _): (String, Kind)| {
        let pool: PoolName = name.parse().ok()?;
        let link = root.link(&format!("{directory}/{pool}/{CURRENT}")).into_known()?;
        let tree = tree_of(&link)?;
        let libraries = root.node(&format!("{state}/{TREES}/{tree}/{LIBRARIES}")).into_known()?;
        (libraries.kind == Kind::Directory).then(|| (pool, tree.to_owned()))
    };
    let trees = pools.filter_map(tree).collect();
    Reading::Known(Userland { directory, trees })
}
