#!/usr/bin/env bash
# Run every check: style, types, tests. It needs Python (3.11 to 3.13) and git, and fetches the rest into .venv-tools.
# Any arguments go to tox: `bash scripts/test.sh -e lint`, `bash scripts/test.sh -e py -- -k matching`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

bin=$(environment .venv-tools)
if ! "$bin/python" -c 'import tox, tox_uv' 2>/dev/null; then
    echo "Installing tox and uv into .venv-tools"
    "$bin/python" -m pip install --quiet --disable-pip-version-check "tox>=4.30" "tox-uv>=1.25" uv
fi
if [ $# -gt 0 ]; then
    exec "$bin/python" -m tox run "$@"
fi

# The large environment of the tests is made while style and types are checked; the tests are run if these are right,
# and the pages beside them.
made=$(mktemp) pages=$(mktemp)
trap 'rm -f "$made" "$pages"' EXIT
"$bin/python" -m tox run -e py --notest >"$made" 2>&1 &
making=$!
if ! "$bin/python" -m tox run -e lint,types; then
    wait "$making" || true
    exit 1
fi
wait "$making" || {
    cat "$made"
    exit 1
}
"$bin/python" -m tox run -e docs >"$pages" 2>&1 &
checking=$!
status=0
"$bin/python" -m tox run -e py --skip-pkg-install || status=$?
wait "$checking" || {
    cat "$pages"
    exit 1
}
exit "$status"
