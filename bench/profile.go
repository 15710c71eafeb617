package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
)

// profile asks for ours alone, decisions and then events on SQLite, by the
// middleware over HTTP, and writes what the processors did and what was
// allocated: decide.cpu.prof, decide.allocs.prof, decide.allocs.before.prof …
// No target hangs on it, so it runs only when it is named.
func profile(ctx context.Context, b *bench) (err error) {
	w, err := newWorld(b.scale.web)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	store, err := w.store(ctx, "SQLite", false)
	if err != nil {
		return err
	}
	g, err := w.gate(ctx, store, false)
	if err != nil {
		return err
	}
	s, err := w.serve(app(g, byFire))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return err
	}
	for _, c := range []struct {
		name     string
		requests [][][]byte
	}{
		{"decide", w.eventRequests(appRoute+dryRun, "approve")},
		{"fire", w.eventRequests(appRoute, "withdraw", "submit")},
	} {
		l := w.visit(c.name, s, c.requests)
		if err := b.profiled(ctx, l); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

func (b *bench) profiled(ctx context.Context, l loader) error {
	if _, err := l.run(ctx, b.scale.web, b.scale.load/10); err != nil {
		return err
	}
	if err := writeProfile("allocs", filepath.Join(b.dir, l.name+".allocs.before.prof")); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(b.dir, l.name+".cpu.prof"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	work, err := l.run(ctx, b.scale.web, 5*b.scale.load)
	pprof.StopCPUProfile()
	fmt.Fprintf(b.out, "%s: %.0f a second while profiled\n", l.name, work.rate)
	return errors.Join(err, f.Close(), writeProfile("allocs", filepath.Join(b.dir, l.name+".allocs.prof")))
}

func writeProfile(name, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup(name).WriteTo(f, 0), f.Close())
}
