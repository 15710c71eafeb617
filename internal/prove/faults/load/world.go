// Package load drives a gate through its HTTP server, as clients do, while
// something beside it fails, and keeps a ledger of what they were answered. The
// ledger is then held against the history: what was acknowledged is there, once;
// what was refused isn't; what nobody could tell is there whole or not at all.
package load

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/internal/prove/replayer"
	"github.com/interlock-go/interlock/server"
)

// Config makes a [World]. Store is required.
type Config struct {
	Policy interlock.Policy // nil: the fixture's Rego
	Store  interlock.Store
	DB     *sql.DB         // reads the store's tables for the replayer; nil: it isn't asked
	Prefix string          // of the tables
	Cache  interlock.Cache // nil: none
	Logger *slog.Logger    // nil: nothing is logged
	Listen string          // "": a free port of loopback

	Change func(*interlock.Config)         // nil: as above
	Wrap   func(http.Handler) http.Handler // nil: around nothing
}

// World is a gate behind its HTTP server. A bearer token is the caller's id.
type World struct {
	Gate  *interlock.Gate
	Store interlock.Store
	URL   string
	// Metrics is what the server counts.
	Metrics *server.Metrics

	cfg    Config
	stop   context.CancelFunc
	served chan error
}

// The actors of every world: managers, of whom anybody may do what the loan's
// machine lets a manager do; swingers, who win and lose their role during the
// run; an administrator, and a stranger who has no role at all.
var (
	Managers = []string{"mia", "moe", "max", "may"}
	Swingers = []string{"sue", "sam"}
)

// Who else there is.
const (
	Admin    = "root"
	Stranger = "xavier"
	seeder   = "seed"
)

// Open starts the gate and serves it. Roles and instances are not made: see
// [World.Seed].
func Open(cfg Config) (*World, error) {
	gin.SetMode(gin.ReleaseMode)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Policy == nil {
		cfg.Policy = rego{}
	}
	machines, err := fixture.Machines()
	if err != nil {
		return nil, err
	}
	w := &World{Store: cfg.Store, Metrics: server.NewMetrics(), cfg: cfg, served: make(chan error, 1)}
	gc := interlock.Config{Machines: machines, Policy: cfg.Policy, Store: cfg.Store, Cache: cfg.Cache, Logger: cfg.Logger, Observer: w.Metrics,
		// Of these limits no proof is about, and a busy machine needs long ones.
		PolicyTimeout: 20 * time.Second, ReadTimeout: 30 * time.Second, CommitTimeout: 30 * time.Second, DecisionAge: 20 * time.Second}
	if cfg.Change != nil {
		cfg.Change(&gc)
	}
	g, err := interlock.New(gc)
	if err != nil {
		return nil, err
	}
	w.Gate = g
	if err := w.serve(cfg); err != nil {
		return nil, errors.Join(err, g.Close(context.Background()))
	}
	return w, nil
}

// rego is the fixture's policy, compiled once: under the race detector that takes
// longer than many a fault, and every world has the same.
type rego struct{}

var compiled = sync.OnceValues(func() (interlock.Rules, error) {
	machines, err := fixture.Machines()
	if err != nil {
		return nil, err
	}
	return fixture.Policy().Compile(context.Background(), machines)
})

func (rego) Compile(context.Context, []*fsm.Machine) (interlock.Rules, error) { return compiled() }

func (w *World) serve(cfg Config) error {
	srv, err := server.New(server.Config{Gate: w.Gate, Identity: bearer, Metrics: w.Metrics, Logger: cfg.Logger,
		Ready: []server.Check{{Name: "store", Ask: func(ctx context.Context) error { _, err := w.Store.Epoch(ctx); return err }}}})
	if err != nil {
		return err
	}
	at := cfg.Listen
	if at == "" {
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	w.URL = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	if cfg.Wrap == nil {
		go func() { w.served <- srv.Serve(ctx, l) }()
		return nil
	}
	hs := &http.Server{Handler: cfg.Wrap(srv.Handler()), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = hs.Close()
	}()
	go func() {
		err := hs.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		w.served <- err
	}()
	return nil
}

func bearer(r *http.Request) (interlock.Actor, error) {
	id, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return interlock.Actor{}, server.ErrNoCredentials
	}
	return interlock.Actor{ID: id}, nil
}

// Seed grants the roles and makes n instances, "l0" and on; what is there stays.
func (w *World) Seed(ctx context.Context, n int) error {
	system := interlock.SystemActor("", seeder)
	if err := w.Gate.Bootstrap(ctx, "", Admin); err != nil {
		return err
	}
	for _, id := range Managers {
		if _, err := w.Gate.Grant(ctx, system, id, "manager", interlock.Scope{}); err != nil {
			return fmt.Errorf("grant %s: %w", id, err)
		}
	}
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("l%d", i))
	}
	for _, who := range Swingers {
		ids = append(ids, quiet(who))
	}
	for _, id := range ids {
		_, err := w.Gate.Create(ctx, interlock.Actor{ID: Managers[0]}, interlock.CreateRequest{Machine: fixture.Machine, ID: id, Facts: map[string]any{"amount": 1000}})
		if err != nil && !errors.Is(err, &interlock.Refusal{Stage: interlock.StageConflict, Code: "exists"}) {
			return fmt.Errorf("create: %w", err)
		}
	}
	return nil
}

// Replay decides every committed row once more, without the gate. What it
// returns are violations.
func (w *World) Replay(ctx context.Context) ([]string, error) {
	if w.cfg.DB == nil {
		return nil, nil
	}
	return Replay(ctx, w.cfg.DB, w.cfg.Prefix, w.Gate.Revision(fixture.Machine))
}

// Replay is [World.Replay] of a store whose gate is gone; revisions are those of
// the fixture's rules.
func Replay(ctx context.Context, db *sql.DB, prefix string, revisions ...string) ([]string, error) {
	rules := map[string]*replayer.Rules{}
	for _, r := range revisions {
		rules[r] = fixture.Rules()
	}
	report, err := replayer.Run(ctx, replayer.Source{DB: db, Prefix: prefix, Rules: rules, Systems: []string{seeder, "interlock", "interlock-bootstrap"}})
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, f := range report.Findings {
		bad = append(bad, "replay: "+f.String())
	}
	return bad, nil
}

// Close drains the server and ends the gate; the store and the cache stay.
func (w *World) Close() error {
	w.stop()
	err := <-w.served
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return errors.Join(err, w.Gate.Close(ctx))
}
