package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/heap"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) serve() *cobra.Command {
	var flags config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the server (SQLite unless told otherwise)",
		Long: `Run the server. Every setting comes from the configuration file, then from a
variable such as INTERLOCK_LISTEN or INTERLOCK_JWT_ISSUER, then from a flag.
Machine and policy folders are watched: what is right takes effect at once,
what is wrong changes nothing and is logged. SIGHUP forgets the issuers' keys and
every verified token, has the keys anew, and reads the certificate again.

Up to 128 MiB of memory that nobody needs any more gather before they are
collected (an eighth of the container's memory where that is less), so that
answers seldom wait for it. GOGC or GOMEMLIMIT in the environment say otherwise.

The configuration file (--config, or INTERLOCK_CONFIG) with the defaults; a variable is named after the key
(INTERLOCK_JWT_PERSON_CLAIM):

` + configExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd, flags, environ())
			if err != nil {
				return err
			}
			return p.runServe(cmd.Context(), c)
		},
	}
	configFlags(cmd, &flags)
	return cmd
}

func (p *program) runServe(ctx context.Context, c config) error {
	p.err = redacting(p.err, c.secrets()...)
	log := c.logger(p.err)
	who, err := c.identity(ctx, log)
	if err != nil {
		return err
	}
	defer who.close()
	certificate, err := openCertificate(c.TLS)
	if err != nil {
		return err
	}
	machines, err := fsm.LoadDir(c.Machines)
	if err != nil {
		return err
	}
	var policy interlock.Policy
	if c.Policies != "" {
		policy = policies.Dir(c.Policies, policies.WithCompiled(c.Compiled))
	}
	s := &service{log: log, listen: c.Listen, metricsAt: c.Metrics, identity: who.identify, headers: c.headers(), apiKeys: c.APIKeys, certificate: certificate, machines: machines, policy: policy,
		store: c.store(), witness: c.Witness, memory: c.Memory << 20, strict: c.Strict, redis: string(c.Redis)}
	s.maxInFlight, s.maxWaiting, s.waitLimit, s.drainTimeout = c.MaxInFlight, c.MaxWaiting, c.WaitLimit, c.DrainTimeout
	if c.CursorKey != "" {
		s.cursorKey = []byte(c.CursorKey)
	}
	if s.checkpoints, err = c.Checkpoints.open(); err != nil {
		return err
	}
	s.started = func(ctx context.Context, g *interlock.Gate) error {
		if c.Admin != "" {
			return g.Bootstrap(ctx, "", c.Admin)
		}
		return nil
	}
	s.beside = []func(context.Context, *interlock.Gate) error{func(ctx context.Context, g *interlock.Gate) error { return watch(ctx, g, c, policy, log) }}
	anew := []func(context.Context) error{who.purge}
	if certificate != nil {
		anew = append(anew, func(context.Context) error { return certificate.read() })
	}
	s.beside = append(s.beside, func(ctx context.Context, _ *interlock.Gate) error { return s.onHangup(ctx, anew...) })
	return s.run(ctx)
}

// watch activates what changes in the folders, as one step for both.
func watch(ctx context.Context, g *interlock.Gate, c config, policy interlock.Policy, log *slog.Logger) error {
	var one sync.Mutex // the one that reads last activates last
	reload := func(ctx context.Context) error {
		one.Lock()
		defer one.Unlock()
		machines, err := fsm.LoadDir(c.Machines)
		if err != nil {
			return err
		}
		return g.Activate(ctx, machines, policy, nil)
	}
	dirs := []string{c.Machines}
	if c.Policies != "" && filepath.Clean(c.Policies) != filepath.Clean(c.Machines) {
		dirs = append(dirs, c.Policies)
	}
	errs := make(chan error, len(dirs))
	for _, dir := range dirs {
		go func() { errs <- policies.Watch(ctx, dir, reload, log) }()
	}
	var all error
	for range dirs {
		all = errors.Join(all, <-errs)
	}
	return all
}

