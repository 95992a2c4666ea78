#!/bin/sh
# Installs, as root on Debian, what the end-to-end tests need and this machine
# lacks. Elsewhere it says what is missing and leaves it to the tests to skip
# or, with CI=true, to fail.
set -eu
# Daemons live in sbin, which is not in every PATH.
PATH="$PATH:/usr/sbin:/sbin"

missing() {
	for need in dockerd:docker.io docker:docker.io ip:iproute2 iptables:iptables nsenter:util-linux \
		etcd:etcd-server chromium:chromium haproxy:haproxy systemd-analyze:systemd zsh:zsh fish:fish rpm:rpm skopeo:skopeo; do
		command -v "${need%%:*}" >/dev/null || echo "${need##*:}"
	done | sort -u
}

# Of Prometheus only its checker of rules: the package would start a server.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v promtool >/dev/null; then
	folder=$(mktemp -d)
	apt-get update -q
	(cd "$folder" && apt-get download prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x -C /usr/local --strip-components=2 ./usr/bin/promtool)
	rm -r "$folder"
fi

packages=$(missing)
[ -n "$packages" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "end-to-end tests: not installed, for want of root or apt-get:" $packages >&2
	exit 0
fi
apt-get update -q
# Newer Debian ships the docker command apart from the daemon.
if apt-cache show docker-cli >/dev/null 2>&1; then
	packages="$packages docker-cli"
fi
# shellcheck disable=SC2086 # a list
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
packages=$(missing)
if [ -n "$packages" ]; then
	echo "end-to-end tests: still missing after the installation:" $packages >&2
	exit 1
fi
