//! Each form of a secret, on a kernel's command line, in a journal and in JSON.

use super::*;

fn of(text: &str) -> String {
    let new = without(text.as_bytes());
    assert_eq!(without(&new), new, "a second time: {text}");
    String::from_utf8(new).unwrap()
}

#[test]
fn credentials_in_addresses_are_taken_out() {
    for (text, expected) in [
        (
            "root=nfs4://ann:hunter2@10.0.0.1/os proxy=http://tok3n@proxy:3128 quiet",
            "root=nfs4://<removed>@10.0.0.1/os proxy=http://<removed>@proxy:3128 quiet",
        ),
        ("pulling https://a:p@ss@h/x?y=1#@z:", "pulling https://<removed>@h/x?y=1#@z:"),
        ("from ftp://ann:p/w@host/x failed", "from ftp://<removed>@host/x failed"),
        ("amqp://a:b@one,c:d@two http://e:f@h", "amqp://<removed>@two http://<removed>@h"),
        ("{\"url\": \"https://a:b@h/\"}", "{\"url\": \"https://<removed>@h/\"}"),
        (
            "netroot=iscsi:ann:hunter2@10.0.0.1::3260:1:iqn.2026-01.example:os ro",
            "netroot=iscsi:<removed>@10.0.0.1::3260:1:iqn.2026-01.example:os ro",
        ),
        (
            "dracut: netroot=iscsi:ann:hunter2:bob:drowssap@host:::1:iqn.x",
            "dracut: netroot=iscsi:<removed>@host:::1:iqn.x",
        ),
    ] {
        assert_eq!(of(text), expected);
    }
    for plain in [
        "http://host:8080/a@b",
        "https://[2a00::1]:443/@x",
        "https://host/@scope/name@1.2",
        "iscsi: session of ann@host",
        "netroot=iscsi:@10.0.0.1::::iqn.x",
        "root=iscsi:10.0.0.1::::iqn.x",
        "see: //ann@host",
    ] {
        assert_eq!(of(plain), plain);
    }
}

#[test]
fn credentials_of_systemd_are_taken_out() {
    for (text, expected) in [
        (
            "ro systemd.set_credential=passwd.hashed:hunter2,x quiet",
            "ro systemd.set_credential=passwd.hashed:<removed> quiet",
        ),
        (
            "systemd.set_credential_binary=a:aHVudGVyMg== ro",
            "systemd.set_credential_binary=a:<removed> ro",
        ),
        (
            "systemd.set_credential=\"a:b c\" \"systemd.set_credential=d:e f\" ro",
            "systemd.set_credential=\"a:<removed>\" \"systemd.set_credential=d:<removed>\" ro",
        ),
        (
            "{\"line\": \"systemd.set_credential=\\\"a:b c\\\" ro\"}",
            "{\"line\": \"systemd.set_credential=\\\"a:<removed>\\\" ro\"}",
        ),
        ("SetCredential=a: two words\nType=simple\n", "SetCredential=a:<removed>\nType=simple\n"),
        ("SetCredentialEncrypted=a:Zm9v\n", "SetCredentialEncrypted=a:<removed>\n"),
        (
            "systemd-run\0--set-credential\0a:b\0sh\0",
            "systemd-run\0--set-credential\0a:<removed>\0sh\0",
        ),
        (
            "sudo systemd-run --set-credential=a:b sh",
            "sudo systemd-run --set-credential=a:<removed> sh",
        ),
        ("io.systemd.credential:a=b c", "io.systemd.credential:a=<removed> c"),
        ("io.systemd.credential.binary:a=Zm9v", "io.systemd.credential.binary:a=<removed>"),
    ] {
        assert_eq!(of(text), expected);
    }
    for plain in ["systemd.set_credential=", "systemd.set_credential=a b:c", "a set_credential: b"]
    {
        assert_eq!(of(plain), plain);
    }
}

