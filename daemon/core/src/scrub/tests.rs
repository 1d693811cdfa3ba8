//! What is found, and what becomes of it.

use super::*;

fn scrubbed_as(treatment: Treatment, files: &[(&str, &str)]) -> Vec<String> {
    let mut found = Found::default();
    for (path, text) in files {
        found.learn(path, text.as_bytes());
    }
    let mapping = found.mapping(treatment);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    files.iter().map(|(path, content)| text(mapping.content(path, content.as_bytes()))).collect()
}

fn scrubbed(files: &[(&str, &str)]) -> Vec<String> {
    scrubbed_as(Treatment::Map, files)
}

fn one(text: &str) -> String {
    scrubbed(&[("x", text)]).remove(0)
}

#[test]
fn addresses_of_version_4_keep_their_neighbours() {
    let text = "10.1.2.3/24 via 10.1.2.1, 10.9.0.7:319 [10.9.0.8] 10.1.2.3. 172.16.0.1\n";
    let expected =
        "192.0.2.3/24 via 192.0.2.1, 198.51.100.7:319 [198.51.100.8] 192.0.2.3. 203.0.113.1\n";
    assert_eq!(one(text), expected);
    let line = "ip=10.0.0.9::10.0.0.1:255.255.255.0:h:eth0:none";
    assert_eq!(one(line), "ip=192.0.2.9::192.0.2.1:255.255.255.0:h:eth0:none");
    for plain in
        ["127.0.0.1", "0.0.0.0", "255.255.255.0", "169.254.1.1", "224.0.1.129", "192.0.2.77"]
    {
        assert_eq!(one(plain), plain);
    }
    assert_eq!(one("239.1.2.3"), "233.252.0.1");
    for (text, expected) in [
        ("SRC=10.1.2.3 DST=10.1.2.4,", "SRC=192.0.2.3 DST=192.0.2.4,"),
        ("(10.1.2.3) <10.1.2.4> '10.1.2.5';", "(192.0.2.3) <192.0.2.4> '192.0.2.5';"),
        ("10.1.2.3-10.1.2.9 10.1.2.3->10.1.2.4", "192.0.2.3-192.0.2.9 192.0.2.3->192.0.2.4"),
        ("inet addr:10.1.2.3 node:10.1.2.4:80", "inet addr:192.0.2.3 node:192.0.2.4:80"),
        ("ipv4:10.1.2.3:50051 eth0:10.1.2.4/24", "ipv4:192.0.2.3:50051 eth0:192.0.2.4/24"),
        ("10.1.2.3:/export host_10.1.2.4 @10.1.2.5", "192.0.2.3:/export host_192.0.2.4 @192.0.2.5"),
        ("{\"m\": \"to\\n10.1.2.3\\t10.1.2.4\"}", "{\"m\": \"to\\n192.0.2.3\\t192.0.2.4\"}"),
    ] {
        assert_eq!(one(text), expected);
    }
}

#[test]
fn more_networks_than_documentation_has_still_get_pseudonyms() {
    let text: String = (0..600).map(|n| format!("10.{}.{}.1 ", n / 256, n % 256)).collect();
    let new = one(&text);
    let distinct: BTreeSet<_> = new.split(' ').collect();
    assert_eq!(distinct.len(), 601, "each its own, and the empty end");
    assert!(new.contains("198.18.0.1 ") && new.contains("240.0.0.1 "), "{new}");
    assert!(!new.split(' ').any(|address| address.starts_with("10.")), "{new}");
}

#[test]
fn what_is_no_address_stays() {
    for text in [
        "0000:3b:00.0 12:34:56 5.14.0-503.11.1.el9_5.x86_64 v9.0.2.140 1.2.3 1.2.3.4.5",
        "onload_core::scrub::Found dead::beefy std::add 3f:1a 7.6.2.1000",
        "onload-9.0.2.140 \"version\": \"9.0.2.140\" kmod-onload-9.0.2.140-1.el9",
        "quay.io/onload/onload-user:9.0.2.140 version:9.0.2.141 onload:9.0.2.142 T12:34:56 el9.1.2.3",
    ] {
        assert_eq!(one(text), text);
    }
    let files =
        [("sys/module/sfc/version", "5.3.16.100\n"), ("x", "sfc as 5.3.16.100 and 10.0.0.1")];
    assert_eq!(scrubbed(&files)[1], "sfc as 5.3.16.100 and 192.0.2.1");
}

