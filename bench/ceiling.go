package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/interlock-go/interlock/store/postgres"
)

// ceiling is pgbench with the single statement.
type ceiling struct {
	pgbench
	d              *database
	prefix, script string
	sample         *caseWriter
	runs           atomic.Int64
}

func newCeiling(d *database, prefix string, like *caseWriter) (*ceiling, error) {
	bench, err := findPgbench(d.url)
	if err != nil {
		return nil, err
	}
	c := &ceiling{pgbench: bench, d: d, prefix: prefix, sample: like}
	text, err := pgbenchScript((&caseWriter{epoch: like.epoch, actor: like.actor, id: "x", version: 1}).next(), prefix)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp("", "interlock-bench-*.sql")
	if err != nil {
		return nil, err
	}
	c.script = f.Name()
	_, err = f.WriteString(text)
	return c, errors.Join(err, f.Close())
}

func (c *ceiling) close() error { return os.Remove(c.script) }

// run makes a case for each client, and afterwards sees that all was written.
func (c *ceiling) run(ctx context.Context, clients int, d time.Duration) (work, error) {
	run := c.runs.Add(1)
	copyCase := strings.ReplaceAll(`INSERT INTO il.instance SELECT tenant, machine, 'p' || $1::bigint || '-' || n, state, 1, facts, entered, did, actors, last,
		created_by, created_at, since, updated_at, head, content_digest FROM il.instance, generate_series(0, $2::bigint - 1) AS n WHERE id = $3`, "il.", c.prefix)
	if _, err := c.d.pool.Exec(ctx, copyCase, run, int64(clients), c.sample.id); err != nil {
		return work{}, err
	}
	w, err := c.pgbench.run(ctx, c.script, clients, d, "v=1", fmt.Sprintf("run=%d", run))
	if err != nil {
		return w, err
	}
	var moved, written int64
	count := strings.ReplaceAll(`SELECT (SELECT sum(version) - count(*) FROM il.instance WHERE id LIKE $1), (SELECT count(*) FROM il.history WHERE instance LIKE $1)`, "il.", c.prefix)
	if err := c.d.pool.QueryRow(ctx, count, fmt.Sprintf("p%d-%%", run)).Scan(&moved, &written); err != nil {
		return w, err
	}
	if written == 0 || moved != written {
		return w, fmt.Errorf("pgbench moved cases %d times and wrote %d rows of history", moved, written)
	}
	return w, nil
}

// ceiling is pgbench on a database of its own, with cases like the others'.
func (w *world) ceiling(ctx context.Context) (*ceiling, error) {
	d, err := newDatabase(ctx)
	if err != nil {
		return nil, err
	}
	w.later(d.close)
	peers, err := openCases(ctx, postgres.New(d.pool), len(w.ids))
	if err != nil {
		return nil, err
	}
	c, err := newCeiling(d, `"interlock".`, peers[0])
	if err == nil {
		w.later(c.close)
	}
	return c, err
}
