package storetest

import (
	"context"
	"fmt"
	"sync"

	"github.com/interlock-go/interlock"
)

// drillCache forgets nothing, and notes of which epochs it was asked.
type drillCache struct {
	mu      sync.Mutex
	entries map[string]interlock.CacheEntry
	read    []string
}

func (c *drillCache) Get(_ context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, epoch)
	out := make([]interlock.CacheEntry, len(keys))
	for i, k := range keys {
		out[i] = c.entries[fmt.Sprint(epoch, k)]
	}
	return out, nil
}

func (c *drillCache) Put(_ context.Context, epoch string, entries []interlock.CacheEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if k := fmt.Sprint(epoch, e.Key); c.entries[k].Version < e.Version {
			c.entries[k] = e
		}
	}
	return nil
}

func (c *drillCache) Floor(_ context.Context, epoch string, entries []interlock.CacheEntry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		delete(c.entries, fmt.Sprint(epoch, e.Key))
	}
	return nil
}
