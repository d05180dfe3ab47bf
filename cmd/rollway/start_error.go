package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/rollway/rollway/engine/vfs"
)

// startError adds to why a server did not start what to do about it, where the
// error itself does not say so.
func startError(err error, o *serveOptions) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, vfs.ErrLocked):
		return err // it says so
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another server has that address: stop it, or take another one by --wire, --kafka or --http HOST:PORT (port 0 picks a free one)", err)
	case errors.Is(err, syscall.ENOTDIR) || errors.As(err, &path) && path.Op == "mkdir" && errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w; %s is or leads through a file: take another directory by --data", err, o.DataDir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; take a directory that this user may write to by --data, or change its owner", err)
	}
	return err
}
