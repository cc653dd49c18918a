#!/bin/sh
# Installs a version of the worker beside those that are there, and the units; starts and switches nothing.
#
#   install.sh WHEEL_OR_CHECKOUT [PACKAGE_OF_HANDLERS…]
#
# Each version has a virtual environment of its own, PREFIX/versions/VERSION. PREFIX/current is the one that
# instances start from: the first one that is installed; `shardworker-switch` changes it.
# From the environment: PREFIX, DESTDIR (a root to install below, for packagers), UNITS (where unit files go),
# PYTHON, VERSION (a name for this version: the worker's own, unless it is given).
set -eu
PREFIX=${PREFIX:-/opt/shardworker}
DESTDIR=${DESTDIR:-}
UNITS=${UNITS:-/usr/local/lib}
PYTHON=${PYTHON:-python3}

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

[ $# -gt 0 ] || fail "say what to install: a checkout's directory or a wheel, and packages of handlers"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "$PYTHON is older than 3.11; name a newer one: PYTHON=python3.12"
case $DESTDIR:$("$PYTHON" -c 'import sys; print(sys.base_prefix)') in
  :/root/* | :/home/*) fail "$PYTHON lies in a home directory, which the units hide; name another: PYTHON=/usr/bin/python3" ;;
esac
in_place() {
  fail "the version $VERSION is there already and may be running; give this one a name of its own: VERSION=$VERSION-2"
}

source=$1
shift
files=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$DESTDIR$PREFIX
mkdir -p "$root/versions"
[ -z "${VERSION:-}" ] || [ ! -e "$root/versions/$VERSION" ] || in_place
building=$(mktemp -d "$root/versions/.building-XXXXXX")
trap 'rm -rf "$building"' EXIT

# A copy: building leaves files in a checkout.
if [ -d "$source" ]; then
  mkdir "$building/source"
  tar -C "$source" --exclude='./.*' --exclude=./build --exclude='./*.egg-info' -cf - . |
    tar -C "$building/source" -xf -
  source=$building/source
fi
new=$building/version
"$PYTHON" -m venv "$new"
"$new/bin/python" -m pip install --quiet --disable-pip-version-check "$source" "$@"

VERSION=${VERSION:-$("$new/bin/python" -c 'import importlib.metadata as m; print(m.version("shardworker"))')}
version=$root/versions/$VERSION
[ ! -e "$version" ] || in_place
# A virtual environment knows where it lies: tell it where it will.
grep -rlI --null -- "$new" "$new/bin" "$new/pyvenv.cfg" | xargs -0 sed -i "s|$new|$PREFIX/versions/$VERSION|g"
chmod 755 "$new"
mv -T "$new" "$version"
[ -e "$root/current" ] || [ -L "$root/current" ] || ln -s "versions/$VERSION" "$root/current"

put() { # FILE PLACE [MODE]
  mkdir -p "$(dirname -- "$DESTDIR$2")"
  sed "s|/opt/shardworker|$PREFIX|g" "$files/$1" > "$DESTDIR$2"
  chmod "${3:-644}" "$DESTDIR$2"
}
for unit in shardworker@.service shardworker.target shardworker-ec2.service; do
  put "$unit" "$UNITS/systemd/system/$unit"
done
put sysusers.conf "$UNITS/sysusers.d/shardworker.conf"
put tmpfiles.conf "$UNITS/tmpfiles.d/shardworker.conf"
put switch.sh "$PREFIX/bin/shardworker-switch" 755
mkdir -p "$DESTDIR/usr/local/bin"
ln -sfn "$PREFIX/current/bin/shardworker" "$DESTDIR/usr/local/bin/shardworker"
ln -sfn "$PREFIX/bin/shardworker-switch" "$DESTDIR/usr/local/bin/shardworker-switch"

if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
  systemd-sysusers "$UNITS/sysusers.d/shardworker.conf"
  systemd-tmpfiles --create "$UNITS/tmpfiles.d/shardworker.conf"
  systemctl daemon-reload
fi
echo "Installed the version $VERSION. Instances start from $(readlink "$root/current")."
[ "$(readlink "$root/current")" = "versions/$VERSION" ] || echo "To change to it: shardworker-switch $VERSION"
