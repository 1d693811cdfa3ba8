//! Which profiles may mean a port.

use super::*;

fn port() -> Interface {
    Interface {
        port: Reading::Known("0000:3b:00.0".parse().unwrap()),
        driver: Reading::Known("virtio_net".to_owned()),
        mac: Reading::Known("02:00:00:00:00:01".parse().unwrap()),
        permanent_mac: Reading::Known("00:0f:53:00:00:01".parse().unwrap()),
        ..Interface::default()
    }
}

fn under(text: &str) -> Option<String> {
    let profile = Profile::keyfile(&format!("[connection]\ncontroller=bond0\n{text}"));
    profile.puts_under(&"ens5".parse().unwrap(), &port()).map(str::to_owned)
}

#[test]
fn a_profile_means_the_port_by_each_of_its_keys() {
    for text in [
        "",
        "type=ethernet\n",
        "type=802-3-ethernet\ninterface-name=ens5\n",
        "type=of-tomorrow\n",
        "[ethernet]\nmac-address=00:0F:53:00:00:01\n",
        "[802-3-ethernet]\nmac-address=0;15;83;0;0;1;\n",
        "[802-3-ethernet]\nmac-address=00-0f-53-00-00-01\n",
        "[ethernet]\nmac-address=what is this\n",
        "[ethernet]\nmac-address-denylist=00:0f:53:00:00:02;\n",
        "[match]\ninterface-name=eno*;ens?;\n",
        "[match]\ninterface-name=!eno1\n",
        "[match]\ninterface-name=&ens*;!eno1;\n",
        "[match]\ninterface-name=|ens5;|eno1;\n",
        "[match]\ninterface-name=en[st]5;\n",
        "[match]\ndriver=virtio_*;\n",
        "[match]\npath=virtio-pci-0000:3b:00.0;\n",
        "[match]\npath=pci-*;\n",
        "[match]\npath=!pci-0000:3b:00.1;\n",
        "# interface-name=other\n",
        " interface-name = ens5 \n",
    ] {
        assert_eq!(under(text).as_deref(), Some("bond0"), "{text}");
    }
}

#[test]
fn a_profile_of_another_interface_does_not() {
    for text in [
        "type=bond\n",
        "type=wifi\n",
        "interface-name=ens6\n",
        "[ethernet]\nmac-address=00:0f:53:00:00:02\n",
        "[ethernet]\nmac-address-blacklist=00:0f:53:00:00:01;\n",
        "[match]\ninterface-name=eno*;\n",
        "[match]\ninterface-name=!ens*;\n",
        "[match]\ninterface-name=ens*;!ens5;\n",
        "[match]\ninterface-name=&eno1;ens5;\n",
        "[match]\ndriver=igb;ixgbe\n",
        "[match]\npath=pci-0000:3b:00.1;\n",
    ] {
        assert_eq!(under(text), None, "{text}");
    }
    let alone = Profile::keyfile("[connection]\ntype=ethernet\ninterface-name=ens5\n");
    assert!(!alone.matters() && alone.puts_under(&"ens5".parse().unwrap(), &port()).is_none());
    // One on which others are stacked is not put under them.
    assert!(!Profile::keyfile("[vlan]\nparent=ens5\n").matters());
}

#[test]
fn older_words_and_escapes_are_read() {
    let read = |text: &str| Profile::keyfile(text);
    assert_eq!(read("[connection]\nmaster=br0\n").controller.as_deref(), Some("br0"));
    assert_eq!(read("[connection]\nmaster=br0\ncontroller=\n").controller.as_deref(), Some("br0"));
    assert_eq!(read("[connection]\ncontroller=a\\sb\n").controller.as_deref(), Some("a b"));
    assert_eq!(read("[match]\ninterface-name=a\\;b;c\\\\;\n").names, ["a;b", "c\\"]);
    assert_eq!(read("[match]\ndriver= a ; b\n").drivers, ["a", "b"]);
    assert_eq!(read("[bridge]\ncontroller=no\n[connection\ncontroller=no\n"), Profile::default());
}

#[test]
fn an_ifcfg_file_puts_under_and_renames() {
    let name = "ens5".parse().unwrap();
    let under = |text: &str| {
        Profile::ifcfg(text).puts_under(&name, &port()).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(under("DEVICE=ens5\nMASTER=bond0\nSLAVE=yes\n"), "bond0");
    assert_eq!(under("DEVICE=\"ens5\"\nBRIDGE='br0'\n"), "br0");
    assert_eq!(under("HWADDR=00:0F:53:00:00:01\nOVS_BRIDGE=ovs0\n"), "ovs0");
    assert_eq!(under("DEVICE=ens6\nMASTER=bond0\n"), "");
    assert_eq!(under("DEVICE=ens5\n#MASTER=bond0\nMASTER=\n"), "");
    let renames = |text: &str| {
        Profile::ifcfg(text).new_name(&name, &port()).map(str::to_owned).unwrap_or_default()
    };
    assert_eq!(renames("DEVICE=lan0\nHWADDR=00:0f:53:00:00:01\n"), "lan0");
    assert_eq!(renames("DEVICE=ens5\nHWADDR=00:0f:53:00:00:01\n"), "");
    assert_eq!(renames("DEVICE=lan0\nHWADDR=00:0f:53:00:00:02\n"), "");
    assert_eq!(renames("DEVICE=lan0\n"), "");
}

#[test]
fn only_what_counts_is_kept_and_it_reads_the_same() {
    let text =
        "[connection]\nid=x\ncontroller=b\n[wifi-security]\npsk=secret\n[match]\ndriver=a;\n";
    let reduced = kept(text);
    assert_eq!(reduced, "[connection]\ncontroller=b\n[match]\ndriver=a;\n");
    assert_eq!(Profile::keyfile(&reduced), Profile::keyfile(text));
    let ifcfg = "DEVICE=a\nKEY_x=secret\nMASTER=b\n";
    assert_eq!(kept(ifcfg), "DEVICE=a\nMASTER=b\n");
}

#[test]
fn stars_take_as_much_as_they_must() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("**a", "a", true),
        ("a*b*c", "axxbyyc", true),
        ("a*b*c", "axxbyy", false),
        ("*ab", "aab", true),
        ("?", "", false),
        ("", "a", false),
    ] {
        assert_eq!(is_like(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
    }
    let long = "a".repeat(15);
    assert!(!is_like("*a*a*a*a*a*a*a*a*a*a*a*b".as_bytes(), long.as_bytes()));
}
