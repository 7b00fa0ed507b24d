# shellcheck shell=bash
# Sourced by the scripts beside it.

# Print the command of a Python that the project and its engines run on: $PYTHON, or the newest that is here.
find_python() {
    local candidate candidates=(python3.13 python3.12 python3.11 python3 python)
    if [ -n "${PYTHON:-}" ]; then
        candidates=("$PYTHON")
    fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
            >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python 3.11, 3.12 or 3.13 with its venv module was found (looked for: ${candidates[*]})." >&2
    echo "Install one from https://www.python.org/downloads, or on Debian and Ubuntu with:" >&2
    echo "    sudo apt install python3 python3-venv" >&2
    return 1
}

# Print the folder that holds the commands of the virtual environment $1.
commands_of() {
    if [ -d "$1/Scripts" ]; then
        echo "$1/Scripts" # Windows
    else
        echo "$1/bin"
    fi
}

# Make the virtual environment $1, unless it is there and works, and print the folder of its commands.
environment() {
    local python
    if ! "$(commands_of "$1")/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || return
        rm -rf "$1"
        "$python" -m venv "$1" || return
    fi
    commands_of "$1"
}
