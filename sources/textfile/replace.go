package textfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Replace puts a file with this text in the place of path: readers see the old one or
// the new one, whole.
func Replace(path, text string) (err error) {
	// The dot and the ending keep node_exporter from reading it half written.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