#[test]
fn hardware_addresses_keep_their_vendor_however_they_are_written() {
    let text = "00:0f:53:4c:10:00 00-0F-53-4C-10-00 05-onload-000f534c1000.link enx000f53aa0001 \
                ff:00:01:00:0f:53:4c:10:00 02:11:22:33:44:55 52:54:00:12:34:56 01:1b:19:00:00:00";
    let expected = "00:0f:53:fd:00:01 00-0F-53-FD-00-01 05-onload-000f53fd0001.link enx000f53fd0002 \
                    ff:00:01:00:0f:53:fd:00:01 02:00:00:fd:00:01 52:54:00:fd:00:01 01:1b:19:00:00:00";
    assert_eq!(one(text), expected);
}

#[test]
fn an_address_behind_a_word_and_a_colon_is_no_tag() {
    let text = "default/web:10.128.0.5 tcp/udp:10.1.2.3 sfc:10.1.2.4 onload/web:10.1.2.5";
    let expected = "default/web:198.51.100.5 tcp/udp:192.0.2.3 sfc:192.0.2.4 onload/web:192.0.2.5";
    assert_eq!(one(text), expected);
}

#[test]
fn both_addresses_of_a_frame_that_a_packet_filter_logs_are_written_anew() {
    let text =
        "IN=ens1 MAC=52:54:00:12:34:56:00:0f:53:4c:10:00:08:00 SRC=10.0.0.1 mac:00:0f:53:4c:10:00";
    let expected =
        "IN=ens1 MAC=52:54:00:fd:00:01:00:0f:53:fd:00:01:08:00 SRC=192.0.2.1 mac:00:0f:53:fd:00:01";
    assert_eq!(one(text), expected);
    let tagged = "MAC=ff:ff:ff:ff:ff:ff:00:0f:53:4c:10:00:81:00:00:64:08:00";
    assert_eq!(one(tagged), "MAC=ff:ff:ff:ff:ff:ff:00:0f:53:fd:00:01:81:00:00:64:08:00");
    assert_eq!(
        one("00:01:00:01:2b:9f:11:22:00:0f:53:4c:10:00"),
        "00:01:00:01:2b:9f:11:22:00:0f:53:fd:00:01"
    );
}

#[test]
fn clocks_are_called_by_the_pseudonym_of_their_address() {
    let text = "00:0f:53:4c:10:00 000f53.fffe.4c1000-1 000F53.FFFE.4C1001, clock-id: 000f:53ff:fe4c:1000 \
                id:000f:53ff:fe4c:1001 000f53fffe4c1000 ec4670.fffe.00f1aa. 000f53.fffe.4c10";
    let expected = "00:0f:53:fd:00:01 000f53.fffe.fd0001-1 000F53.FFFE.FD0002, clock-id: 000f:53ff:fefd:0001 \
                    id:000f:53ff:fefd:0002 000f53fffefd0001 ec4670.fffe.fd0001. 000f53.fffe.4c10";
    assert_eq!(one(text), expected);
    let kept = scrubbed_as(Treatment::Keep, &[("x", text)]).remove(0);
    assert_eq!(kept, text);
    let frame = [
        &b"\x0d\x02"[..],
        &[0, 0x0f, 0x53, 0xff, 0xfe, 0x4c, 0x10, 0],
        &[0xff; 6],
        &[0xfe, 0, 1, 2],
    ];
    let (path, frame) = ("machine/.clocks/ptp4l-var-run-ptp4l.bin", frame.concat());
    let mut found = Found::default();
    found.learn(path, &frame);
    let new = found.mapping(Treatment::Map).content(path, &frame);
    let mut expected = frame.clone();
    expected[7..10].copy_from_slice(&[0xfd, 0, 1]);
    assert_eq!(new, expected);
}

