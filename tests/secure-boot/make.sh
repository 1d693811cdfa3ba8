#!/bin/bash
# Makes the fixtures in this directory anew: README.md says what each is. New keys every time, none
# kept; what the tests expect is written beside them by the tools that others use.
# Needs openssl, efitools, python3, keyctl and a kernel with asymmetric keys, and the kernel's sign-file.
set -euo pipefail
# A ring of its own for the keys that the kernel is asked about.
[ -n "${IN_RING-}" ] || IN_RING=yes exec keyctl session onloadd "$0"
sign_file=${SIGN_FILE:-/usr/src/linux-kbuild-6.1/scripts/sign-file}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
shim=605dab50-e046-4300-abb6-3dd810dd8b23
quiet() { "$@" 2>>log || { cat log >&2; return 1; }; }

cat >profile.cnf <<'CNF'
[req]
distinguished_name = name
prompt = no
string_mask = utf8only
[name]
[module]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = codeSigning,1.3.6.1.4.1.2312.16.1.2
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[nothing]
CNF

# Certificates.
quiet openssl req -new -x509 -config profile.cnf -extensions module -newkey rsa:2048 -nodes -sha256 \
    -subj "/O=Example/CN=Modules: first key" -days 36500 -keyout module.key -out module.pem
quiet openssl req -new -x509 -config profile.cnf -extensions authority -newkey rsa:4096 -nodes -sha512 \
    -subj "/C=DE/O=Bäckerei Example/CN=Example Authority/emailAddress=ca@example.org" -utf8 -days 3650 \
    -set_serial 0x00f123456789abcdef0123456789abcdef012345 -keyout authority.key -out authority.pem
quiet openssl req -new -config profile.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes \
    -subj "/CN=Leaf" -keyout leaf.key -out leaf.csr
quiet openssl x509 -req -in leaf.csr -CA authority.pem -CAkey authority.key -set_serial 7 -days 1000 -sha384 \
    -extfile profile.cnf -extensions module -out leaf.pem
quiet openssl req -new -config profile.cnf -newkey rsa:2048 -nodes -subj "/CN=Old" -keyout old.key -out old.csr
quiet openssl x509 -req -in old.csr -signkey old.key -set_serial 1 -days 100 -sha1 -out old.pem
for name in module authority leaf old; do
    openssl x509 -in $name.pem -outform DER -out $name.der
    openssl x509 -in $name.pem -outform DER | openssl asn1parse -inform DER -strparse 4 -noout -out $name.tbs
    {
        openssl x509 -in $name.pem -noout -serial -subject -issuer -dates -fingerprint -sha256 \
            -nameopt RFC2253,sep_comma_plus_space,-esc_msb,utf8 -dateopt iso_8601
        for hash in sha256 sha384 sha512; do
            echo "tbs-$hash=$(openssl dgst -$hash -r $name.tbs | cut -d' ' -f1)"
        done
        # The name and the key's id as the kernel itself reads them. It takes no version 1.
        if serial=$(keyctl padd asymmetric "" @s <$name.der 2>/dev/null); then
            echo "kernel=$(sed -n "s/^$(printf %08x "$serial") .* asymmetri //p" /proc/keys)"
            keyctl unlink "$serial" @s >>log
        fi
    } >$name.txt
done

