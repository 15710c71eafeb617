//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockFile holds path.lock for this process until it is closed or the process
// ends. The file stays: removing it would let two hold different ones.
func lockFile(path string) (*os.File, error) {
	if err := localDisk(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the same file under another name has the same lock
	}
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err == nil {
		return f, nil
	}
	err = errors.Join(err, f.Close())
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("another process writes this file (it holds %s.lock): stop it, or use its API", path)
	}
	return nil, fmt.Errorf("lock %s.lock: %w", path, err)
}
