package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// socket connects to the local socket at path. Where that is not permitted, the
// error says who may.
func socket(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), path string) (net.Conn, error) {
	conn, err := dial(ctx, "unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w; start Docker, mount the socket if this is a container, or correct host", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w; nothing serves this socket any more: start Docker", err)
	case !errors.Is(err, fs.ErrPermission):
		return conn, err
	}
	info, unknown := os.Stat(path)
	if unknown != nil {
		return nil, fmt.Errorf("%w; its folder is closed to the user that Nitrox runs as", err)
	}
	uid, gid, known := owner(info)
	switch {
	case !known:
		return nil, err
	case info.Mode()&0o020 == 0:
		return nil, fmt.Errorf("%w; only the user %d may use it: run Nitrox as that user, or give the socket a group", err, uid)
	}
	group := strconv.Itoa(int(gid))
	if g, err := user.LookupGroupId(group); err == nil {
		group = fmt.Sprintf("%s (%s)", g.Name, group)
	}
	return nil, fmt.Errorf("%w; it belongs to the group %s: run Nitrox as a member of that group", err, group)
}
