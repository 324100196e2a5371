#!/usr/bin/env bash
# Makes the documentation archive: the articles of docs/ and the public interface of every library.
#
# usage: Scripts/doc.sh [--articles]      --articles: these alone, in a second; a broken link is an error
#
# .build/doc/plantdb.doccarchive can be opened in Xcode or served by any web server.
set -euo pipefail
cd "$(dirname "$0")/.."

libraries="PlantDBSync FSDB SyncEngine PlantDBCore PlantDBClient PlantDBServer SFTPClient ZipStream
    DatabaseCheck SyncHistory PlantDBConfiguration TestDatabases PlantDBTesting"
# Beside the compiler, wherever that is.
docc=$(dirname "$(readlink -f "$(command -v "${SWIFT:-swift}")")")/docc
folder=.build/doc
articles=$folder/plantdb.docc

rm -rf "$articles" "$folder/archives" "$folder/plantdb.doccarchive"
mkdir -p "$articles" "$folder/archives"
cp docs/plantdb.docc/*.md docs/images/*.png "$articles"
cp docs/*.md SECURITY.md "$articles"
mv "$articles/SECURITY.md" "$articles/security.md"
# On the web a link names a file, in DocC an article; what is no article is there only.
sed -i -E \
    -e 's/\[([^]]+)\]\((decisions[^)]*|\.\.\/[^)]*|#[^)]*)\)/\1/g' \
    -e 's/\]\(images\//](/g' -e 's/\]\((docs\/)?([a-z-]+)\.md(#[a-z-]+)?\)/](doc:\2)/g' \
    "$articles"/*.md
convert() {
    "$docc" convert "$@" --transform-for-static-hosting --enable-experimental-external-link-support
}
convert "$articles" --fallback-display-name plantdb-swift \
    --fallback-bundle-identifier org.plantdb-swift --warnings-as-errors \
    --output-dir "$folder/archives/articles.doccarchive"
if [ "${1:-}" = --articles ]; then exit; fi

"${SWIFT:-swift}" package dump-symbol-graph --minimum-access-level public --skip-synthesized-members
graphs=$(find -L .build -type d -name symbolgraph | head -n 1)
for library in $libraries; do
    mkdir -p "$folder/graphs/$library"
    cp "$graphs/$library".symbols.json "$folder/graphs/$library/"
    convert --additional-symbol-graph-dir "$folder/graphs/$library" --fallback-display-name "$library" \
        --fallback-bundle-identifier "org.plantdb-swift.$library" \
        --output-dir "$folder/archives/$library.doccarchive" >/dev/null
done
"$docc" merge "$folder"/archives/*.doccarchive --output-path "$folder/plantdb.doccarchive" \
    --synthesized-landing-page-name plantdb-swift
echo "the documentation is in $folder/plantdb.doccarchive; to read it:"
echo "  python3 -m http.server --directory $folder/plantdb.doccarchive"
