//! Addresses and routes as they are kept: messages of netlink, put together by hand.

use onload_core::names::InterfaceName;
use onload_core::network::{Address, Deed, Raw, Route};

/// A checked name.
pub fn name(name: &str) -> InterfaceName {
    name.parse().unwrap()
}

/// One attribute as netlink has it.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].as_flattened().to_vec();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// `10.9.0.HOST/24`, or `fd09::HOST/64`, as the kernel dumps it.
pub fn address(link: &str, six: bool, host: u8, valid: Option<u32>) -> Deed {
    let (header, place, shown) = if six {
        let mut place = [0; 16];
        (place[0], place[1], place[15]) = (0xfd, 9, host);
        ([10, 64, 0, 0, 0, 0, 0, 0], place.to_vec(), format!("fd09::{host}/64"))
    } else {
        ([2, 24, 0, 0, 0, 0, 0, 0], vec![10, 9, 0, host], format!("10.9.0.{host}/24"))
    };
    let message = Raw([&header[..], &attribute(1, &place), &attribute(2, &place)].concat());
    let preferred = valid.map(|seconds| seconds / 2);
    Deed::Address { link: name(link), address: Address { shown, message, valid, preferred } }
}

/// A route to `192.0.2.0/24` by a gateway in table 254, over one link or two of equal cost.
pub fn route(over: &[&str], gateways: &[u8]) -> Deed {
    // AF_INET, length 24, protocol static, scope universe, unicast.
    let header = [2, 24, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
    let gateway = |host: u8| attribute(5, &[10, 9, 0, host]);
    let hop = |host: &u8| [&[16, 0, 0, 0, 0, 0, 0, 0], &*gateway(*host)].concat();
    let ways = match gateways {
        [one] => [gateway(*one), attribute(4, &[0; 4])].concat(),
        several => attribute(9, &several.iter().flat_map(hop).collect::<Vec<_>>()),
    };
    let message = Raw([&header[..], &attribute(1, &[192, 0, 2, 0]), &ways].concat());
    Deed::Route {
        route: Route {
            shown: "192.0.2.0/24".to_owned(),
            default: false,
            has_gateway: true,
            over: over.iter().map(|one| name(one)).collect(),
            message,
        },
    }
}
