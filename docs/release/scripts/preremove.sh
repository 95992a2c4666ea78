#!/bin/sh
# dpkg says "remove", rpm how many versions are left.
set -e
if [ "$1" = remove ] || [ "$1" = 0 ]; then
	if [ -d /run/systemd/system ]; then
		systemctl stop nitrox.service nitrox-sync.timer nitrox-sync.service
	fi
	if command -v systemctl >/dev/null; then
		systemctl --no-reload disable nitrox.service nitrox-sync.timer
	fi
fi
