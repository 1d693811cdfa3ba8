//! What a container gets: of the kind, of the settings, and of devices that are things of their own.

use std::collections::btree_map::Entry;

use super::Standing;
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;

/// Adds what the pool's settings name. It wins over what the kind has, of which the configuration
/// check keeps it where that would break.
pub(super) fn add_settings(answer: &mut ContainerAnswer, settings: &PoolSettings) {
    let variables = settings.environment.iter();
    answer.environment.extend(variables.map(|(name, value)| (name.clone(), value.clone())));
    let mounts = settings.mounts.iter();
    answer.mounts.extend(mounts.map(|(inside, on_host)| (inside.clone(), on_host.clone())));
}

/// Leaves out of what single devices bring the variables and mounts that the pool has for all of
/// them: those are the configuration's, its profile's or the kind's, and win. Nothing is refused for
/// it, since what a device brings is nothing that an administrator could correct.
pub(super) fn keep_common(standing: &mut Standing) {
    let Some(common) = &standing.answer else { return };
    for own in standing.own.values_mut() {
        own.answer.environment.retain(|name, _| !common.environment.contains_key(name));
        own.answer.mounts.retain(|inside, _| !common.mounts.contains_key(inside));
    }
}

impl ContainerAnswer {
    /// Adds what one more device brings, which is nothing that the pool has for all of them. A
    /// variable that two devices bring is a list with commas, as plugins for network devices make it
    /// (reference/sriov-vdpa-pools.md section 8); CDI has no such list, so a kind brings none.
    pub fn add(&mut self, device: &Self) {
        for (name, value) in &device.environment {
            match self.environment.entry(name.clone()) {
                Entry::Vacant(new) => _ = new.insert(value.clone()),
                Entry::Occupied(mut listed) => {
                    listed.get_mut().push(',');
                    listed.get_mut().push_str(value);
                }
            }
        }
        self.mounts.extend(device.mounts.clone());
        let known = self.device_nodes.clone();
        let new = device.device_nodes.iter().filter(|path| !known.contains(path));
        self.device_nodes.extend(new.cloned());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::pool::{Own, Place};

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_settings_name_comes_on_top() {
        let mut answer = ContainerAnswer {
            environment: texts(&[("EF_AF_XDP_ZEROCOPY", "0"), ("LD_PRELOAD", "/l")]),
            mounts: texts(&[("/opt/onload/usr/lib64", "/host/lib")]),
            ..ContainerAnswer::default()
        };
        let settings = PoolSettings {
            environment: texts(&[("EF_AF_XDP_ZEROCOPY", "1"), ("EF_POLL_USEC", "9")]),
            mounts: texts(&[("/etc/site", "/srv/site")]),
            ..PoolSettings::default()
        };
        add_settings(&mut answer, &settings);
        let expected = [("EF_AF_XDP_ZEROCOPY", "1"), ("EF_POLL_USEC", "9"), ("LD_PRELOAD", "/l")];
        assert_eq!(answer.environment, texts(&expected));
        let expected = [("/etc/site", "/srv/site"), ("/opt/onload/usr/lib64", "/host/lib")];
        assert_eq!(answer.mounts, texts(&expected));
    }

    #[test]
    fn what_the_pool_sets_is_not_a_devices_to_change() {
        let answer = |name: &str, value: &str| ContainerAnswer {
            environment: texts(&[(name, value), ("EF_X", value)]),
            mounts: texts(&[(&format!("/{name}"), value), ("/x", value)]),
            ..ContainerAnswer::default()
        };
        let own = Own { place: Place::default(), answer: answer("DEVICE", "7") };
        let mut standing = Standing {
            answer: Some(answer("POOL", "1")),
            own: BTreeMap::from([("p-7".parse().unwrap(), own)]),
            ..Standing::default()
        };
        keep_common(&mut standing);
        let own = standing.own.pop_first().unwrap().1.answer;
        assert_eq!(own.environment, texts(&[("DEVICE", "7")]));
        assert_eq!(own.mounts, texts(&[("/DEVICE", "7")]));
    }

    #[test]
    fn several_devices_of_one_container_make_lists() {
        let device = |number: u32| ContainerAnswer {
            environment: texts(&[("DEVICES", &format!("d{number}")), ("EMPTY", "")]),
            mounts: texts(&[(&format!("/d{number}"), "/host")]),
            device_nodes: vec!["/dev/all".to_owned(), format!("/dev/d{number}")],
            ..ContainerAnswer::default()
        };
        let mut answer = ContainerAnswer::default();
        answer.add(&device(1));
        answer.add(&device(2));
        assert_eq!(answer.environment, texts(&[("DEVICES", "d1,d2"), ("EMPTY", ",")]));
        assert_eq!(answer.mounts, texts(&[("/d1", "/host"), ("/d2", "/host")]));
        assert_eq!(answer.device_nodes, ["/dev/all", "/dev/d1", "/dev/d2"]);
    }
}
