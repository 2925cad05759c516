#!/bin/busybox sh
# shellcheck shell=dash
# The machine's first process: it lifts the limits that many connections meet, runs the kit, and powers off.
set -eu
/bin/busybox mkdir -p /proc /sys /dev /tmp /bin /etc /var/log/nginx /var/lib/nginx
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/usr/sbin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp

# Who nginx becomes.
echo 'root:x:0:0::/:/bin/sh
nobody:x:65534:65534::/:/bin/false' >/etc/passwd
echo 'root:x:0:
nogroup:x:65534:' >/etc/group

# Two ends of each of a million connections are two million descriptors, half of them in each process.
sysctl -q -w fs.nr_open=2100000 fs.file-max=4200000
ulimit -n 2100000

# The loader connects from several addresses; each has all ports but the privileged ones for the server's one.
sysctl -q -w net.ipv4.ip_local_port_range="1024 65535"
sysctl -q -w net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535

# Packets that wait for a processor. The loopback drops what comes beyond them, and an emulated processor falls behind by
# more than a thousand, the default: connections then wait, idle, until the packets are sent again.
sysctl -q -w net.core.netdev_max_backlog=100000

# In pages, and more than there are: buffers of sockets shall not be withheld before memory ends. What a socket may have
# stays what it is by default.
sysctl -q -w net.ipv4.tcp_mem="16000000 16000000 16000000"

# No packet filter: its modules are not here. The loopback device gives itself 127.0.0.1/8.
ip link set lo up

# The records have a serial line of their own, so that no message of the kernel falls into them.
cd /opt
./noprobe ./kit -no-build -bin bin -profile vm -loads "$LOAD" -servers "$SERVER" -connections "$CONNECTIONS" \
  -seconds "$LOAD_SECONDS" -out - >/dev/ttyS1 2>/dev/console </dev/null || echo "kit: status $?"
poweroff -f
