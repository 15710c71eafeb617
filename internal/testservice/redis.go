package testservice

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// claimLife is how long a database stays claimed after a test process that was
// killed; longer than any test may run.
const claimLife = time.Hour

// StartRedis starts a private Redis that keeps nothing on disk. The caller
// closes it; where the caller dies first, it ends too.
func StartRedis() (*Server, error) {
	binary, ok := findBinary("redis-server")
	if !ok {
		return nil, fmt.Errorf("redis-server is not installed: install it (Debian: apt-get install redis-server), run `make services`, or set %s", RedisEnv)
	}
	return start(spec{
		name:    "redis",
		signal:  "KILL",
		account: ourselves,
		command: func(dir string, port int) []string {
			return []string{binary, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", dir,
				"--databases", "1024", "--save", "", "--appendonly", "no"}
		},
		url: func(port int) string { return fmt.Sprintf("redis://127.0.0.1:%d/0", port) },
		ready: func(ctx context.Context, url string) error {
			if err := listening(ctx, url); err != nil { // go-redis would retry and log each refusal
				return err
			}
			client, err := connectRedis(url, 0)
			if err != nil {
				return err
			}
			defer client.Close()
			return client.Ping(ctx).Err()
		},
	})
}

func listening(ctx context.Context, address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

// claimDatabase finds a numbered database that is empty and that no other test
// uses, also when several test processes share the server. Claims are kept in
// the database of the given URL, which is therefore never handed out itself.
func claimDatabase(server string) (claimed string, release func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	home, err := connectRedis(server, -1)
	if err != nil {
		return "", nil, err
	}
	defer home.Close()
	limit, err := databases(ctx, home)
	if err != nil {
		return "", nil, err
	}
	token := rand.Text()
	for db := range limit {
		if db == home.Options().DB {
			continue
		}
		key := claimKey(db)
		switch err := home.SetArgs(ctx, key, token, redis.SetArgs{Mode: "NX", TTL: claimLife}).Err(); {
		case errors.Is(err, redis.Nil): // somebody else's
			continue
		case err != nil:
			return "", nil, err
		}
		empty, err := isEmpty(ctx, server, db)
		if err != nil {
			return "", nil, errors.Join(err, home.Del(ctx, key).Err())
		}
		if empty {
			return withDatabase(server, db), func() error { return releaseDatabase(server, db, token) }, nil
		}
		if err := home.Del(ctx, key).Err(); err != nil { // holds what we did not write
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("none of the server's %d databases is both empty and free", limit)
}

func releaseDatabase(server string, db int, token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	home, err := connectRedis(server, -1)
	if err != nil {
		return err
	}
	defer home.Close()
	holder, err := home.Get(ctx, claimKey(db)).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if holder != token {
		return fmt.Errorf("the claim on database %d is no longer ours, so it was not flushed", db)
	}
	ours, err := connectRedis(server, db)
	if err != nil {
		return err
	}
	defer ours.Close()
	return errors.Join(ours.FlushDB(ctx).Err(), home.Del(ctx, claimKey(db)).Err())
}

// withDatabase is the URL with another database number. The URL was parsed before.
func withDatabase(address string, db int) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	query := u.Query()
	query.Del("db")
	if u.Scheme == "unix" {
		query.Set("db", strconv.Itoa(db))
	} else {
		u.Path = "/" + strconv.Itoa(db)
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func claimKey(db int) string { return fmt.Sprintf("interlock:test:db:%d", db) }

func databases(ctx context.Context, client *redis.Client) (int, error) {
	config, err := client.ConfigGet(ctx, "databases").Result()
	if err != nil {
		return 0, fmt.Errorf("ask how many databases the server has: %w", err)
	}
	return strconv.Atoi(config["databases"])
}

func isEmpty(ctx context.Context, server string, db int) (bool, error) {
	client, err := connectRedis(server, db)
	if err != nil {
		return false, err
	}
	defer client.Close()
	size, err := client.DBSize(ctx).Result()
	return size == 0, err
}

// connectRedis opens a client of the given database; -1 is the URL's own.
func connectRedis(server string, db int) (*redis.Client, error) {
	options, err := redis.ParseURL(server)
	if err != nil {
		return nil, err
	}
	if db >= 0 {
		options.DB = db
	}
	options.PoolSize, options.MaxRetries, options.DialerRetries = 1, -1, 1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = startLimit, startLimit, startLimit, startLimit // its context's is less
	options.ContextTimeoutEnabled = true
	return redis.NewClient(options), nil
}
