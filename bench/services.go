package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"

	"github.com/interlock-go/interlock/store/rediscache"
)

// The servers that `make bench` starts, by the names that its starter gives them.
const (
	postgresEnv = "INTERLOCK_TEST_POSTGRES_URL"
	redisEnv    = "INTERLOCK_TEST_REDIS_URL"
)

// poolSize is how many connections each contestant has to PostgreSQL, but for
// pgbench, whose clients have one each.
const poolSize = 32

// database is an empty database of PostgreSQL's, dropped when it is closed.
type database struct {
	url  string
	pool *pgxpool.Pool
	drop func() error
}

func newDatabase(ctx context.Context) (*database, error) {
	server := os.Getenv(postgresEnv)
	if server == "" {
		return nil, fmt.Errorf("no PostgreSQL: run `make bench`, or set %s", postgresEnv)
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL", postgresEnv)
	}
	name := "interlock_bench_" + strings.ToLower(rand.Text())
	if err := administer(ctx, server, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"); err != nil {
		return nil, err
	}
	u.Path = "/" + name
	d := &database{url: u.String(), drop: func() error {
		return administer(context.WithoutCancel(ctx), server, "DROP DATABASE "+name+" WITH (FORCE)")
	}}
	if d.pool, err = d.newPool(ctx); err != nil {
		return nil, errors.Join(err, d.drop())
	}
	return d, nil
}

func (d *database) newPool(ctx context.Context) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(d.url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns, cfg.MinConns = poolSize, poolSize
	return pgxpool.NewWithConfig(ctx, cfg)
}

func (d *database) close() error {
	d.pool.Close()
	return d.drop()
}

func administer(ctx context.Context, server, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// newRedis is a client with the options that the cache asks for, of a pool large enough for all clients.
func newRedis() (*redis.Client, error) {
	address := os.Getenv(redisEnv)
	if address == "" {
		return nil, fmt.Errorf("no Redis: run `make bench`, or set %s", redisEnv)
	}
	opts, err := rediscache.Options(address)
	if err != nil {
		return nil, err
	}
	// Connections are made before it counts, all at once: each may take its time.
	opts.PoolSize, opts.MinIdleConns, opts.DialTimeout = 2*poolSize, 2*poolSize, 10*time.Second
	return redis.NewClient(opts), nil
}

// pgbench runs a script with so many clients for whole seconds: some longer than
// asked for, since its time begins before its many clients have connected.
type pgbench struct{ program, url string }

func findPgbench(url string) (pgbench, error) {
	if path, err := exec.LookPath("pgbench"); err == nil {
		return pgbench{path, url}, nil
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/pgbench", "/usr/pgsql-*/bin/pgbench", "/opt/homebrew/opt/postgresql@*/bin/pgbench", "/usr/local/pgsql/bin/pgbench"} {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return pgbench{found[len(found)-1], url}, nil
		}
	}
	return pgbench{}, errors.New("pgbench is neither in PATH nor beside an installed PostgreSQL; it comes with the server (Debian: postgresql)")
}

var tps = regexp.MustCompile(`(?m)^tps = ([\d.]+) \(without initial connection time\)`)

func (p pgbench) run(ctx context.Context, script string, clients int, d time.Duration, variables ...string) (work, error) {
	args := []string{"--no-vacuum", "--protocol=prepared", "--file=" + script, "--client=" + strconv.Itoa(clients), "--jobs=" + strconv.Itoa(min(2, clients)),
		"--time=" + strconv.Itoa(max(1, int(d.Round(time.Second).Seconds()))+clients/64)}
	for _, v := range variables {
		args = append(args, "--define="+v)
	}
	out, err := exec.CommandContext(ctx, p.program, append(args, p.url)...).CombinedOutput()
	if err != nil {
		return work{}, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	found := tps.FindSubmatch(out)
	if found == nil {
		return work{}, fmt.Errorf("pgbench said no rate:\n%s", out)
	}
	rate, err := strconv.ParseFloat(string(found[1]), 64)
	return work{rate: rate}, err
}
