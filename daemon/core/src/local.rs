//! What a program of this node gets of a pool: a container's variables, with the host's own paths.
//!
//! The library is named by the release's own path: programs of the node are not started again by
//! somebody who remembers an old answer, as containers are.

use std::collections::BTreeMap;

use crate::names::PoolName;
use crate::picture::{Picture, ReleasePicture};
use crate::pool::Cause;
use crate::reading::Reading;
use crate::refusal::{Refusal, RefusalKind};
use crate::release::ProfileFiles;

/// The library that is preloaded.
const LIBRARY: &str = "libonload.so";
/// Where a release has its profiles.
const PROFILES: &str = "usr/libexec/onload/profiles";
/// What of a container's variables names a path inside the container.
const CONTAINER_PATHS: [&str; 2] = [PRELOAD, "ONLOAD_PRELOAD"];
/// The dynamic linker's variable (ld.so(8)).
pub const PRELOAD: &str = "LD_PRELOAD";

/// Whose profile a program runs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The pool's, if it has one.
    Pools,
    /// One of the caller's own: what the pool's sets is left out.
    Callers,
}

/// The variables. Who asks for them wants to use Onload, so the library is preloaded whatever the
/// pool gives to containers.
///
/// # Errors
/// `NotFound` for a pool that is not there, `Blocked` while no release fits the loaded driver.
pub fn environment(
    picture: &Picture,
    pool: &PoolName,
    profile: Profile,
) -> Result<BTreeMap<String, String>, Refusal> {
    const WHAT: &str = "there is no environment for a program";
    let Some(pool) = picture.pools.get(pool) else {
        let why = format!("there is no pool {pool}");
        return Err(Refusal::new(RefusalKind::NotFound, WHAT, why, "see `onloadctl pools`"));
    };
    let (Some(answer), Some(release)) = (&pool.answer, fitting(picture)) else {
        let cause = pool.devices.iter().find_map(|device| device.cause.clone());
        return Err(blocked(WHAT, cause));
    };
    let mut variables = answer.environment.clone();
    variables.retain(|name, _| !CONTAINER_PATHS.contains(&name.as_str()));
    if profile == Profile::Callers {
        variables.retain(|name, _| !answer.profiled.contains(name));
    }
    let directory = below(release, &release.release.library_directory);
    variables.insert(PRELOAD.to_owned(), format!("{directory}/{LIBRARY}"));
    Ok(variables)
}

/// The profiles of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles {
    /// Where it has them.
    pub directory: String,
    /// Their texts, and those of the fragments that they import.
    pub files: ProfileFiles,
}

/// The profiles of the release whose library `environment` names. Who runs a program evaluates them
/// with that program's environment and words, which are none of the node's business.
///
/// # Errors
/// `Blocked` while no release fits the loaded driver.
pub fn profiles(picture: &Picture) -> Result<Profiles, Refusal> {
    let Some(release) = fitting(picture) else {
        let devices = picture.pools.values().flat_map(|pool| pool.devices.iter());
        let cause = devices.filter_map(|device| device.cause.clone()).next();
        return Err(blocked("there are no profiles for a program", cause));
    };
    let files = release.release.profile_files.clone();
    Ok(Profiles { directory: below(release, PROFILES), files })
}

fn blocked(what: &str, cause: Option<Cause>) -> Refusal {
    let cause = cause.unwrap_or(Cause::LibrariesMissing);
    Refusal::new(RefusalKind::Blocked, what, cause.to_string(), cause.fix())
}

/// The release whose library fits the loaded driver; of several the one that containers get
/// (`pool::matching_release`).
fn fitting(picture: &Picture) -> Option<&ReleasePicture> {
    let version = picture.loaded_version.known();
    let fits = |release: &ReleasePicture| {
        release.matches_driver == Reading::Known(true)
            && release.release.libraries.contains(LIBRARY)
    };
    let (_, found) = picture
        .releases
        .iter()
        .filter(|(_, release)| fits(release))
        .max_by_key(|(name, _)| version.is_some_and(|version| version == name.as_str()))?;
    Some(found)
}

