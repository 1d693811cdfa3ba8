//! A kind for tests: each port is a device, and none does for another.

use super::{Fit, Kind};
use crate::command::ContainerAnswer;
use crate::config::PoolSettings;
use crate::inventory::Port;
use crate::names::{DeviceId, PciAddress, PoolName};
use crate::pool::{Cause, Device, Lent, Look, Members, Own, Place, Standing};

#[derive(Debug)]
pub(super) struct Sample;

impl Kind for Sample {
    fn interchangeable(&self) -> bool {
        false
    }

    fn fit(&self, _: PciAddress, _: &Port, _: &Look<'_>) -> Fit {
        Fit::Good
    }

    fn stand(
        &self,
        pool: &PoolName,
        _: &PoolSettings,
        _: &Look<'_>,
        members: &Members<'_>,
        former: &Standing,
    ) -> Standing {
        let mut standing = Standing {
            answer: Some(ContainerAnswer::default()),
            own: former.own.clone(),
            ..Standing::default()
        };
        let gone = |own: &Own| (own.place, Some(Cause::NoPort));
        standing.places = former.own.values().map(gone).collect();
        for (address, _, numa_node) in members.placed() {
            let place = Place { numa_node, port: Some(address) };
            let name = format!("PORT_{address}").replace([':', '.'], "_").to_uppercase();
            let port = [(name, address.to_string())];
            let answer = ContainerAnswer {
                environment: port.into(),
                device_nodes: vec![format!("/dev/{address}")],
                ..ContainerAnswer::default()
            };
            standing.places.insert(place, None);
            standing.own.insert(id(pool, address), Own { place, answer });
        }
        standing
    }

    fn devices(&self, _: &PoolName, _: &PoolSettings, standing: &Standing) -> Vec<Device> {
        let device = |(id, own): (&DeviceId, &Own)| Device {
            id: id.clone(),
            numa_node: own.place.numa_node,
            cause: standing.places.get(&own.place).cloned().flatten(),
            local_only: false,
            lent: Lent::No,
        };
        standing.own.iter().map(device).collect()
    }
}

/// Known by its address, which outlives names of interfaces.
fn id(pool: &PoolName, address: PciAddress) -> DeviceId {
    format!("{pool}-{address}").replace(':', ".").parse().unwrap()
}
