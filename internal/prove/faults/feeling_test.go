package faults

import (
	"context"
	"sync/atomic"

	"github.com/interlock-go/interlock"
)

// feeling stands before a cache and counts, while the fault is on, what the gate
// had to do without: a fault that nobody felt proves nothing.
type feeling struct {
	interlock.Cache
	on     atomic.Bool
	failed atomic.Int64 // calls
}

func (f *feeling) Get(ctx context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	entries, err := f.Cache.Get(ctx, epoch, keys)
	f.note(err)
	return entries, err
}

func (f *feeling) Put(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	err := f.Cache.Put(ctx, epoch, entries)
	f.note(err)
	return err
}

func (f *feeling) Floor(ctx context.Context, epoch string, entries []interlock.CacheEntry) error {
	err := f.Cache.Floor(ctx, epoch, entries)
	f.note(err)
	return err
}

func (f *feeling) note(err error) {
	if err != nil && f.on.Load() {
		f.failed.Add(1)
	}
}

// during counts from when the fault has begun until it ends.
func (f *feeling) during(is fault) fault {
	return fault{
		begin: func() error {
			f.on.Store(true)
			return is.begin()
		},
		end: func() error {
			err := is.end()
			f.on.Store(false)
			return err
		},
	}
}
