#!/bin/sh
# Writes dev.txt and fast.txt: exact versions of all that is installed to work on the project and in CI, with the hashes
# of their files, for Python 3.11 to 3.13. They keep the versions that are there, as far as setup.cfg allows.
#
#   lock.sh [--upgrade]      with it, the newest versions that setup.cfg allows
set -eu
cd "$(dirname -- "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check 'uv >=0.9,<1'

lock() { # FILE [OPTION…]: what stands on the standard input, and what it needs
  file=$1
  shift
  "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-header --no-emit-index-url --no-emit-find-links "$@" --output-file "requirements/$file" -
}
build() {
  "$tools/bin/python" -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])'
}
extra() { # NAME
  "$tools/bin/python" -c 'import configparser, sys
file = configparser.ConfigParser()
file.read("setup.cfg")
print(file["options.extras_require"][sys.argv[1]])' "$1"
}

build | lock dev.txt "$@" setup.cfg --extra dev
extra fast | lock fast.txt "$@" --constraints requirements/dev.txt
