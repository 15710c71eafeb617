package main

import (
	"fmt"
	"sync"
	"time"
)

// bar is one line on a terminal, redrawn a few times a second; nothing where
// no terminal watches.
type bar struct {
	p     *program
	what  string
	mu    sync.Mutex
	last  time.Time
	begun time.Time
	drawn bool
}

func (p *program) progress(what string) *bar {
	return &bar{p: p, what: what, begun: time.Now(), last: time.Now()}
}

func (b *bar) set(n int64) {
	if !b.p.watched {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.last) < 200*time.Millisecond {
		return
	}
	b.last, b.drawn = time.Now(), true
	fmt.Fprintf(b.p.err, "\r%d %s, %.0f a second\x1b[K", n, b.what, float64(n)/time.Since(b.begun).Seconds())
}

func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.p.err, "\r\x1b[K")
	}
}
