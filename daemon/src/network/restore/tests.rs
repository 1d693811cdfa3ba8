//! Messages as they are sent; what the kernel makes of them is tested with the whole program.

use super::*;

/// `RTA_DST`, `RTA_GATEWAY`.
const DST: u16 = 1;
const GATEWAY: u16 = 5;

fn route(message: Vec<u8>) -> Route {
    Route {
        shown: "192.0.2.0/24".to_owned(),
        default: false,
        has_gateway: true,
        over: Vec::new(),
        message: Raw(message),
    }
}

#[test]
fn an_address_gets_its_link_and_what_is_left_of_its_lifetimes() {
    let attributes = Attributes::default().with(1, &[10, 9, 0, 1]);
    let message = [&[2, 24, 0, 0, 0, 0, 0, 0], attributes.bytes()].concat();
    let mut address = Address {
        shown: "10.9.0.1/24".to_owned(),
        message: Raw(message.clone()),
        valid: None,
        preferred: None,
    };
    let sent = address_message(&address, 7).unwrap();
    assert_eq!(sent[4..8], 7_u32.to_ne_bytes());
    assert_eq!((&sent[..4], &sent[8..]), (&message[..4], &message[8..]));
    address.valid = Some(90);
    let sent = address_message(&address, 7).unwrap();
    let times = find(&sent[8..], IFA_CACHEINFO).unwrap();
    assert_eq!(times, [u32::MAX, 90, 0, 0].map(u32::to_ne_bytes).as_flattened());
    address.message.0.truncate(6);
    assert_eq!(address_message(&address, 7), None);
}

#[test]
fn a_route_gets_its_links_in_order() {
    let header = [2, 24, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    let one = Attributes::default().with(DST, &[192, 0, 2, 0]).with_number(RTA_OIF, 0);
    let sent = route_message(&route([&header, one.bytes()].concat()), &[7]).unwrap();
    assert_eq!(find(&sent[12..], RTA_OIF), Some(&7_u32.to_ne_bytes()[..]));

    let hop = |weight: u8, gateway: u8| {
        let gateway = Attributes::default().with(GATEWAY, &[10, 9, 0, gateway]);
        [&[16, 0, 0, weight, 0, 0, 0, 0], gateway.bytes()].concat()
    };
    let hops = [hop(0, 2), hop(4, 3)].concat();
    let several = Attributes::default().with(DST, &[192, 0, 2, 0]).with(RTA_MULTIPATH, &hops);
    let several = route([&header, several.bytes()].concat());
    assert!(has_several_hops(&several.message.0));
    assert!(!has_several_hops(&[&header, one.bytes()].concat()) && !has_several_hops(&[]));
    let sent = route_message(&several, &[7, 9]).unwrap();
    let found = find(&sent[12..], RTA_MULTIPATH).unwrap();
    assert_eq!(
        (&found[4..8], &found[20..24]),
        (&7_u32.to_ne_bytes()[..], &9_u32.to_ne_bytes()[..])
    );
    assert_eq!((&found[8..20], &found[24..]), (&hops[8..20], &hops[24..]));

    for indices in [&[7][..], &[7, 9, 11]] {
        assert_eq!(route_message(&several, indices), None, "{indices:?}");
    }
    for end in 0..12 {
        assert_eq!(route_message(&route(header[..end].to_vec()), &[]), None);
    }
}

#[test]
fn a_queueing_discipline_is_asked_for_at_the_root_of_its_link() {
    let message = qdisc(7, "fq");
    assert_eq!((&message[4..8], &message[12..16]), (&7_u32.to_ne_bytes()[..], &[255; 4][..]));
    assert_eq!(find(&message[20..], TCA_KIND), Some(&b"fq\0"[..]));
}
