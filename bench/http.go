package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// Routes of the sites.
const (
	appRoute = "/cases/%s/events"
	apiRoute = "/v1/machines/loan/instances/%s/events"
	dryRun   = "?dry_run=true"
)

// web compares what goes through HTTP: decisions, menus of many, and events that
// are durably committed; and how long answers take when the computer is half busy.
func web(ctx context.Context, b *bench) (err error) {
	w, err := newWorld(b.scale.web)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	decide, none, err := w.decide(ctx, b)
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	var fire load
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		f, err := w.fire(ctx, b, kind)
		if err != nil {
			return fmt.Errorf("fire, %s: %w", kind, err)
		}
		if kind == "SQLite" {
			fire = f
		}
	}
	if err := w.alone(ctx, b, fire); err != nil {
		return fmt.Errorf("fire, alone: %w", err)
	}
	return w.halfLoad(ctx, b, decide, fire, none)
}

// load is a loader with what it could do at most.
type load struct {
	loader
	op   func(context.Context, int) error
	most float64 // a second
}

// decide measures decisions that commit nothing. The visitors are those of a site that does nothing at all.
func (w *world) decide(ctx context.Context, b *bench) (load, *visitors, error) {
	idle, err := w.serve(empty(), nil)
	if err != nil {
		return load{}, nil, err
	}
	gates := make([]*interlock.Gate, 2) // without Redis, and with
	sites := make([]*site, 2)
	for i := range gates {
		store, err := w.store(ctx, "SQLite", false)
		if err != nil {
			return load{}, nil, err
		}
		if gates[i], err = w.gate(ctx, store, i == 1); err != nil {
			return load{}, nil, err
		}
		if sites[i], err = w.serve(app(gates[i], byFire)); err != nil {
			return load{}, nil, err
		}
	}
	whole, err := w.serve(api(gates[0]))
	if err != nil {
		return load{}, nil, err
	}
	hand, err := newNaive(ctx, w.redis, "naive-decide:", nil)
	if err != nil {
		return load{}, nil, err
	}
	if err := hand.populate(ctx, w.actors, w.ids); err != nil {
		return load{}, nil, err
	}
	byHand, err := w.serve(hand.handler(), nil)
	if err != nil {
		return load{}, nil, err
	}
	dry := w.eventRequests(appRoute+dryRun, "approve")
	v, none := visiting(sites[0], dry), visiting(idle, dry)
	w.later(func() error { v.close(); none.close(); return nil })
	list := []loader{
		closedLoop("interlock, middleware", v.op),
		w.visit("interlock, middleware, Redis", sites[1], dry),
		w.visit("interlock, server", whole, w.eventRequests(apiRoute+dryRun, "approve")),
		w.visit("Gin, Redis, OPA by hand", byHand, dry),
		closedLoop("empty Gin POST", none.op),
	}
	b.section(fmt.Sprintf("DECIDE over HTTP, %d clients", b.scale.web))
	results, err := contend(ctx, b.scale, b.scale.web, list)
	if err != nil {
		return load{}, nil, err
	}
	b.rates(results)
	for _, r := range results[:3] {
		b.more("DECIDE, "+strings.TrimPrefix(r.name, "interlock, "), r, results[4], atLeast(0.85))
	}
	if err := w.many(ctx, b, whole); err != nil {
		return load{}, nil, fmt.Errorf("many: %w", err)
	}
	return load{list[0], v.op, spreadOf(results[0].rounds).median}, none, nil
}

// many measures the menus of 64 instances in one request. A decision is one event of one instance.
func (w *world) many(ctx context.Context, b *bench, s *site) error {
	var refs []string
	for _, id := range w.ids {
		refs = append(refs, `{"machine":"loan","id":"`+id+`"}`)
	}
	body := `{"instances":[` + strings.Join(refs, ",") + `]}`
	var all [][][]byte
	for c := range w.ids {
		all = append(all, [][]byte{post("/v1/available", w.actors[c], body)})
	}
	one, err := dial(ctx, s.addr)
	if err != nil {
		return err
	}
	defer one.conn.Close()
	answer, err := one.send(all[0][0])
	if err != nil {
		return err
	}
	decisions := float64(strings.Count(string(answer), `"event":"`))
	if decisions < float64(len(refs)) {
		return fmt.Errorf("%v decisions of %d instances", decisions, len(refs))
	}
	results, err := contend(ctx, b.scale, 2, []loader{w.visit("interlock, server, POST /v1/available", s, all)})
	if err != nil {
		return err
	}
	r := result{name: results[0].name}
	for _, rate := range results[0].rounds {
		r.rounds = append(r.rounds, rate*decisions)
	}
	b.section(fmt.Sprintf("Decisions in requests of %d instances (%.0f events), 2 clients", len(refs), decisions))
	b.rates([]result{r})
	b.within("batch of decisions over HTTP", "/s", r, 0.5e6, atLeast(1), "")
	return nil
}

// fireGoal is of events with topdown in the way of each commit; 7 without.
var fireGoal = atLeast(4.5)

