#!/bin/sh
# The inside of tests/support/systemd_box.py: process 1 of new namespaces makes itself a root and becomes systemd.
#
#   systemd_box.sh EMPTY_DIRECTORY ROOT [DIRECTORY=PLACE_INSIDE…]
#
# The root is ROOT, `/` for the machine's own, under an overlay in memory: what is written inside is gone with the
# namespaces.
set -eu
scratch=$1
lower=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 box "$scratch"
cd "$scratch"
mkdir upper work root
mount -t overlay -o "lowerdir=$lower,upperdir=upper,workdir=work" box root
cd root

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for directory in run tmp var/log etc/systemd/system; do
  mount -t tmpfs -o mode=755 box "$directory"
done
chmod 1777 tmp

mount -t tmpfs -o mode=755 box dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
mount -t tmpfs -o mode=1777 box dev/shm
mount -t devpts -o newinstance,ptmxmode=666 box dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

for pair in "$@"; do
  mkdir -p ".${pair#*=}"
  mount --bind "${pair%%=*}" ".${pair#*=}"
done

# None of the machine's own services: only what a unit under test asks for is started, and the journal.
rm -rf usr/lib/systemd/system/*.wants usr/lib/systemd/system-generators usr/lib/systemd/system-environment-generators
cat > etc/systemd/system/box.target <<'END'
[Unit]
Description=The journal and nothing else
Wants=systemd-journald.service
END
: > etc/fstab
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > etc/machine-id

pivot_root . .
umount -l .
cd /
# As the first process of a machine does: credentials reach a service by a mount that is made in a namespace beside.
mount --make-rshared /
exec env -i container=box PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog \
  /lib/systemd/systemd --system --unit=box.target --log-target=journal --show-status=no
