//! A pool's profile: its variables become part of what a container gets.
//!
//! They yield to those of the answer itself, so a profile never takes the preload's place, and what
//! the pool's `environment` sets is there before the profile is evaluated, as the launcher has it.
//! A profile of a release is told by a path that every release has, so that no answer and no reason
//! names one.
//!
//! An `unset` takes back what the profile itself has set, and no more: an answer cannot take from a
//! container what its image or pod sets, and what the pool sets wins here too.

use super::{Cause, Look, Standing, matching_release};
use crate::config::PoolSettings;
use crate::profile::{Request, evaluate};
use crate::reading::Reading;

/// Where the launcher of every release finds its profiles.
const DIRECTORY: &str = "/usr/libexec/onload/profiles";

/// Adds what the pool's profile comes to. A profile without a value takes the pool out of service
/// rather than lend it without.
pub(super) fn with_profile(
    mut standing: Standing,
    settings: &PoolSettings,
    look: &Look<'_>,
) -> Standing {
    let (Some(profile), Some(answer), Ok((_, release))) =
        (&settings.profile, &mut standing.answer, matching_release(look.snapshot))
    else {
        return standing;
    };
    let read =
        |path: &str| match path.strip_prefix(DIRECTORY).and_then(|path| path.strip_prefix('/')) {
            Some(name) => match release.profile_files.get(name) {
                Some(Reading::Known(text)) => Ok(Some(text.clone().into_bytes())),
                Some(Reading::Unreadable(why)) => Err(why.clone()),
                Some(Reading::Absent) | None => Ok(None),
            },
            None => look.profiles.get(path).cloned().transpose(),
        };
    let request = Request {
        profiles: vec![profile.clone()],
        directories: vec![DIRECTORY.to_owned()],
        environment: answer.environment.clone(),
        ..Request::default()
    };
    match evaluate(&request, &read) {
        Ok(outcome) => {
            let own = outcome.variables.into_iter().filter(|(_, one)| one.origin.is_some());
            for (name, variable) in own {
                if !answer.environment.contains_key(&name) {
                    answer.profiled.insert(name.clone());
                    answer.environment.insert(name, variable.value);
                }
            }
        }
        Err(refused) => {
            let (profile, why) = (profile.clone(), refused.to_string());
            let cause = Cause::Profile { profile, why, unless: refused.unless };
            for group in standing.places.values_mut() {
                group.get_or_insert_with(|| cause.clone());
            }
        }
    }
    standing
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::af_xdp::Chosen;
    use crate::hardware::Hardware;
    use crate::pool::stand;
    use crate::sample::{inner, node};

    const FILES: [(&str, &str); 5] = [
        ("less.opf", "onload_import fast\nonload_set EF_A 1\nunset EF_UDP EF_A LD_PRELOAD"),
        ("fast.opf", "onload_set EF_POLL_USEC 1\nonload_import more\nonload_set LD_PRELOAD x"),
        ("more.opf-fragment", "onload_set EF_UDP 0"),
        ("probe.opf", "\n[ \"$EF_A\" ] || onload_set EF_A $(nproc)"),
        ("own.opf", "onload_import /etc/own.opf"),
    ];

    fn judged(profile: &str, files: &[(&str, Result<&str, &str>)]) -> Standing {
        judged_with(&[], profile, files)
    }

    fn judged_with(
        environment: &[(&str, &str)],
        profile: &str,
        files: &[(&str, Result<&str, &str>)],
    ) -> Standing {
        let mut snapshot = node();
        let texts = FILES.map(|(name, text)| (name.to_owned(), Reading::Known(text.to_owned())));
        let texts: BTreeMap<_, _> = texts.into();
        for release in inner(&mut snapshot.releases).values_mut() {
            release.profile_files = Arc::new(texts.clone());
        }
        let environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let settings = PoolSettings {
            profile: Some(profile.to_owned()),
            environment: environment.collect(),
            ..PoolSettings::default()
        };
        let files = files.iter().map(|(path, text)| {
            let text = text.map(|text| text.as_bytes().to_vec());
            ((*path).to_owned(), text.map_err(str::to_owned))
        });
        let look = Look {
            snapshot: &snapshot,
            hardware: &Hardware::shipped(),
            chosen: &Chosen::default(),
            profiles: &files.collect(),
        };
        stand(&"onload".parse().unwrap(), &settings, &look, &Standing::default())
    }

    fn environment(standing: &Standing) -> String {
        let each = standing.answer.iter().flat_map(|answer| &answer.environment);
        each.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_container_gets_what_the_profile_comes_to() {
        let preload = "LD_PRELOAD=/opt/onload/usr/lib64/libonload.so";
        let own = [("/etc/own.opf", Ok("onload_set EF_POLL_USEC 2\nonload_import fast"))];
        let cases = [
            ("of the release", "fast", format!("EF_POLL_USEC=1 EF_UDP=0 {preload}")),
            (
                "by path, importing one of the release",
                "/etc/own.opf",
                format!("EF_POLL_USEC=2 EF_UDP=0 {preload}"),
            ),
            (
                "of the release, importing a path",
                "own",
                format!("EF_POLL_USEC=2 EF_UDP=0 {preload}"),
            ),
        ];
        for (why, profile, expected) in cases {
            let standing = judged(profile, &own);
            assert_eq!(environment(&standing), expected, "{why}");
            assert!(standing.places.values().all(Option::is_none), "{why}: {standing:?}");
        }
    }

    #[test]
    fn what_the_pool_sets_wins_and_is_there_before_the_profile() {
        let preload = "LD_PRELOAD=/opt/onload/usr/lib64/libonload.so";
        let standing = judged_with(&[("EF_UDP", "1"), ("EF_B", "2")], "fast", &[]);
        let expected = format!("EF_B=2 EF_POLL_USEC=1 EF_UDP=1 {preload}");
        assert_eq!(environment(&standing), expected);
        // Taking away is no way around it, and what the profile itself set it may take back.
        let standing = judged_with(&[("EF_UDP", "1")], "less", &[]);
        assert_eq!(environment(&standing), format!("EF_POLL_USEC=1 EF_UDP=1 {preload}"));
        // As the refusal of this profile advises.
        let standing = judged_with(&[("EF_A", "4")], "probe", &[]);
        assert_eq!(environment(&standing), format!("EF_A=4 {preload}"));
        assert!(standing.places.values().all(Option::is_none), "{standing:?}");
    }

    #[test]
    fn a_profile_without_a_value_is_why_nothing_is_lent() {
        let cases = [
            (
                "probe",
                "/usr/libexec/onload/profiles/probe.opf:2:34: the command `nproc`",
                "set EF_A in",
            ),
            ("none", "there is no profile none", "onloadctl profile env"),
            ("more", "there is no profile more", "onloadctl profile env"),
            ("/etc/other.opf", "there is no profile /etc/other.opf", "onloadctl profile env"),
            ("/etc/own.opf", "/etc/own.opf: permission denied", "onloadctl profile env"),
        ];
        for (profile, why, fix) in cases {
            let standing = judged(profile, &[("/etc/own.opf", Err("permission denied"))]);
            assert!(!standing.places.is_empty());
            for cause in standing.places.values() {
                let cause = cause.as_ref().unwrap();
                assert_eq!(cause.reason(), "Profile");
                let told = cause.to_string();
                assert!(told.contains(why) && cause.fix().contains(fix), "{told}: {}", cause.fix());
            }
        }
    }
}
