package policies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle = 200 * time.Millisecond // an editor's save is several events
	lookup = time.Second            // between looks for a directory that went away
)

// Watch calls reload when something in the directory or below it has changed
// and then been quiet for 200 ms: for rules, and as well for machine files. It
// blocks until ctx ends and returns nil then; an error says that watching can't
// begin or go on. What reload returns is logged (log may be nil: slog.Default):
// reload must keep what was good, as Gate.Reload does. Hidden files are not watched.
//
//	go policies.Watch(ctx, "policies", gate.Reload, logger)
func Watch(ctx context.Context, dir string, reload func(context.Context) error, log *slog.Logger) error {
	if log == nil {
		log = slog.Default()
	}
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	} else if !info.IsDir() {
		return fmt.Errorf("watch %s: not a directory", dir)
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	w := &watch{dir: filepath.Clean(dir), notify: notify, reload: reload, log: log}
	defer func() { _ = notify.Close() }()
	if err := w.add(w.dir); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return w.run(ctx)
}

type watch struct {
	dir    string
	notify *fsnotify.Watcher
	reload func(context.Context) error
	log    *slog.Logger
}

func (w *watch) run(ctx context.Context) error {
	quiet := time.NewTimer(0)
	if !quiet.Stop() {
		<-quiet.C
	}
	defer quiet.Stop()
	again := time.NewTicker(lookup)
	defer again.Stop()
	gone := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.notify.Events:
			if !ok {
				return errors.New("watch: the watcher was closed")
			}
			if e.Op == fsnotify.Chmod || w.hidden(e.Name) {
				continue
			}
			if filepath.Clean(e.Name) == w.dir && e.Has(fsnotify.Remove|fsnotify.Rename) {
				gone = true
			}
			if e.Has(fsnotify.Create) {
				w.addNew(e.Name)
			}
			quiet.Reset(settle)
		case err, ok := <-w.notify.Errors:
			if !ok {
				return errors.New("watch: the watcher was closed")
			}
			w.log.WarnContext(ctx, "watching missed something, so everything is read again", "dir", w.dir, "error", err)
			quiet.Reset(settle)
		case <-again.C:
			// The directory itself was replaced: watch the new one as soon as it is there.
			if gone && w.add(w.dir) == nil {
				gone = false
				quiet.Reset(settle)
			}
		case <-quiet.C:
			w.load(ctx)
		}
	}
}

func (w *watch) load(ctx context.Context) {
	begin := time.Now()
	if err := w.reload(ctx); err != nil {
		if ctx.Err() == nil {
			w.log.ErrorContext(ctx, "reload refused, what was loaded before stays", "dir", w.dir, "error", err)
		}
		return
	}
	w.log.InfoContext(ctx, "reloaded", "dir", w.dir, "took", time.Since(begin))
}

// add watches a directory and those below it.
func (w *watch) add(dir string) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case p != w.dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		}
		return w.notify.Add(p)
	})
}

// addNew watches a directory that came later. What was written into it before
// needs no event of its own: everything is read again anyway.
func (w *watch) addNew(name string) {
	info, err := os.Lstat(name)
	if err != nil || !info.IsDir() {
		return
	}
	if err := w.add(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.log.Warn("can't watch a new directory", "dir", name, "error", err)
	}
}

func (w *watch) hidden(name string) bool {
	rel, err := filepath.Rel(w.dir, name)
	if err != nil || rel == "." {
		return false
	}
	for _, part := range strings.Split(rel, string(filepath.Separator)) {
		if strings.HasPrefix(part, ".") {
			return true
		}
	}
	return strings.HasSuffix(name, "~")
}
