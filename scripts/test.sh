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
"$bin/python" -m tox run "$@"
