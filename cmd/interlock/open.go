package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/rediscache"
	"github.com/interlock-go/interlock/store/sqlite"
)

// opened is a store with what has to be closed after it.
type opened struct {
	interlock.Store
	name  string // for people, without secrets
	close func() error
	ask   func(context.Context) error // whether it answers; takes no connection from the pool
}

// openStore opens "sqlite:PATH", a path, or a "postgres://" URL.
func openStore(ctx context.Context, where string, opts ...sqlite.Option) (*opened, error) {
	if isPostgres(where) {
		return openPostgres(ctx, where)
	}
	path := strings.TrimPrefix(where, "sqlite:")
	if path == "" {
		return nil, fmt.Errorf("store %q: want sqlite:PATH or a postgres:// URL", where)
	}
	st, err := sqlite.Open(path, opts...)
	if err != nil {
		return nil, err
	}
	return &opened{Store: st, name: "sqlite:" + path, close: st.Close, ask: func(ctx context.Context) error { _, err := st.Epoch(ctx); return err }}, nil
}

// openWitnessed opens a store that keeps its witness in the file; "" is where it
// is kept without one. The options are SQLite's.
func openWitnessed(ctx context.Context, where, witness string, opts ...sqlite.Option) (*opened, error) {
	if isPostgres(where) {
		return openPostgres(ctx, where, postgres.Witness(witness))
	}
	return openStore(ctx, where, append(opts, sqlite.Witness(witness))...)
}

func isPostgres(where string) bool {
	return strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://")
}

func openPostgres(ctx context.Context, url string, opts ...postgres.Option) (*opened, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the PostgreSQL URL can't be read; want postgres://USER:PASSWORD@HOST:PORT/DATABASE")
	}
	name := fmt.Sprintf("postgres://%s:%d/%s", cfg.ConnConfig.Host, cfg.ConnConfig.Port, cfg.ConnConfig.Database)
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	ping, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := pool.Ping(ping); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%s doesn't answer: %w", name, err)
	}
	return &opened{Store: postgres.New(pool, opts...), name: name, close: func() error { pool.Close(); return nil },
		ask: func(ctx context.Context) error { return askPostgres(ctx, cfg.ConnConfig.Copy()) }}, nil
}

// askPostgres has a connection of its own, so that a pool in which all are at
// work doesn't look like a server that is down.
func askPostgres(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(conn.Ping(ctx), conn.Close(ctx))
}

// openCache opens a Redis URL; "" is no cache. Its alarms (an entry that isn't
// what its key says, clocks that differ) go to the log and, unless it is nil, to told.
func openCache(url string, log *slog.Logger, told interlock.Observer) (interlock.Cache, func() error, error) {
	if url == "" {
		return nil, func() error { return nil }, nil
	}
	opts, err := rediscache.Options(url)
	if err != nil {
		return nil, nil, err
	}
	client := redis.NewClient(opts)
	cache := rediscache.New(client, rediscache.Config{Alarm: func(reason string) {
		log.Error("interlock: the cache can't be believed", "alarm", reason)
		if told != nil {
			told.Observe(context.Background(), interlock.Observation{Op: "alarm", Alarm: reason})
		}
	}})
	return cache, func() error { return errors.Join(cache.Close(), client.Close()) }, nil
}

// existing refuses a path at which there is no file: reading commands make none.
func existing(where string) error {
	if strings.Contains(where, "://") {
		return nil
	}
	path := strings.TrimPrefix(where, "sqlite:")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("no store there: %w", err)
	}
	return nil
}
