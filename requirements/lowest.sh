#!/bin/sh
# Runs tests/unit with the oldest versions that setup.cfg allows, in .venv/lowest, and the test tools as they are locked.
#
#   lowest.sh [OPTION_OF_PYTEST…]
set -eu
cd "$(dirname -- "$0")/.."
place=.venv/lowest
"${PYTHON:-python3}" -m venv --clear "$place"
"$place/bin/python" -m pip install --quiet --disable-pip-version-check 'uv >=0.9,<1'
version=$("$place/bin/python" -c 'import sys; print(*sys.version_info[:2], sep=".")')
"$place/bin/uv" pip compile --quiet --resolution lowest-direct --python-version "$version" --no-emit-index-url \
  setup.cfg --extra fast --extra otel --extra redis --output-file "$place/lowest.txt"

install() {
  "$place/bin/uv" pip install --quiet --python "$place/bin/python" --no-deps "$@"
}
install --requirement requirements/dev.txt
install --requirement "$place/lowest.txt"
install --no-build-isolation --editable .
# What is installed is not what is locked.
"$place/bin/python" -m pytest tests/unit --deselect tests/unit/test_requirements.py "$@"
