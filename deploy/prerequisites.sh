#!/usr/bin/env bash
# Installs, by apt and only if missing, what pip cannot bring: python3-venv, mmdebstrap, bubblewrap;
# and faketime, by which the tests set a clock. Programs that it is named come on top: the tests of pages name chromium.
set -euo pipefail

python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null; then
    echo "$python is not there: install Python 3.11 or newer, or say which with make PYTHON=..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$python is $("$python" --version 2>&1): Underfoot needs 3.11 or newer; say which with make PYTHON=..." >&2
    exit 1
fi

missing=()
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v bwrap >/dev/null || missing+=(bubblewrap)
command -v faketime >/dev/null || missing+=(faketime)
for named in "$@"; do
    command -v "$named" >/dev/null || missing+=("$named")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]}. This machine has no apt: install them its own way, then run make again." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=()
elif command -v sudo >/dev/null; then
    as_root=(sudo)
else
    echo "Missing: ${missing[*]}. You are not root and there is no sudo: have root run" >&2
    echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

echo "Installing ${missing[*]} ..."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
}
# The package lists of a fresh machine are empty or old.
if ! { "${as_root[@]}" apt-get update && install; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "Installing ${missing[*]} failed; see above." >&2
    exit 1
fi