#[test]
fn headers_that_authorize_are_taken_out() {
    for (text, expected) in [
        (
            "onloadd[7]: sent Authorization: Bearer abc.def-1 to the server",
            "onloadd[7]: sent Authorization: Bearer <removed> to the server",
        ),
        ("authorization: basic YW5uOmh1bnRlcjI=\r\n", "authorization: basic <removed>\r\n"),
        (
            "Authorization: Negotiate YIIx\nHost: x\n",
            "Authorization: Negotiate <removed>\nHost: x\n",
        ),
        ("Authorization: opaque\n", "Authorization: <removed>\n"),
        ("Authorization: Bearer\n", "Authorization: <removed>\n"),
        (
            "curl -H 'Authorization: Bearer abc' https://h",
            "curl -H 'Authorization: Bearer <removed>' https://h",
        ),
        (
            "{\"Authorization\": \"Basic YTpi\", \"n\": 1}",
            "{\"Authorization\": \"Basic <removed>\", \"n\": 1}",
        ),
        (
            "{\"m\": \"-H \\\"Authorization: Bearer abc\\\" {\\\"token\\\": \\\"x y\\\"}\"}",
            "{\"m\": \"-H \\\"Authorization: Bearer <removed>\\\" {\\\"token\\\": \\\"<removed>\\\"}\"}",
        ),
        (
            "Authorization: Digest username=\"ann\", realm=\"a b\", response=\"6629fae4\"\nHost: x\n",
            "Authorization: Digest <removed>\nHost: x\n",
        ),
        (
            "sent Authorization: Digest username=\"a b\", uri=/x, response=6629fae4 to the server",
            "sent Authorization: Digest <removed> to the server",
        ),
        (
            "curl -H 'Authorization: AWS4-HMAC-SHA256 Credential=AK/x, Signature=fe5f' https://h",
            "curl -H 'Authorization: AWS4-HMAC-SHA256 <removed>' https://h",
        ),
        (
            "{\"m\": \"Authorization: Digest username=\\\"a b\\\", response=\\\"c\\\"\", \"n\": 1}",
            "{\"m\": \"Authorization: Digest <removed>\", \"n\": 1}",
        ),
        (
            "Proxy-Authorization: Digest username=\"ann\"\r\n",
            "Proxy-Authorization: Digest <removed>\r\n",
        ),
        ("Authorization: Custom abc def\nHost: x\n", "Authorization: <removed>\nHost: x\n"),
        ("api-key: two words, more\n", "api-key: <removed>\n"),
        ("header.auth=Bearer eyJ0.eyJ1.sig ro", "header.auth=Bearer <removed> ro"),
        ("sent Bearer opensesame", "sent Bearer <removed>"),
        ("with Basic YW5uOmh1bnRlcjI= in it", "with Basic <removed> in it"),
    ] {
        assert_eq!(of(text), expected);
    }
    for plain in [
        "polkit: authorization: it is asked for",
        "tipc: the bearer is down",
        "forbearer X1",
        "Basic security functions",
        "Basic setup",
        "bearer",
    ] {
        assert_eq!(of(plain), plain);
    }
}

#[test]
fn a_value_ends_with_its_quotes_also_in_json() {
    for (text, expected) in [
        (
            "{\"m\": \"password=\\\"a b\\\" x\", \"n\": 1}",
            "{\"m\": \"password=\\\"<removed>\\\" x\", \"n\": 1}",
        ),
        ("{\"m\": \"password=\\\"a\\\\\\\"b\\\" x\"}", "{\"m\": \"password=\\\"<removed>\\\" x\"}"),
        ("{\"m\": \"\\\"-p password=a\\\" x\"}", "{\"m\": \"\\\"-p password=<removed>\\\" x\"}"),
        ("password='a b' c", "password='<removed>' c"),
        ("password='a", "password='<removed>"),
    ] {
        assert_eq!(of(text), expected);
    }
}