/// A directory of a release as the host has it.
fn below(release: &ReleasePicture, directory: &str) -> String {
    format!("{}/{directory}", release.release.root.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::command::ContainerAnswer;
    use crate::config::PoolKind;
    use crate::picture::PoolPicture;
    use crate::release::Release;

    fn release(root: &str, libraries: &[&str], fits: bool) -> ReleasePicture {
        let release = Release {
            root: root.to_owned(),
            library_directory: "usr/lib64".to_owned(),
            libraries: libraries.iter().map(|name| (*name).to_owned()).collect(),
            ..Release::default()
        };
        ReleasePicture {
            release,
            matches_driver: Reading::Known(fits),
            ..ReleasePicture::default()
        }
    }

    fn node(
        variables: &[(&str, &str)],
        releases: Vec<(&str, ReleasePicture)>,
        version: &str,
    ) -> Picture {
        let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let environment = variables.collect();
        let answer = ContainerAnswer { environment, ..ContainerAnswer::default() };
        let pool = PoolPicture {
            kind: PoolKind::Onload,
            resource: "amd.com/onload".to_owned(),
            devices: Arc::default(),
            answer: Some(Arc::new(answer)),
            registered: false,
            ..PoolPicture::default()
        };
        let releases = releases.into_iter().map(|(name, one)| (name.parse().unwrap(), one));
        Picture {
            pools: Arc::new(BTreeMap::from([("onload".parse().unwrap(), pool)])),
            releases: Arc::new(releases.collect()),
            loaded_version: Reading::Known(version.to_owned()),
            ..Picture::default()
        }
    }

    #[test]
    fn paths_are_the_hosts_and_of_the_release_that_fits() {
        let both = &["libonload.so", "libonload.so.1"][..];
        let host = || ("host", release("/", both, true));
        let nine = |fits| ("9.1.0", release("/r/9.1.0", both, fits));
        let inside = "/opt/onload/usr/lib64/libonload.so";
        let cases = [
            ("the host's own", vec![host()], "9.0.0", Ok("/usr/lib64/libonload.so")),
            (
                "of two that fit, the one the driver names",
                vec![nine(true), host()],
                "9.1.0",
                Ok("/r/9.1.0/usr/lib64/libonload.so"),
            ),
            (
                "another does not count",
                vec![nine(false), host()],
                "9.1.0",
                Ok("/usr/lib64/libonload.so"),
            ),
            ("none fits", vec![nine(false)], "9.1.0", Err(RefusalKind::Blocked)),
            (
                "no library to preload",
                vec![("host", release("/", &["libonload.so.1"], true))],
                "",
                Err(RefusalKind::Blocked),
            ),
        ];
        for (why, releases, version, expected) in cases {
            let given = [(PRELOAD, inside), ("EF_AF_XDP_ZEROCOPY", "0")];
            let picture = node(&given, releases, version);
            let found = environment(&picture, &"onload".parse().unwrap(), Profile::Pools);
            let found = found.map_err(|refusal| refusal.kind);
            let expected = expected.map(|path| {
                let pairs = [("EF_AF_XDP_ZEROCOPY", "0"), (PRELOAD, path)];
                BTreeMap::from(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
            });
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn a_pool_for_the_launcher_gives_programs_the_library_all_the_same() {
        let releases = vec![("host", release("/", &["libonload.so"], true))];
        let picture = node(&[("ONLOAD_PRELOAD", "/opt/x")], releases, "");
        let found = environment(&picture, &"onload".parse().unwrap(), Profile::Pools).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), [PRELOAD]);
        let absent = environment(&picture, &"other".parse().unwrap(), Profile::Pools).unwrap_err();
        assert_eq!(absent.kind, RefusalKind::NotFound);
    }

    #[test]
    fn a_caller_with_a_profile_gets_that_of_no_pool_and_the_texts_of_the_release_that_fits() {
        let text = |text: &str| Reading::Known(text.to_owned());
        let mut fits = release("/r/9.1.0", &["libonload.so"], true);
        let files = BTreeMap::from([("a.opf".to_owned(), text("onload_set EF_A 1"))]);
        fits.release.profile_files = Arc::new(files);
        let other = release("/", &["libonload.so"], false);
        let given = [("EF_A", "1"), ("EF_AF_XDP_ZEROCOPY", "0")];
        let mut picture = node(&given, vec![("9.1.0", fits), ("host", other)], "9.1.0");
        let mut pools = (*picture.pools).clone();
        for pool in pools.values_mut() {
            let mut answer = pool.answer.as_deref().cloned().unwrap();
            answer.profiled.insert("EF_A".to_owned());
            pool.answer = Some(Arc::new(answer));
        }
        picture.pools = Arc::new(pools);
        let names = |profile| {
            let found = environment(&picture, &"onload".parse().unwrap(), profile).unwrap();
            found.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(names(Profile::Pools), ["EF_A", "EF_AF_XDP_ZEROCOPY", PRELOAD]);
        assert_eq!(names(Profile::Callers), ["EF_AF_XDP_ZEROCOPY", PRELOAD]);
        let found = profiles(&picture).unwrap();
        assert_eq!(found.directory, "/r/9.1.0/usr/libexec/onload/profiles");
        assert_eq!(found.files.keys().collect::<Vec<_>>(), ["a.opf"]);
        let refused = profiles(&Picture::default()).unwrap_err();
        assert_eq!(refused.kind, RefusalKind::Blocked);
    }
}
