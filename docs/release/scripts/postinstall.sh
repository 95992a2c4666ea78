#!/bin/sh
# Nothing is enabled here. After an upgrade what runs is started again; if that fails,
# systemctl says so, and the package is installed all the same.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart nitrox.service || true
fi
