#!/bin/sh
# Lets the instances run another installed version, one instance after the other: an upgrade, or the way back.
#
#   shardworker-switch            which versions are there, and which one instances start from
#   shardworker-switch VERSION    make it current, and restart the instances that run
#
# Each instance drains, and the next one's turn comes when it is ready again. It stops at the first that is not.
set -eu
cd /opt/shardworker
before=$(basename -- "$(readlink current)")

if [ $# -eq 0 ]; then
  for version in versions/*/; do
    name=$(basename -- "$version")
    if [ "$name" = "$before" ]; then echo "$name (current)"; else echo "$name"; fi
  done
  exit 0
fi
if [ ! -x "versions/$1/bin/shardworker" ]; then
  echo "shardworker-switch: no version $1 is installed; there is: $(ls -m versions)" >&2
  exit 1
fi

# In one step: an instance that starts meanwhile finds one of the two.
ln -sfn "versions/$1" current.new
mv -T current.new current
units=$(systemctl list-units --plain --no-legend --state=active,reloading,activating \
  'shardworker@*.service' shardworker-ec2.service | cut -d ' ' -f 1)
for unit in $units; do
  echo "$unit: restarting with $1"
  if ! systemctl restart "$unit"; then
    echo "shardworker-switch: $unit does not run with $1; the others were left as they are." >&2
    echo "Look at: journalctl -u $unit. Back: shardworker-switch $before" >&2
    exit 1
  fi
done
echo "Instances start from $1. Before: $before"
