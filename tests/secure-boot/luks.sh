#!/bin/bash
# Makes the headers of encrypted volumes in this directory anew: README.md says what each is. Their
# keys are sealed to an emulated TPM that is thrown away with the volumes.
# Needs cryptsetup, systemd-cryptenroll, clevis with its tpm2 pin, swtpm, libtss2-tcti-swtpm, jq, openssl.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
cd "$work"
mkdir state
swtpm socket --tpm2 --tpmstate dir=state --server type=unixio,path=tpm --ctrl type=unixio,path=tpm.ctrl \
    --flags not-need-init,startup-clear >log 2>&1 &
tpm=$!
trap 'kill $tpm; rm -rf "$work"' EXIT
until [ -S tpm ]; do sleep 0.1; done
export TPM2TOOLS_TCTI=swtpm:path=$work/tpm PASSWORD=secret
printf %s "$PASSWORD" >password
# Firmware has measured something into these.
for pcr in 4 7 14; do tpm2_pcrextend "$pcr:sha256=$(printf %064d "$pcr")"; done

volume() { # name, UUID; the smallest header there is, and room for four keys behind it
    truncate -s 20M "$1"
    cryptsetup luksFormat -q --type luks2 --luks2-metadata-size=16k --luks2-keyslots-size=1m \
        --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label onload --uuid "$2" "$1" password
}
forget() { # what others leave in a TPM that no resource manager stands before
    for kind in transient-object loaded-session saved-session; do tpm2_flushcontext --$kind; done
}
seal() { systemd-cryptenroll --tpm2-device="$TPM2TOOLS_TCTI" "$@" systemd >>log 2>&1; }
bind() { # as `clevis luks bind` does, which wants the device to be one: slot, pin, its configuration
    openssl rand -hex 16 >new
    cryptsetup luksAddKey -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-slot "$1" --key-file password clevis new
    forget
    clevis encrypt "$2" "$3" <new | jose jwe fmt -i- >jwe
    jq -c --arg slot "$1" '{type: "clevis", keyslots: [$slot], jwe: .}' jwe |
        cryptsetup token import --token-id "$1" --json-file - clevis
}

volume systemd 0c5bd1d9-6e5a-4a0b-8f3e-2d7a51c0ffee
openssl genrsa -out signer.key 2048 2>>log
openssl rsa -in signer.key -pubout -out signer.pem 2>>log
seal --tpm2-pcrs=7+14
seal --tpm2-pcrs=4 --tpm2-public-key=signer.pem --tpm2-public-key-pcrs=7+11

volume clevis 5f0c9d6a-1b7e-4c29-9a53-0e8b4f2a6d17
bind 1 tpm2 '{"pcr_bank":"sha256","pcr_ids":"4,7"}'
bind 2 sss '{"t":1,"pins":{"tpm2":[{"pcr_bank":"sha256","pcr_ids":"14"},{}]}}'
bind 3 sss '{"t":2,"pins":{"tpm2":[{"pcr_bank":"sha256","pcr_ids":"14"},{}]}}'

for name in systemd clevis; do head -c 16384 $name >"$here/$name.luks"; done
# What is of interest of one of them, as cryptsetup prints it.
cryptsetup luksDump systemd | sed '/^Digests/,$d' |
    sed -n '/^Version\|^UUID\|^Label\|^Metadata\|systemd-tpm2\|tpm2-.*-pcrs\|Keyslot:/p' >"$here/systemd.dump"