# Modules: any bytes, signed as the kernel's build does.
printf '\177ELF, and whatever else a stand-in for a module may hold' >plain.ko
"$sign_file" sha256 module.key module.pem plain.ko rsa.ko
"$sign_file" sha384 leaf.key leaf.pem plain.ko ec.ko
"$sign_file" sha512 module.key module.pem ec.ko twice.ko
appended() { # what openssl signed, with the trailer of the kernel
    cat plain.ko "$1"
    printf '\0\0\2\0\0\0\0\0'
    printf %08x "$(stat -c %s "$1")" | xxd -r -p
    printf '~Module signature appended~\n'
}
sign() { openssl cms -sign -binary -in plain.ko -outform DER -signer module.pem -inkey module.key "$@"; }
sign -md sha256 -noattr -nocerts -keyid -out keyid.p7s
sign -md sha512 -nosmimecap -out attributes.p7s
for name in keyid attributes; do appended $name.p7s >$name.ko; done
tail -c +$(($(stat -c %s plain.ko) + 1)) rsa.ko | head -c -40 >rsa.p7s
tail -c +$(($(stat -c %s plain.ko) + 1)) ec.ko | head -c -40 >ec.p7s
for name in rsa ec keyid attributes; do
    openssl cms -cmsout -inform DER -in $name.p7s -print -noout -nameopt RFC2253,sep_comma_plus_space,-esc_msb,utf8 |
        sed -n '/signerInfos/,$p' | sed '/signature:/,$d' >$name.txt
done

# Lists of signatures.
cert-to-efi-sig-list -g $shim module.pem module.esl
cert-to-efi-sig-list -g 77fa9abd-0359-4d32-bd60-28f4e78f784b authority.pem authority.esl
cat module.esl authority.esl >db.esl
for bits in 256 384 512; do
    cert-to-efi-hash-list -g $shim -s $bits -t '2026-02-03 04:05:06' module.pem revoked-$bits.esl
done
python3 - "$shim" <<'PY'
import hashlib, re, struct, subprocess, sys, uuid
owner = uuid.UUID(sys.argv[1]).bytes_le
def listed(kind, entries):
    size = 16 + len(entries[0])
    head = uuid.UUID(kind).bytes_le + struct.pack("<III", 28 + size * len(entries), 0, size)
    return head + b"".join(owner + one for one in entries)
binary = [hashlib.sha256(bytes([n])).digest() for n in range(3)]
dbx = listed("c1c41626-504c-4092-aca9-41f936934328", binary)
for bits in (256, 384, 512):
    dbx += open(f"revoked-{bits}.esl", "rb").read()
for kind, size in [("826ca512-cf10-4ac9-b187-be01496631bd", 20), ("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd", 28),
                   ("ff3e5307-9fd0-48c9-85f1-8ad56c701e01", 48), ("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", 64),
                   ("3c5766e8-269c-4e34-aa14-ed776e85b3b6", 256), ("12345678-9abc-def0-1234-56789abcdef0", 5)]:
    dbx += listed(kind, [bytes(range(size)) if size < 256 else bytes(256)])
open("dbx.esl", "wb").write(dbx)
# What MokAuth holds: the crypt of a password, its 64 bytes out of the order in which crypt(3) prints them.
text = subprocess.run(["openssl", "passwd", "-6", "-salt", "0123456789abcdef", "a password for a test"],
                      capture_output=True, check=True, text=True).stdout.strip()
salt, digits = text.split("$")[2:]
alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
order = [0]
for _ in range(20):
    order.append((order[-1] + 22) % 63)
hashed = bytearray(64)
for group, first in enumerate(order):
    places = [first, (first + 21) % 63, (first + 42) % 63]
    value = sum(alphabet.index(c) << 6 * n for n, c in enumerate(digits[group * 4:group * 4 + 4]))
    for n, place in enumerate(places):
        hashed[place] = value >> 8 * (2 - n) & 255
value = sum(alphabet.index(c) << 6 * n for n, c in enumerate(digits[84:86]))
hashed[63] = value & 255
open("auth.bin", "wb").write(struct.pack("<HQH32s128s", 4, 5000, len(salt), salt.encode(), bytes(hashed)))
open("auth.txt", "w").write(text + "\n")
PY

rm -f "$here"/*.{der,pem,txt,ko,p7s,esl,bin}
cp module.der module.pem authority.der leaf.der old.der ./*.txt \
    plain.ko rsa.ko ec.ko twice.ko keyid.ko attributes.ko db.esl dbx.esl auth.bin "$here"
