package interlock

import (
	"context"
	"sync"
	"time"
)

// withTimeout is context.WithTimeout for work that mostly doesn't look at Done: the
// timer is only made for who does.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	w := &deadline{Context: ctx, at: time.Now().Add(d)}
	if at, ok := ctx.Deadline(); ok && at.Before(w.at) {
		w.at = at
	}
	return w, w.end
}

// deadline is a context that ends at a time, whether anybody waits for that or not.
type deadline struct {
	context.Context // the parent
	at              time.Time

	mu    sync.Mutex
	timed context.Context // nil: nobody has asked for Done yet
	stop  context.CancelFunc
	ended bool
}

func (c *deadline) Deadline() (time.Time, bool) { return c.at, true }

func (c *deadline) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.stop = context.WithDeadline(c.Context, c.at)
		if c.ended {
			c.stop()
		}
	}
	return c.timed.Done()
}

func (c *deadline) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.ended:
		return context.Canceled
	case c.Context.Err() != nil:
		return c.Context.Err()
	case !time.Now().Before(c.at):
		c.timed, c.stop = context.WithDeadline(c.Context, c.at) // it stays so
		return c.timed.Err()
	}
	return nil
}

// Value lets contexts made of this one find what ends it.
func (c *deadline) Value(key any) any {
	c.mu.Lock()
	from := c.timed
	c.mu.Unlock()
	if from == nil {
		from = c.Context
	}
	return from.Value(key)
}

func (c *deadline) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if c.stop != nil {
		c.stop()
	}
}