// fire measures durable events on a database.
func (w *world) fire(ctx context.Context, b *bench, kind string) (load, error) {
	events := w.eventRequests(appRoute, "withdraw", "submit")
	doing := map[string]func(*middleware.Interlock) gin.HandlerFunc{"SQLite": byDoSQLite, "PostgreSQL": byDoPostgres}[kind]
	var list []loader
	var first *visitors
	for _, c := range []struct {
		name          string
		bound, cached bool
		by            func(*middleware.Interlock) gin.HandlerFunc
	}{
		{"FIRE, " + kind, false, false, byFire},
		{"FIRE, " + kind + ", Redis", false, true, byFire},
		{"FIRE by Do on the app's table, " + kind, true, false, doing},
	} {
		store, err := w.store(ctx, kind, c.bound)
		if err != nil {
			return load{}, err
		}
		g, err := w.gate(ctx, store, c.cached)
		if err != nil {
			return load{}, err
		}
		s, err := w.serve(app(g, c.by))
		if err != nil {
			return load{}, err
		}
		v := visiting(s, events)
		w.later(func() error { v.close(); return nil })
		if first == nil {
			first = v
		}
		list = append(list, closedLoop(c.name, v.op))
	}
	hand, err := w.naive(ctx, kind)
	if err != nil {
		return load{}, err
	}
	list = append(list, w.visit("Gin, Redis, OPA, four statements by hand, "+kind, hand, events))
	if kind == "PostgreSQL" {
		top, err := w.ceiling(ctx)
		if err != nil {
			return load{}, err
		}
		list = append(list, loader{"pgbench, the same writes and nothing else", top.run})
	}
	b.section(fmt.Sprintf("FIRE over HTTP, durable, %s, %d clients", kind, b.scale.web))
	results, err := contend(ctx, b.scale, b.scale.web, list)
	if err != nil {
		return load{}, err
	}
	b.rates(results)
	for _, r := range results[:3] {
		b.more(r.name, r, results[3], fireGoal)
	}
	return load{list[0], first.op, spreadOf(results[0].rounds).median}, nil
}

// naive is the site of the composition by hand, on a database of its own.
func (w *world) naive(ctx context.Context, kind string) (*site, error) {
	var store transitionStore
	if kind == "SQLite" {
		s, err := newNaiveSQLite(ctx, filepath.Join(w.dir, "naive.db"), w.ids)
		if s != nil {
			w.later(s.db.Close)
		}
		if err != nil {
			return nil, err
		}
		store = s
	} else {
		d, err := newDatabase(ctx)
		if err != nil {
			return nil, err
		}
		w.later(d.close)
		if store, err = newNaivePostgres(ctx, d.pool, w.ids); err != nil {
			return nil, err
		}
	}
	n, err := newNaive(ctx, w.redis, "naive-"+kind+":", store)
	if err != nil {
		return nil, err
	}
	if err := n.populate(ctx, w.actors, w.ids); err != nil {
		return nil, err
	}
	return w.serve(n.handler(), nil)
}

// aloneGoal is with topdown in the way of each commit; 2.5 without.
var aloneGoal = atMost(3.5)

// alone compares one client's event on SQLite with one fdatasync of the same disk.
func (w *world) alone(ctx context.Context, b *bench, fire load) error {
	disk, err := newDisk(w.dir)
	if err != nil {
		return err
	}
	w.later(disk.close)
	b.section("FIRE over HTTP, durable, SQLite, alone; and one fdatasync of the same disk")
	results, err := contend(ctx, b.scale, 1, []loader{fire.loader, closedLoop("fdatasync of 4 KiB", disk.op)})
	if err != nil {
		return err
	}
	b.rates(results)
	ours, peer := result{name: "p50", rounds: results[0].p50}, result{name: "one fdatasync, p50", rounds: results[1].p50}
	b.faster("FIRE alone, SQLite", ours, peer, aloneGoal)
	return nil
}

// halfLoad asks at half the rate that was reached, whatever the answers; and, in
// turn, a site that does nothing, at that very rate: what the computer, its clients
// and Go's scheduler add to a latency is in both.
func (w *world) halfLoad(ctx context.Context, b *bench, decide, fire load, none *visitors) error {
	for _, c := range []struct {
		path  string
		load  load
		limit time.Duration
	}{{"DECIDE at half load, p99", decide, 2 * time.Millisecond}, {"FIRE at half load, p99", fire, 5 * time.Millisecond}} {
		var p99, idle result
		b.section(fmt.Sprintf("%s: open loop, %.0f a second, SQLite", c.path, c.load.most/2))
		for range max(1, b.scale.loadRounds/2) {
			for _, one := range []struct {
				name string
				op   func(context.Context, int) error
				into *result
			}{{"ours", c.load.op, &p99}, {"empty Gin POST", none.op, &idle}} {
				taken, err := openLoop(ctx, b.scale.web, c.load.most/2, 3*b.scale.load, one.op)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.path, one.name, err)
				}
				fmt.Fprintf(b.out, "%s: p50 %s, p99 %s, max %s of %d\n", one.name, quantile(taken, 0.5), quantile(taken, 0.99), quantile(taken, 1), len(taken))
				one.into.rounds = append(one.into.rounds, float64(percentile(taken, 0.99))/float64(time.Millisecond))
			}
		}
		b.within(c.path, "ms", p99, float64(c.limit)/float64(time.Millisecond), atMost(1),
			fmt.Sprintf("an empty Gin POST at the same rate, in turn: %s ms", short(spreadOf(idle.rounds).median)))
	}
	return nil
}