#[test]
fn addresses_of_version_6_keep_networks_and_the_hardware_address_in_them() {
    let text = "2a00:1:2:3::1/64 2a00:1:2:3:20f:53ff:fe4c:1000 2a00:1:2:4:a1b2:c3d4:e5f6:1 \
                fe80::20f:53ff:fe4c:1000%eth0 [fd00::1]:22 ::1 :: ff02::1 ff02::1:ff4c:1000 ::ffff:10.0.0.1";
    let expected = "2001:db8::1/64 2001:db8::20f:53ff:fefd:1 2001:db8:0:1::1:0 \
                    fe80::20f:53ff:fefd:1%eth0 [2001:db8:0:2::1]:22 ::1 :: ff02::1 \
                    ff32:20:2001:db8::1 ::ffff:192.0.2.1";
    assert_eq!(one(text), expected);
    assert_eq!(one("at 2a00::5: no route"), "at 2001:db8::5: no route");
}

#[test]
fn names_are_words_of_the_same_length_in_every_file() {
    let files = [
        ("proc/sys/kernel/hostname", "db7.corp.example\n"),
        (
            "onloadd/journal.log",
            "DB7 sshd: /home/john/x of john on db7.corp.example, not db77 or johnny\n",
        ),
        ("etc/chrony.conf", "server time9.inner.example iburst\npool 10.0.0.1\n"),
        ("kernel.log", "nvme: Serial Number: S4XYZ123456 and serial8250: ttyS0\n"),
    ];
    let new = scrubbed(&files);
    assert_eq!(new[0], "n01.zone-0000001\n");
    assert_eq!(new[1], "n01 sshd: /home/u001/x of u001 on n01.zone-0000001, not db77 or johnny\n");
    assert_eq!(new[2], "server n0001.zone-00000001 iburst\npool 192.0.2.1\n");
    assert_eq!(new[3], "nvme: Serial Number: SERIAL00001 and serial8250: ttyS0\n");
    assert_eq!(scrubbed(&[("etc/hostname", "localhost\n")])[0], "localhost\n");
}

#[test]
fn identifiers_of_this_machine_are_numbered_and_those_of_the_firmware_stay() {
    let guid = "605dab50-e046-4300-abb6-3dd810dd8b23";
    let files = [
        ("proc/sys/kernel/random/boot_id", "0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee\n"),
        ("sys/block/dm-0/dm/uuid", "CRYPT-LUKS2-0c5bd1d96e5a4a0b8f3e2d7a51c0ffef-luks\n"),
        ("x", &format!("root=UUID=12345678-9abc-4def-8123-456789abcdef MokListRT-{guid}")),
    ];
    let new = scrubbed(&files);
    assert_eq!(new[0], "00000000-0000-4000-8000-000000000001\n");
    assert_eq!(new[1], "CRYPT-LUKS2-00000000000040008000000000000002-luks\n");
    assert_eq!(new[2], format!("root=UUID=00000000-0000-4000-8000-000000000003 MokListRT-{guid}"));
}

#[test]
fn secrets_are_taken_out() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----\nrest";
    assert_eq!(one(key), "<removed>\nrest");
    assert_eq!(one("-----BEGIN PRIVATE KEY-----\nMIIE"), "<removed>", "cut off");
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----\n";
    assert_eq!(one(certificate), certificate);
    for (text, expected) in [
        ("rd.iscsi.password=hunter2 quiet", "rd.iscsi.password=<removed> quiet"),
        (
            "{\"bind_password\": \"a\\\"b c\", \"n\": 1}",
            "{\"bind_password\": \"<removed>\", \"n\": 1}",
        ),
        ("prog\0--password\0hunter2\0-v\0", "prog\0--password\0<removed>\0-v\0"),
        ("Environment=\"API_TOKEN=xyz\"", "Environment=\"API_TOKEN=<removed>\""),
        ("  passphrase: it's open sesame\n", "  passphrase: <removed>\n"),
        ("mok $6$salt$0123456789abcdef/x end", "mok <removed> end"),
        ("pkcs11:token=HSM;pin-value=1234", "pkcs11:token=<removed>;pin-value=<removed>"),
        ("type the password: it is asked for once", "type the password: it is asked for once"),
        ("the password is wrong", "the password is wrong"),
    ] {
        assert_eq!(one(text), expected);
    }
}

