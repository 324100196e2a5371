#!/usr/bin/env bash
# Shows scans moving between two databases in a temporary folder. `make demo` builds first.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

plantdb=$PWD/.build/release/plantdb
if [ ! -x "$plantdb" ]; then
    echo "demo: $plantdb is not there; \`make demo\` builds it" >&2
    exit 1
fi
folder=$(mktemp -d "${TMPDIR:-/tmp}/plantdb-demo.XXXXXX")
trap 'echo "demo: stopped by a failure; what was made so far is in $folder" >&2' ERR
# The two databases by short names, so that the commands read as one would type them.
cd "$folder"
source=$folder/source
target=$folder/target

if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi
heading() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# Echoes a command as one would type it, then runs it.
run() {
    printf '$ %s\n' "$*"
    case $1 in
    plantdb) shift && "$plantdb" "$@" ;;
    *) "$@" ;;
    esac
}
# Fails with the contradicted expectation.
expect() {
    if ! "${@:2}"; then
        echo "demo: expected: $1" >&2
        return 1
    fi
}

heading "1. A source database with the five documented datasets (generated, no network needed)"
run plantdb testdb source all
run plantdb scans source

heading "2. An empty target database"
run plantdb init target

heading "3. The first sync: everything moves"
run plantdb sync -P source target

heading "4. Work goes on at the source: one file edited, one added, three deleted"
scan=real_plant_analyzed
images=source/$scan/images
mapfile -t names < <(cd "$images" && ls)
metadata=source/$scan/metadata/images/${names[0]%.*}.json
new=${names[0]%.*}_again

echo "edited:  $metadata"
sed -i -e '0,/{/s//{\n    "note": "edited by the demo",/' "$metadata"

echo "added:   $images/$new.${names[0]##*.} (and listed in files.json)"
cp "$images/${names[0]}" "$images/$new.${names[0]##*.}"
# The entry of the first image, and a copy of it under the new name.
entry="(\{\s*\"file\": \"${names[0]}\",\s*\"id\": \"${names[0]%.*}\"\s*\},)"
sed -i -z -E "s/$entry/\1\n                {\n                    \"file\": \"$new.${names[0]##*.}\",\n                    \"id\": \"$new\"\n                },/" \
    "source/$scan/files.json"

for name in "${names[@]:1:3}"; do
    echo "deleted: $images/$name (and its metadata and its entry)"
    rm "$images/$name"
    rm -f "source/$scan/metadata/images/${name%.*}.json"
    sed -i -z -E "s/\{\s*\"file\": \"$name\",\s*\"id\": \"${name%.*}\"\s*\},\s*//" "source/$scan/files.json"
done

heading "5. What a second sync would do (a dry run: nothing changes)"
run plantdb sync -n -i --delete source target

heading "6. The second sync: only those files move"
run plantdb sync -i --delete source target

heading "7. Nothing is left to do"
run plantdb diff source target
echo "(exit code 0: no differences)"
expect "the new image at the target" test -f "target/$scan/images/$new.${names[0]##*.}"
expect "no deleted image at the target" test ! -e "target/$scan/images/${names[1]}"
run plantdb check target

heading "Done"
cat <<END
The source database: $source
The target database: $target
The command:         $plantdb

To see all of this in a browser:
  $plantdb app $source $target
To try next:
  $plantdb sync --help
  $plantdb scans $target
  rm -r $target/virtual_plant && $plantdb sync -i $source $target
  $plantdb sync -n --checksum $source $target
To tidy up: rm -r $folder
END
