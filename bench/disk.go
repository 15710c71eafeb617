package main

import (
	"context"
	"os"
)

const (
	diskPage  = 4 << 10
	diskPages = 1 << 10
)

// disk writes a page of a file that has its size already, as a write-ahead log
// does that goes round, and waits until it is safe.
type disk struct {
	f    *os.File
	page []byte
	n    int64
}

func newDisk(dir string) (*disk, error) {
	f, err := os.CreateTemp(dir, "fdatasync-*")
	if err != nil {
		return nil, err
	}
	d := &disk{f: f, page: filled(diskPage, 1)}
	for range diskPages {
		if _, err := f.Write(d.page); err != nil {
			return d, err
		}
	}
	return d, f.Sync()
}

func (d *disk) op(context.Context, int) error {
	if _, err := d.f.WriteAt(d.page, d.n%diskPages*diskPage); err != nil {
		return err
	}
	d.n++
	return datasync(d.f)
}

func (d *disk) close() error { return d.f.Close() }
