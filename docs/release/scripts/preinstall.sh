#!/bin/sh
# Before the files are there: those of /etc/nitrox are for this user's group.
set -e
getent passwd nitrox >/dev/null ||
	useradd --system --user-group --home-dir / --no-create-home --shell /usr/sbin/nologin --comment Nitrox nitrox
