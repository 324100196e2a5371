#!/usr/bin/env bash
# Makes sure that everything a make target needs is on this machine: the Swift toolchain
# (checked, never installed) and Debian packages (missing ones are installed with apt-get).
#
# usage: Scripts/set-up.sh GROUP...      GROUP: build, test, bench
#
# Says nothing when nothing is missing. PLANTDB_NO_INSTALL=1: names what is missing, installs
# nothing, and goes on.
set -euo pipefail

readonly swift_major=6 swift_minor=2

# One need a word: the Debian package, and how else to see that it is there:
# a command (package:command) or a pkg-config module (package=module).
readonly build_needs="git:git pkg-config:pkg-config g++:g++ binutils:ld ca-certificates
    libsqlite3-dev=sqlite3 libarchive-dev=libarchive zlib1g-dev=zlib libargon2-dev=libargon2 libcrypt-dev=libcrypt"
readonly test_needs="mandoc:mandoc systemd:systemd-analyze openssh-client:ssh openssh-server:sshd openssl:openssl chromium:chromium fonts-dejavu-core strace:strace e2fsprogs:mke2fs mount:losetup exfat-fuse:mount.exfat-fuse exfatprogs:mkfs.exfat rsync:rsync nginx-light:nginx python3:python3 python3-venv"
readonly bench_needs="openssh-client:ssh openssh-server:sshd rsync:rsync rclone:rclone curl:curl nginx-light:nginx python3:python3 python3-venv findutils:xargs"

say() { printf 'set-up: %s\n' "$*" >&2; }
die() {
    say "$@"
    exit 1
}

check_swift() {
    local swiftc words version= major minor
    if ! swiftc=$(command -v swiftc) || ! command -v swift >/dev/null; then
        die "no Swift toolchain: neither \`swift\` nor \`swiftc\` is on the PATH.
  Install Swift $swift_major.$swift_minor or newer as https://www.swift.org/install/linux says
  (with swiftly: \`swiftly install latest\`), open a new shell, see that
  \`swift --version\` answers, and run the same command again."
    fi
    # swiftc alone: the driver behind \`swift\` takes eight times as long to say it.
    read -r -a words <<<"$("$swiftc" --version 2>/dev/null | grep -m 1 'Swift version' || true)"
    for version in "${words[@]}"; do
        case $version in [0-9]*.[0-9]*) break ;; esac
    done
    major=${version%%.*}
    minor=${version#*.}
    minor=${minor%%[!0-9]*}
    case $major$minor in
    '' | *[!0-9]*) die "\`$swiftc --version\` does not say a version; are the Debian packages that the toolchain itself needs there?" ;;
    esac
    if ((major < swift_major || (major == swift_major && minor < swift_minor))); then
        die "Swift $version at $swiftc is too old: this package needs $swift_major.$swift_minor or newer.
  See https://www.swift.org/install/linux (with swiftly: \`swiftly install latest\`)."
    fi
}

# Prints the packages of the needs given as words that are missing.
missing_on_debian() {
    local -A installed=()
    local packages=() need status package
    for need in "$@"; do packages+=("${need%%[:=]*}"); done
    # dpkg-query fails for names it has never heard of; what it does print is complete.
    while read -r status package; do
        if [ "$status" = installed ]; then installed[$package]=1; fi
    done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
    for need in "$@"; do
        package=${need%%[:=]*}
        [ -n "${installed[$package]:-}" ] && continue
        case $need in *:*) command -v "${need#*:}" >/dev/null && continue ;; esac
        printf '%s\n' "$package"
    done
}

missing_elsewhere() {
    local need
    for need in "$@"; do
        case $need in
        *:*) command -v "${need#*:}" >/dev/null || printf '%s\n' "${need%%:*}" ;;
        *=*) pkg-config --exists "${need#*=}" 2>/dev/null || printf '%s\n' "${need%%=*}" ;;
        esac
    done
}

install() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "missing packages: $*
  Neither root nor sudo here. Have them installed with
    apt-get update && apt-get install $*
  or set PLANTDB_NO_INSTALL=1 to go on without them."
        as_root=(sudo)
    fi
    say "installing missing Debian packages${as_root:+ with sudo}: $*"
    "${as_root[@]}" apt-get update >&2 \
        || die "\`apt-get update\` failed; is the network there? Missing packages: $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "$@" >&2 \
        || die "\`apt-get install $*\` failed"
}

[ $# -gt 0 ] || die "say which group of packages: build, test or bench"
needs=()
for group in "$@"; do
    case $group in
    build | test | bench)
        list="${group}_needs"
        read -r -d '' -a words <<<"${!list}" || true
        needs+=("${words[@]}")
        ;;
    *) die "no such group: $group (build, test, bench)" ;;
    esac
done

check_swift
if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
    debian=yes
    find_missing=missing_on_debian
else
    debian=no
    find_missing=missing_elsewhere
fi
mapfile -t missing < <("$find_missing" "${needs[@]}" | sort -u)
[ ${#missing[@]} -gt 0 ] || exit 0

if [ $debian = no ]; then
    say "this is no Debian system; what these Debian packages hold seems to be missing: ${missing[*]}"
    say "going on; install their equivalents if the build fails"
elif [ -n "${PLANTDB_NO_INSTALL:-}" ]; then
    say "missing, and not installed because of PLANTDB_NO_INSTALL: ${missing[*]}"
else
    install "${missing[@]}"
    mapfile -t missing < <("$find_missing" "${needs[@]}" | sort -u)
    [ ${#missing[@]} -eq 0 ] || die "still missing after the installation: ${missing[*]}"
fi