#[test]
fn a_ledger_still_reads() {
    let entry = r#"{"held":{"reason":"at 10.0.0.1","uid":0,"since":1,"until":null}}"#;
    let crc = crc32fast::hash(entry.as_bytes());
    let text = format!(
        "{{\"onloadd-ledger\":5}}\n{{\"crc\":\"{crc:08x}\",\"entry\":{entry}}}\n{{\"crc\":\"00000000\",\"entry\":{{}}}}\n"
    );
    let new = scrubbed(&[("onloadd/ledger.json", &text)]).remove(0);
    let lines: Vec<&str> = new.lines().collect();
    let body = r#"{"held":{"reason":"at 192.0.2.1","uid":0,"since":1,"until":null}}"#;
    assert_eq!(
        lines[1],
        format!("{{\"crc\":\"{:08x}\",\"entry\":{body}}}", crc32fast::hash(body.as_bytes()))
    );
    assert_eq!(lines[2], "{\"crc\":\"00000000\",\"entry\":{}}", "what is damaged stays damaged");
}

#[test]
fn addresses_stay_where_that_is_asked_for_and_secrets_do_not() {
    let text = "10.1.2.3 00:0f:53:4c:10:00 password=x";
    let kept = scrubbed_as(Treatment::Keep, &[("x", text)]).remove(0);
    assert_eq!(kept, "10.1.2.3 00:0f:53:4c:10:00 password=<removed>");
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = ((4 + value.len()) as u16).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, fixed: usize, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut bytes = ((16 + fixed + attributes.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.resize(16 + fixed, 0);
    bytes.extend(attributes);
    bytes
}

fn netlink(bytes: &[u8]) -> Vec<u8> {
    let mut found = Found::default();
    found.learn(".netlink/x.bin", bytes);
    found.mapping(Treatment::Map).content(".netlink/x.bin", bytes)
}

#[test]
fn attributes_of_netlink_are_written_anew_where_they_are() {
    let mac = [0x00, 0x0f, 0x53, 0, 0, 1];
    let new = [0x00, 0x0f, 0x53, 0xfd, 0, 1];
    let build = |mac: [u8; 6], v4: [u8; 4], gateway: [u8; 4], v6: [u8; 16], remark: &[u8]| {
        let function = attribute(1, &[&[0; 4][..], &mac, &[0; 26]].concat());
        let vxlan = [attribute(1, b"vxlan\0"), attribute(2, &attribute(4, &v4))].concat();
        let hop = {
            let inner = attribute(5, &gateway);
            [&((8 + inner.len()) as u16).to_ne_bytes()[..], &[0; 6], &inner].concat()
        };
        [
            message(
                16,
                16,
                &[
                    attribute(1, &mac),
                    attribute(20, remark),
                    attribute(22 | 0x8000, &attribute(1, &function)),
                    attribute(18, &vxlan),
                ],
            ),
            message(20, 8, &[attribute(2, &v4)]),
            message(20, 8, &[attribute(1, &v6)]),
            message(
                24,
                12,
                &[attribute(9, &hop), attribute(18, &[&[2, 0][..], &gateway].concat())],
            ),
            message(32, 12, &[attribute(2, &v4)]),
        ]
        .concat()
    };
    let v6 = "2a00::1".parse::<Ipv6Addr>().unwrap().octets();
    let v6_new = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    let old = build(mac, [10, 1, 2, 3], [10, 1, 2, 1], v6, b"to Bob\0");
    let expected = build(new, [192, 0, 2, 3], [192, 0, 2, 1], v6_new, b"xxxxxx\0");
    assert_eq!(netlink(&old), expected);
    for end in 0..old.len() {
        assert_eq!(netlink(&old[..end]).len(), end);
    }
}

#[test]
fn binary_forms_keep_their_length_and_lose_what_was_learned_elsewhere() {
    let mut found = Found::default();
    found.host("db7");
    found.learn("x", b"00:0f:53:4c:10:01 2a00:1234:5678:9abc:def0:1234:5678:9abc");
    let mapping = found.mapping(Treatment::Map);
    let v6 = "2a00:1234:5678:9abc:def0:1234:5678:9abc".parse::<Ipv6Addr>().unwrap().octets();
    let bytes = [
        b"\x7fELF\x02CN=db7\x03",
        &[0, 0x0f, 0x53, 0x4c, 0x10, 1][..],
        &v6,
        b"\x04000f534c1001\x05",
    ]
    .concat();
    let new = mapping.content("a.so", &bytes);
    let v6 = mapping.addresses.as_ref().unwrap().v6(v6.into()).unwrap().octets();
    let expected =
        [b"\x7fELF\x02CN=n01\x03", &[0, 0x0f, 0x53, 0xfd, 0, 1][..], &v6, b"\x04000f53fd0001\x05"]
            .concat();
    assert_eq!(new, expected);
}

/// A generator of our own (Knuth's MMIX): core has none.
struct Lots(u64);

impl Lots {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

/// Whether an address stands there by itself: a letter that a byte put before it makes another word.
fn tells(text: &[u8], address: &[u8]) -> bool {
    let joins = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || b":.-".contains(byte))
    };
    text.windows(address.len()).enumerate().any(|(at, window)| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        window == address && !joins(before) && !joins(text.get(at + address.len()))
    })
}

