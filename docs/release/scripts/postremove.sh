#!/bin/sh
# dpkg says "purge" when secrets are to go as well. rpm has no such word. The user stays,
# since files elsewhere may be its own.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	rm -rf /etc/nitrox
fi
