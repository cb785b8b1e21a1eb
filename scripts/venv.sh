# Sourced by the other scripts: goes to the project's root and sees that .venv is there with what `need` names.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

find_python() {
    local name
    for name in "${PYTHON:-python3}" python3.14 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "loadkit needs Python 3.11 or newer; name one with PYTHON=…" >&2
    return 1
}

# make_venv FOLDER
make_venv() {
    [ -x "$1/bin/python" ] && return
    # without pip: Debian's Python has no ensurepip, but the pip outside can fill any environment
    "$(find_python)" -m venv --without-pip "$1"
}

# fill_venv FOLDER WHAT...: pip-install into it
fill_venv() {
    make_venv "$1"
    "$(find_python)" -m pip --python "$1/bin/python" install --quiet --disable-pip-version-check "${@:2}"
}

# need WHAT...: pip-install into .venv, once for each state of what decides what is built
need() {
    local stamp
    stamp=".venv/.installed-$(printf '%s ' "$@" | cat - pyproject.toml setup.py loadkit/wire/native/* | cksum | cut -d' ' -f1)"
    [ -e "$stamp" ] && return
    echo "installing loadkit and what it needs into .venv; the first time takes a minute or two" >&2
    fill_venv .venv "$@"
    # pip keeps to itself what a build says
    .venv/bin/python -c "import loadkit.wire._exchange" 2>/dev/null ||
        echo "no extension in C was built (that takes a C compiler and the headers of Python): loadkit goes on in pure Python" >&2
    touch "$stamp"
}

# the names in a dependency group of pyproject.toml
group() {
    .venv/bin/python - "$1" <<'PYTHON'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["dependency-groups"][sys.argv[1]]))
PYTHON
}
