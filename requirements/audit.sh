#!/bin/sh
# Asks which of the locked packages have known vulnerabilities. It needs the network: what cannot be asked is a failure.
set -eu
cd "$(dirname -- "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3}" -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check 'pip-audit >=2.9,<3'
"$tools/bin/pip-audit" --strict --disable-pip --requirement requirements/dev.txt --requirement requirements/fast.txt || {
  echo "make audit: either a package has a known vulnerability, which is named above, or nobody could be asked" >&2
  echo "(\"could not be audited\", a name that is not resolved). Raise the package in setup.cfg, then make lock." >&2
  exit 1
}
