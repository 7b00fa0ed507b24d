#!/usr/bin/env bash
# The whole way, on images that come with the project: train a model, segment images that it has never seen, score it.
# Any arguments go to `napari-seg-trainer demo`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh

# Install the project, with both engines and napari: with uv, which is quick, or else with pip. Without an NVIDIA card,
# the small build of PyTorch is taken, where the place that has it can be reached.
install() {
    local pip=("$bin/python" -m pip install --disable-pip-version-check)
    if "${pip[@]}" --quiet uv; then
        local uv=("$bin/python" -m uv pip install --python "$bin/python") build=()
        if "${uv[@]}" --dry-run --torch-backend=auto torch >/dev/null 2>&1; then
            build=(--torch-backend=auto)
        fi
        if "${uv[@]}" ${build[@]+"${build[@]}"} --editable ".[all]"; then
            return
        fi
    fi
    echo "uv could not install it; trying pip, which takes longer."
    "${pip[@]}" --editable ".[all]"
}

echo "Preparing the folder .venv-demo, which will hold everything that the demonstration needs ..."
bin=$(environment .venv-demo)
if ! cmp -s pyproject.toml .venv-demo/installed.toml; then
    echo "Installing napari-seg-trainer, StarDist, Cellpose and napari into it."
    echo "This happens once. It downloads several GB, so it may take a quarter of an hour."
    if ! install; then
        echo "The installation failed; the lines above say why. Is the internet reachable, and is the disk full?" >&2
        echo "Once that is mended, run this command again: it goes on where it stopped." >&2
        exit 1
    fi
    cp pyproject.toml .venv-demo/installed.toml
fi
"$bin/napari-seg-trainer" demo "$@"
