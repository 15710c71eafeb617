package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/heap"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/rediscache"
	"github.com/interlock-go/interlock/store/sqlite"
)

// world opens what the sites of a run need, and closes it in reverse.
type world struct {
	dir    string
	redis  *redis.Client
	actors []string // one a client
	ids    []string
	closes []func() error
}

func newWorld(clients int) (*world, error) {
	gin.SetMode(gin.ReleaseMode)
	w := &world{}
	dir, err := os.MkdirTemp("", "interlock-bench-")
	if err != nil {
		return nil, err
	}
	w.dir = dir
	stop := heap.Room(heap.DefaultRoom()) // as interlock serve does; what is by hand has it, too
	w.later(func() error { stop(); return nil })
	w.later(func() error { return os.RemoveAll(dir) })
	if w.redis, err = newRedis(); err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.later(w.redis.Close)
	for c := range clients {
		w.actors, w.ids = append(w.actors, fmt.Sprintf("ann-%d", c)), append(w.ids, fmt.Sprintf("case-%d", c))
	}
	return w, nil
}

func (w *world) later(f func() error) { w.closes = append(w.closes, f) }

func (w *world) close() error {
	var errs []error
	for i := len(w.closes) - 1; i >= 0; i-- {
		errs = append(errs, w.closes[i]())
	}
	return errors.Join(errs...)
}

// serve gives the handler an address until the world is closed.
func (w *world) serve(handler http.Handler, err error) (*site, error) {
	if err != nil {
		return nil, err
	}
	s, err := newSite(handler)
	if err == nil {
		w.later(s.close)
	}
	return s, err
}

// store opens an SQLite file or a PostgreSQL database of its own, bound to the
// application's table where asked for.
func (w *world) store(ctx context.Context, kind string, bound bool) (interlock.Store, error) {
	const tables = `CREATE TABLE loans (id TEXT PRIMARY KEY, status TEXT NOT NULL);
CREATE TABLE ledger (id TEXT PRIMARY KEY, loan TEXT NOT NULL, event TEXT NOT NULL)`
	const row = `INSERT INTO loans (id, status) VALUES ($1, 'draft')`
	if kind == "PostgreSQL" {
		d, err := newDatabase(ctx)
		if err != nil {
			return nil, err
		}
		w.later(d.close)
		if !bound {
			return postgres.New(d.pool), nil
		}
		_, err = d.pool.Exec(ctx, tables)
		for _, id := range w.ids {
			if err == nil {
				_, err = d.pool.Exec(ctx, row, id)
			}
		}
		return postgres.New(d.pool, postgres.Table(deskMachines[0], "loans", "id", "status")), err
	}
	var opts []sqlite.Option
	if bound {
		opts = append(opts, sqlite.Table(deskMachines[0], "loans", "id", "status"))
	}
	s, err := sqlite.Open(filepath.Join(w.dir, fmt.Sprintf("%d.db", len(w.closes))), opts...)
	if err != nil {
		return nil, err
	}
	w.later(s.Close)
	if bound {
		err = s.Write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, tables)
			for _, id := range w.ids {
				if err == nil {
					_, err = tx.ExecContext(ctx, row, id)
				}
			}
			return err
		})
	}
	return s, err
}

// gate is one on the store, with Redis as its cache where asked for.
func (w *world) gate(ctx context.Context, store interlock.Store, cached bool) (*interlock.Gate, error) {
	var cache interlock.Cache
	if cached {
		c := rediscache.New(w.redis, rediscache.Config{Prefix: fmt.Sprintf("ours-%d:", len(w.closes))})
		w.later(c.Close)
		cache = c
	}
	g, err := deskGate(store, cache)
	if err != nil {
		return nil, err
	}
	w.later(func() error { return g.Close(context.WithoutCancel(ctx)) })
	return g, populate(ctx, g, w.actors, w.ids...)
}

// app is a Gin application with the gate's middleware: its own events, or, where
// bound, with a row of the application's own in the same transaction.
func app(g *interlock.Gate, fire func(*middleware.Interlock) gin.HandlerFunc) (http.Handler, error) {
	r := gin.New()
	il := middleware.New(g, middleware.Config{Logger: quiet(), Actor: func(c *gin.Context) (interlock.Actor, error) { return visitor(c.Request) }})
	il.Group(r.Group("/cases/:id"), deskMachines[0]).POST("/events", fire(il))
	return r, il.Validate(r.Routes()...)
}

func byFire(il *middleware.Interlock) gin.HandlerFunc { return il.Fire() }

const insertLedger = `INSERT INTO ledger (id, loan, event) VALUES ($1, $2, $3)`

func byDoSQLite(il *middleware.Interlock) gin.HandlerFunc {
	return middleware.Do(il, "", func(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
		_, err := tx.ExecContext(ctx, insertLedger, t.ID, t.Instance, t.Event)
		return nil, err
	})
}

func byDoPostgres(il *middleware.Interlock) gin.HandlerFunc {
	return middleware.Do(il, "", func(ctx context.Context, tx pgx.Tx, t interlock.Transition) (any, error) {
		_, err := tx.Exec(ctx, insertLedger, t.ID, t.Instance, t.Event)
		return nil, err
	})
}

// visitor believes a header: who asks is no part of any contestant.
func visitor(r *http.Request) (interlock.Actor, error) {
	return interlock.Actor{ID: r.Header.Get("X-User"), Roles: managerRoles}, nil
}

func api(g *interlock.Gate) (http.Handler, error) {
	s, err := server.New(server.Config{Gate: g, Identity: visitor, Logger: quiet()})
	if err != nil {
		return nil, err
	}
	return s.Handler(), nil
}

// empty reads a JSON body and answers with one: what Gin and this computer can do at most.
func empty() http.Handler {
	r := gin.New()
	r.POST("/cases/:id/events", func(c *gin.Context) {
		var asked struct {
			Event string `json:"event"`
			Note  string `json:"note"`
		}
		if err := c.ShouldBindJSON(&asked); err != nil {
			c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
			return
		}
		c.JSON(http.StatusOK, gin.H{"event": asked.Event})
	})
	return r
}

// eventRequests are what each client asks for again and again: the events in turn, for its own case.
func (w *world) eventRequests(path string, events ...string) [][][]byte {
	var all [][][]byte
	for c := range w.ids {
		var own [][]byte
		for _, e := range events {
			own = append(own, post(fmt.Sprintf(path, w.ids[c]), w.actors[c], `{"event":"`+e+`","note":"as agreed"}`))
		}
		all = append(all, own)
	}
	return all
}

// visit makes a loader of the site's visitors.
func (w *world) visit(name string, s *site, requests [][][]byte) loader {
	v := visiting(s, requests)
	w.later(func() error { v.close(); return nil })
	return closedLoop(name, v.op)
}
