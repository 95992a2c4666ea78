#!/bin/sh
# Nothing is enabled here. After an upgrade what runs is started again.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart nitrox.service
fi
