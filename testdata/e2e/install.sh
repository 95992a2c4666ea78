#!/bin/sh
# Installs what the end-to-end tests need and this machine lacks: dockerd,
# docker, ip and iptables. Does nothing if all is there. Without root or
# apt-get it says what is missing and leaves it to the tests to skip, or,
# with CI=true, to fail.
set -eu

missing() {
	lacks=
	for tool in dockerd docker ip iptables nsenter; do
		# dockerd and iptables live in sbin, which is not in every PATH.
		PATH="$PATH:/usr/sbin:/sbin" command -v "$tool" >/dev/null || lacks="$lacks $tool"
	done
	echo "$lacks"
}

lacks=$(missing)
[ -n "$lacks" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "end-to-end tests: missing$lacks; not installed (needs root and apt-get)" >&2
	exit 0
fi

packages="docker.io iproute2 iptables util-linux"
apt-get update -q
# Newer Debian ships the docker command apart from the daemon.
if apt-cache show docker-cli >/dev/null 2>&1; then
	packages="$packages docker-cli"
fi
# shellcheck disable=SC2086 # a list
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages

lacks=$(missing)
if [ -n "$lacks" ]; then
	echo "end-to-end tests: still missing after the installation:$lacks" >&2
	exit 1
fi
