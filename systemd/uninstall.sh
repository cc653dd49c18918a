#!/bin/sh
# Stops the instances and removes what install.sh installed, all versions. Leaves the configuration, the state
# and the user, and says so. From the environment: PREFIX, DESTDIR and UNITS, as install.sh knows them.
set -eu
PREFIX=${PREFIX:-/opt/shardworker}
DESTDIR=${DESTDIR:-}
UNITS=${UNITS:-/usr/local/lib}

running() { [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; }

if running; then
  # Enabled instances are links to the unit files.
  systemctl disable --quiet 'shardworker@.service' shardworker.target shardworker-ec2.service 2>/dev/null || true
  systemctl stop shardworker-ec2.service shardworker.target 'shardworker@*.service'
fi
for file in systemd/system/shardworker@.service systemd/system/shardworker.target \
  systemd/system/shardworker-ec2.service sysusers.d/shardworker.conf tmpfiles.d/shardworker.conf; do
  rm -f "$DESTDIR$UNITS/$file"
done
rm -f "$DESTDIR/usr/local/bin/shardworker" "$DESTDIR/usr/local/bin/shardworker-switch"
rm -rf "$DESTDIR$PREFIX/versions" "$DESTDIR$PREFIX/current" "$DESTDIR$PREFIX/bin"
[ ! -d "$DESTDIR$PREFIX" ] || rmdir --ignore-fail-on-non-empty "$DESTDIR$PREFIX"
if running; then
  systemctl daemon-reload
fi
echo "Removed. What is left: /etc/shardworker, /var/lib/shardworker and the user shardworker."
