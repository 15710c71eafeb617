//go:build unix && !linux

package sqlite

// localDisk can't tell here; the lock file is all there is.
func localDisk(string) error { return nil }
