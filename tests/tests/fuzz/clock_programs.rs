//! What programs that steer clocks write and are told.

use onload_core::clock::chrony;
use onload_core::clock::daemon::{DaemonKind, Told};
use onload_core::clock::linuxptp::{Ptp4l, parse};

use super::survives;

#[test]
fn lines_of_chronyc() {
    let seed = "C0A80001,192.168.0.1,3,1795302864.4,-0.000012345,0.000001,0.0000205,-12.345,\
                0.001,0.020,0.0012,0.0003,64.5,Normal\n^,*,192.168.0.1,2,6,377,12,0.1,0.1,0.1\n";
    survives("chronyc", seed.as_bytes(), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(said) = chrony::tracking(&text) {
            let said = said.with_sources(&text);
            assert!(said.usable_sources <= said.sources && said.source.len() <= 4 * 255);
        }
    });
}

#[test]
fn command_lines_and_configurations() {
    let seed = "-f\0/etc/ptp4l.conf\0--domainNumber=24\0-i\0eth0\0-xS\0-p/helper\0--\0-a";
    let configuration = "[global]\ndomainNumber 24\nuds_address /run/p\n[eth0]\n\ncmdport 323\n";
    for kind in DaemonKind::ALL {
        survives(kind.as_str(), seed.as_bytes(), |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let arguments: Vec<_> = text.split('\0').collect();
            let told = Told::of(kind, &arguments, Some(configuration));
            assert!(told.configuration.is_none_or(|file| file.len() <= 255));
            assert!(told.transport_specific < 16);
        });
        survives(kind.as_str(), configuration.as_bytes(), |bytes| {
            Told::of(kind, &["-S"], Some(&String::from_utf8_lossy(bytes)));
        });
    }
}

#[test]
fn messages_of_ptp4l() {
    // A port's properties: header, target, action, value.
    let mut seed = vec![0x0d, 2, 0, 71];
    seed.extend([0; 24]);
    seed.extend([0, 1, 0, 7, 4, 0x7f]);
    seed.extend([0xff; 10]);
    seed.extend([0, 0, 2, 0, 0, 1, 0, 19, 0xc0, 0x04]);
    seed.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9, 1, 4]);
    seed.extend(*b"ens1");
    assert!(parse(&seed).is_ok());
    survives("ptp4l", &seed, |bytes| {
        if let Ok(answer) = parse(bytes) {
            Ptp4l::default().take(answer);
        }
    });
}
