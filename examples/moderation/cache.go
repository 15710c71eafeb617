package main

import (
	"context"
	"sync"
	"time"

	"github.com/interlock-go/interlock"
)

// memory keeps the gate's facts in this process: with them a decision needs no
// query. What it holds is a hint only; every commit repeats what the decision
// saw, so that a stale entry costs a second look and never a wrong yes.
type memory struct {
	age time.Duration // how long an entry is believed

	mu      sync.Mutex
	epoch   string
	entries map[interlock.CacheKey]kept
}

// kept is an entry and until when it is believed. One without payload is a
// floor: what is older is not taken in.
type kept struct {
	interlock.CacheEntry
	until time.Time
}

const (
	memoryLimit = 10_000 // entries; beyond, all are dropped
	memoryAge   = 5 * time.Second
)

func newMemory() *memory { return &memory{age: memoryAge, entries: map[interlock.CacheKey]kept{}} }

func (m *memory) Get(_ context.Context, epoch string, keys []interlock.CacheKey) ([]interlock.CacheEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]interlock.CacheEntry, len(keys))
	for i, key := range keys {
		found[i].Key = key
		if e := m.entries[key]; epoch == m.epoch && e.Payload != nil && time.Now().Before(e.until) {
			found[i] = e.CacheEntry
		}
	}
	return found, nil
}

func (m *memory) Put(_ context.Context, epoch string, entries []interlock.CacheEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(epoch)
	for _, e := range entries {
		if e.Version >= m.entries[e.Key].Version {
			m.entries[e.Key] = kept{e, time.Now().Add(m.age)}
		}
	}
	return nil
}

func (m *memory) Floor(_ context.Context, epoch string, entries []interlock.CacheEntry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(epoch)
	for _, e := range entries {
		if e.Version > m.entries[e.Key].Version {
			m.entries[e.Key] = kept{CacheEntry: interlock.CacheEntry{Key: e.Key, Version: e.Version}}
		}
	}
	return nil
}

// turn drops everything when the store's history is another, or when it is too much.
func (m *memory) turn(epoch string) {
	if epoch != m.epoch || len(m.entries) > memoryLimit {
		m.epoch = epoch
		clear(m.entries)
	}
}
