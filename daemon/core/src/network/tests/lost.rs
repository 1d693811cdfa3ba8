//! What could not be put back.

use super::tables::{AT, all_gaps};
use super::*;

#[test]
fn what_a_look_says_cannot_be_put_back_is_lost_with_every_port_below() {
    let mut before = bonded();
    let why = "its bridge has VLANs".to_owned();
    before.links.get_mut(&name("vlan100")).unwrap().lost.insert(why);
    let ports = [PORT.parse().unwrap(), OTHER.parse().unwrap()].into();
    let told = "vlan100: its bridge has VLANs";
    let lost = affected(&before, &ports).lost;
    assert_eq!(lost, [(name("ens1f0"), told.to_owned()), (name("ens1f1"), told.to_owned())]);
    assert_eq!(differences(&kept(before.clone()), &bonded(), AT), [""; 0]);
    assert_eq!(all_gaps(&kept(before), &bonded()), [""; 0]);
    let tap = network([("ens1f0", port(PORT, 0)), ("tap0", made("macvtap", 1, Some("ens1f0")))]);
    let lost = affected(&tap, &ports).lost;
    assert!(lost[0].1.contains("of kind macvtap that is not made anew"), "{lost:?}");
}
