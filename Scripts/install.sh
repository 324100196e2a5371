#!/usr/bin/env bash
# Installs what `make release` built: the command, its manual pages, completions and systemd units.
#
# usage: Scripts/install.sh PREFIX
#
# Below the home of who calls it the units go where systemd --user looks (systemd.unit(5)).
# DESTDIR, as packagers use it, stands before every path.
set -euo pipefail
cd "$(dirname "$0")/.."

prefix=${1:?usage: Scripts/install.sh PREFIX}
destination=${DESTDIR:-}$prefix
plantdb=.build/release/plantdb

install -D "$plantdb" "$destination/bin/plantdb"
"$plantdb" manual "$destination/share/man/man1"
mkdir -p "$destination/share/bash-completion/completions" "$destination/share/zsh/site-functions" \
    "$destination/share/fish/vendor_completions.d"
"$plantdb" completion bash >"$destination/share/bash-completion/completions/plantdb"
"$plantdb" completion zsh >"$destination/share/zsh/site-functions/_plantdb"
"$plantdb" completion fish >"$destination/share/fish/vendor_completions.d/plantdb.fish"
case $prefix in
"$HOME"/*)
    units=${DESTDIR:-}$HOME/.config/systemd/user
    # So that the units may be copied to another home (systemd.unit(5)).
    binaries=%h${prefix#"$HOME"}/bin
    ;;
*)
    units=$destination/lib/systemd/user
    binaries=$prefix/bin
    ;;
esac
mkdir -p "$units"
for unit in Scripts/systemd/*; do
    sed "s|@BINDIR@|$binaries|" "$unit" >"$units/$(basename "$unit")"
done

cat <<END
installed in $destination: bin/plantdb, manual pages, completions; systemd units in $units
END
case :$PATH: in *":$prefix/bin:"*) ;; *) echo "put $prefix/bin on your PATH" ;; esac
