package rediscache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// errCaller marks calls that ended because the caller's own context did: they
// say nothing about Redis.
var errCaller = errors.New("the caller gave up")

var errClosed = errors.New("the cache is closed")

// call runs f within the time limit, unless the breaker is open.
func (c *Cache) call(ctx context.Context, f func(context.Context, redis.UniversalClient) error) error {
	c.mu.Lock()
	client, closed := c.client, c.closed
	c.mu.Unlock()
	if closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := c.breaker.Execute(func() (struct{}, error) {
		limited, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
		defer cancel()
		err := f(limited, client)
		// A caller's deadline is no excuse: with short ones the breaker would never open.
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			err = errors.Join(errCaller, ctx.Err())
		}
		return struct{}{}, err
	})
	return err
}

// bounded leaves at the deadline even with a client that doesn't.
func bounded[T any](ctx context.Context, client redis.UniversalClient, f func() (T, error)) (T, error) {
	if heedsContext(client) {
		return f()
	}
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a.err = panicked(p)
			}
			done <- a
		}()
		a.err = errNotFinished
		a.value, a.err = f()
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

func panicked(p any) error { return fmt.Errorf("the Redis client panicked: %v", p) }

func heedsContext(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	}
	return false
}

// isReply tells an error that Redis answered from one on the way.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// isOurs tells an error that says nothing about Redis, or nothing that the breaker
// wasn't told.
func isOurs(err error) bool {
	return errors.Is(err, errTogether) || errors.Is(err, errFull) || errors.Is(err, errClosed)
}

// read gets values; "" is a miss, also for a value that is no string.
func (c *Cache) read(ctx context.Context, client redis.UniversalClient, names []string) ([]string, error) {
	if _, single := client.(*redis.Client); single {
		return c.reads.get(ctx, names)
	}
	return bounded(ctx, client, func() ([]string, error) { return gets(ctx, client, names) })
}

// together gets what callers want in one round trip.
func (c *Cache) together(ctx context.Context, names []string) ([]string, error) {
	c.mu.Lock()
	client := c.client
	c.mu.Unlock()
	return bounded(ctx, client, func() ([]string, error) { return mget(ctx, client, names) })
}

func mget(ctx context.Context, client redis.UniversalClient, names []string) ([]string, error) {
	replies, err := client.MGet(ctx, names...).Result()
	if err != nil {
		return nil, err
	}
	if len(replies) != len(names) {
		return nil, errWrongKey // somebody else's reply
	}
	values := make([]string, len(names))
	for i, r := range replies {
		values[i], _ = r.(string)
	}
	return values, nil
}

// gets is for a cluster, where the keys lie in different slots, which MGET refuses.
func gets(ctx context.Context, client redis.UniversalClient, names []string) ([]string, error) {
	pipe := client.Pipeline()
	replies := make([]*redis.StringCmd, len(names))
	for i, name := range names {
		replies[i] = pipe.Get(ctx, name)
	}
	_, _ = pipe.Exec(ctx) // the first error, a miss included; each reply is looked at
	values := make([]string, len(names))
	for i, r := range replies {
		err := r.Err()
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
		values[i] = r.Val()
	}
	return values, nil
}

type write struct {
	name string
	args []any
}

// run runs the script for each write in one round trip, two when Redis doesn't
// know the script yet, and returns Redis's times in ms.
func run(ctx context.Context, client redis.UniversalClient, script *redis.Script, writes []write) ([]int64, error) {
	replies := make([]*redis.Cmd, len(writes))
	pipe := client.Pipeline()
	for i, w := range writes {
		replies[i] = script.EvalSha(ctx, pipe, []string{w.name}, w.args...)
	}
	_, _ = pipe.Exec(ctx)
	again := client.Pipeline()
	for i, w := range writes {
		if redis.HasErrorPrefix(replies[i].Err(), "NOSCRIPT") {
			replies[i] = script.Eval(ctx, again, []string{w.name}, w.args...)
		}
	}
	if again.Len() > 0 {
		_, _ = again.Exec(ctx)
	}
	times := make([]int64, len(writes))
	for i, r := range replies {
		ms, err := r.Int64()
		if err != nil {
			return nil, err
		}
		times[i] = ms
	}
	return times, nil
}

// reset abandons the connections: one of them gives replies of another
// request, and the pool doesn't tell which. At most once in resetPause, since a
// value may also have been copied under a wrong key on purpose.
func (c *Cache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); c.closed || now.Sub(c.lastReset).Abs() < resetPause {
		return
	}
	fresh := renew(c.client)
	if fresh == nil {
		return
	}
	old, owned := c.client, c.owned
	c.client, c.owned, c.lastReset = fresh, true, c.now()
	if owned {
		_ = old.Close()
	}
}

// renew makes a client of the same options: nil for a kind that it doesn't know.
func renew(client redis.UniversalClient) redis.UniversalClient {
	switch c := client.(type) {
	case *redis.Client:
		opts := *c.Options()
		none(&opts.MaxRetries, -1)
		none(&opts.MinRetryBackoff, -1)
		none(&opts.MaxRetryBackoff, -1)
		none(&opts.ReadTimeout, -1)
		none(&opts.WriteTimeout, -1)
		return redis.NewClient(&opts)
	case *redis.ClusterClient:
		opts := *c.Options()
		none(&opts.MaxRedirects, -1)
		none(&opts.MaxRetries, -1)
		none(&opts.MinRetryBackoff, -1)
		none(&opts.MaxRetryBackoff, -1)
		none(&opts.ReadTimeout, -1)
		none(&opts.WriteTimeout, -1)
		return redis.NewClusterClient(&opts)
	}
	return nil
}

// none undoes what making a client did to its options: there -1 ("none") became
// 0, which would now mean the default.
func none[T int | time.Duration](option *T, value T) {
	if *option == 0 {
		*option = value
	}
}