#[test]
fn one_odd_byte_hides_nothing_of_a_file() {
    for odd in [&b"\x01"[..], b"\x7f", b"\xff", b"\xc3"] {
        let text = [
            &b"db7 sshd: /home/gwen at 10.1.2.3 and 00:0f:53:4c:10:00 "[..],
            odd,
            b" password=hunter2 2a00::1 Serial Number: AB12345\n",
        ]
        .concat();
        let mut found = Found::default();
        found.host("db7");
        found.learn("kernel.log", &text);
        let new = found.mapping(Treatment::Map).content("kernel.log", &text);
        let expected = [
            &b"n01 sshd: /home/u001 at 192.0.2.3 and 00:0f:53:fd:00:01 "[..],
            odd,
            b" password=<removed> 2001:db8::1 Serial Number: SERIAL1\n",
        ]
        .concat();
        assert_eq!(new, expected, "{}", String::from_utf8_lossy(&new));
    }
}

#[test]
fn whatever_is_read_nothing_panics_and_scrubbing_again_changes_nothing() {
    const PIECES: [&str; 40] = [
        "10.1.2.3",
        "2a00::1",
        "fe80::20f:53ff:fe4c:1000",
        "00:0f:53:4c:10:00",
        "00-0F-53-4C-10-00",
        ":",
        "::",
        ".",
        "\n",
        "\0",
        " ",
        "password=",
        "\"secret\": \"",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "$6$aaaaaaaaaa",
        "/home/ann",
        "server ann.example",
        "UUID=12345678-9abc-4def-8123-456789abcdef",
        "enx000f534c1000",
        "é",
        "ff02::1:ff4c:1000",
        "Serial No: AB12345",
        "\x01",
        "http://a:b@",
        "iscsi:a:b@",
        "set_credential=a:b",
        "Authorization: ",
        "Bearer \\\"",
        "Basic YTpi",
        "MAC=52:54:00:12:34:56:00:0f:53:4c:10:00:08:00",
        "000f53.fffe.4c1000-1",
        "000f:53ff:fe4c:1001",
        "000f53fffe4c1002",
        "Digest username=\"a b\", x=y",
        "passphrase: ",
        "addr:",
        "\\n",
        "(10.1.2.3)",
        "a/b:",
    ];
    for seed in 0..2000 {
        let mut lots = Lots(seed);
        let mut bytes = Vec::new();
        for _ in 0..lots.below(20) {
            bytes.extend(PIECES[lots.below(PIECES.len())].as_bytes());
            bytes.push(b" \n\0,"[lots.below(4)]);
        }
        for _ in 0..lots.below(3) {
            let at = lots.below(bytes.len() + 1);
            bytes.insert(at, lots.below(256) as u8);
        }
        let path = ["a.conf", "kernel.log", ".netlink/links.bin", "etc/hostname", "ledger.json"]
            [lots.below(5)];
        let scrub = |bytes: &[u8]| {
            let mut found = Found::default();
            found.learn(path, bytes);
            found.mapping(Treatment::Map).content(path, bytes)
        };
        let new = scrub(&bytes);
        let text = || {
            format!(
                "seed {seed} {path}: {:?} -> {:?}",
                String::from_utf8_lossy(&bytes),
                String::from_utf8_lossy(&new)
            )
        };
        if Nature::of(path, &bytes) == Nature::Netlink {
            assert_eq!(new.len(), bytes.len(), "{}", text());
        } else {
            assert!(!tells(&new, b"00:0f:53:4c:10:00"), "{}", text());
            assert!(!tells(&new, b"10.1.2.3"), "{}", text());
        }
        assert_eq!(scrub(&new), new, "{}", text());
    }
}