// service is a server with all that it stands on, for serve and demo.
type service struct {
	log               *slog.Logger
	listen, metricsAt string
	identity          func(*http.Request) (interlock.Actor, error)
	headers           *server.HeaderConfig // nil: none
	apiKeys           bool

	maxInFlight, maxWaiting int
	waitLimit, drainTimeout time.Duration

	certificate  *certificate // nil: no TLS
	machines     []*fsm.Machine
	policy       interlock.Policy
	store, redis string
	witness      string
	memory       int  // bytes of facts that SQLite keeps at hand
	strict       bool // former rules are retired at once
	cursorKey    []byte
	checkpoints  *checkpoints // nil: none are taken

	started func(context.Context, *interlock.Gate) error   // before the first request
	ready   func(addr string)                              // when it listens
	beside  []func(context.Context, *interlock.Gate) error // run until the end
}

func (s *service) run(ctx context.Context) (err error) {
	defer heap.Room(heap.DefaultRoom())()
	st, err := openWitnessed(ctx, s.store, s.witness, sqlite.Memory(s.memory))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	metrics := server.NewMetrics()
	cache, closeCache, err := openCache(s.redis, s.log, metrics)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeCache()) }()
	cfg := interlock.Config{Machines: s.machines, Policy: s.policy, Store: st.Store, Cache: cache, Observer: metrics, Logger: s.log}
	if s.strict {
		cfg.Grace = -1
	}
	g, err := interlock.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, g.Close(end))
	}()
	metrics.Know(g)
	if s.checkpoints != nil {
		s.beside = append(s.beside, func(ctx context.Context, _ *interlock.Gate) error {
			return s.checkpoints.run(ctx, st.Store, metrics, s.log)
		})
	}
	if s.started != nil {
		if err := s.started(ctx, g); err != nil {
			return err
		}
	}
	ready := []server.Check{{Name: "store", Ask: st.ask},
		{Name: "rules", Ask: func(context.Context) error { return g.InForce() }}}
	if source, ok := s.policy.(*policies.Source); ok {
		ready = append(ready, server.Check{Name: "policy", Ask: source.Ready})
		metrics.Abandoned(source.Leaked)
		metrics.Differences(source.Differences)
	}
	srv, err := server.New(server.Config{Gate: g, Identity: s.identity, Headers: s.headers, APIKeys: s.apiKeys, Metrics: metrics, Logger: s.log, CursorKey: s.cursorKey,
		Checkpoints: s.checkpoints.notes(), Ready: ready,
		MaxInFlight: s.maxInFlight, MaxWaiting: s.maxWaiting, WaitLimit: s.waitLimit, DrainTimeout: s.drainTimeout})
	if err != nil {
		return err
	}
	return s.listenAndServe(ctx, g, srv, metrics, st.name)
}

func (s *service) listenAndServe(ctx context.Context, g *interlock.Gate, srv *server.Server, metrics *server.Metrics, store string) error {
	l, err := s.open(ctx)
	if err != nil {
		return err
	}
	side, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	for _, f := range s.beside {
		wg.Go(func() {
			if err := f(side, g); err != nil && side.Err() == nil {
				s.log.Error("what runs beside the server ended; restart to take up changes", "error", err)
			}
		})
	}
	if s.metricsAt != "" {
		if err := s.serveMetrics(side, &wg, metrics); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	s.log.Info("interlock serves", "address", l.Addr().String(), "store", store, "machines", len(s.machines), "version", version)
	if s.ready != nil {
		s.ready(l.Addr().String())
	}
	err = srv.Serve(ctx, l)
	cause := err
	if cause == nil {
		cause = context.Cause(ctx) // names the signal
	}
	s.log.Info("interlock ends", "cause", cause)
	return err
}

func (s *service) serveMetrics(ctx context.Context, wg *sync.WaitGroup, metrics *server.Metrics) error {
	l, err := net.Listen("tcp", s.metricsAt)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	wg.Go(func() {
		if err := hs.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("metrics ended", "error", err)
		}
	})
	wg.Go(func() { <-ctx.Done(); _ = hs.Close() })
	return nil
}
