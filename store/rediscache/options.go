package rediscache

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options reads a Redis URL (redis://, rediss:// or unix://, as
// [redis.ParseURL] does) and sets what a cache needs that must never delay an
// answer: with go-redis's defaults a server that accepts and doesn't reply costs
// 5 s a call whatever the context says. Errors don't repeat the URL: it may hold
// a password.
func Options(rawURL string) (*redis.Options, error) {
	opts, err := redis.ParseURL(rawURL)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, fmt.Errorf("redis URL: %w; want redis://[user:password@]host:port/db", err)
	}
	opts.ContextTimeoutEnabled = true
	opts.DialTimeout = defaultTimeout
	opts.ReadTimeout = defaultTimeout
	opts.WriteTimeout = defaultTimeout
	opts.PoolTimeout = defaultTimeout
	opts.DialerRetries = 1
	opts.MaxRetries = -1
	// No commands of its own on connect: their late replies are how a
	// connection gets out of step (CVE-2025-29923).
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return opts, nil
}
