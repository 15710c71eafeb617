package policies

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }
func (b *buffer) String() string              { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// reloads are what the newest reload saw below a directory that is watched: the
// files' texts by their paths, directories as "", and "." where it is there at all.
type reloads struct {
	t   *testing.T
	dir string
	log *buffer

	mu  sync.Mutex
	saw map[string]string
}

// watching runs Watch on a new directory.
func watching(t *testing.T, refused error) *reloads {
	t.Helper()
	r := &reloads{t: t, dir: filepath.Join(t.TempDir(), "policies"), log: &buffer{}}
	require.NoError(t, os.MkdirAll(r.dir, 0o755))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, r.dir, func(context.Context) error { r.look(); return refused }, slog.New(slog.NewTextHandler(r.log, nil)))
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { // until the directory is watched
		write(t, filepath.Join(r.dir, "first.rego"), "package first\n")
		time.Sleep(2 * settle)
		return r.sees(map[string]string{"first.rego": "package first\n"})
	}, patience, time.Millisecond)
	return r
}

func (r *reloads) look() {
	saw := map[string]string{}
	_ = filepath.WalkDir(r.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err // what has gone meanwhile is another reload's
		}
		name, err := filepath.Rel(r.dir, p)
		if err == nil {
			text, _ := os.ReadFile(p)
			saw[name] = string(text)
		}
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saw = saw
}

// sees tells whether the newest reload saw all of want; "-" is what must not be there.
func (r *reloads) sees(want map[string]string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, text := range want {
		if saw, there := r.saw[name]; there == (text == "-") || there && saw != text {
			return false
		}
	}
	return true
}

// expect waits for a reload that sees all of want.
func (r *reloads) expect(want map[string]string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.sees(want) }, patience, time.Millisecond, "%v", want)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func TestWatch(t *testing.T) {
	r := watching(t, nil)
	file, deeper := filepath.Join(r.dir, "a.rego"), filepath.Join("sub", "deeper")
	write(t, file, "package a\n")
	r.expect(map[string]string{"a.rego": "package a\n"})
	write(t, filepath.Join(r.dir, "new"), "package b\n") // as editors do: write another, put it in place
	require.NoError(t, os.Rename(filepath.Join(r.dir, "new"), file))
	r.expect(map[string]string{"a.rego": "package b\n", "new": "-"})
	write(t, file, "package c\n")
	r.expect(map[string]string{"a.rego": "package c\n"})

	require.NoError(t, os.MkdirAll(filepath.Join(r.dir, deeper), 0o755))
	r.expect(map[string]string{deeper: ""})
	write(t, filepath.Join(r.dir, deeper, "b.rego"), "package b\n")
	r.expect(map[string]string{filepath.Join(deeper, "b.rego"): "package b\n"})

	require.NoError(t, os.Remove(file))
	r.expect(map[string]string{"a.rego": "-"})
}

// Several writes are one save, and what is hidden is none.
func TestWatchWaitsUntilItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int64
		events := make(chan fsnotify.Event)
		w := &watch{dir: "policies", notify: &fsnotify.Watcher{Events: events, Errors: make(chan error)}, log: slog.New(slog.DiscardHandler),
			reload: func(context.Context) error { loads.Add(1); return nil }}
		ctx, end := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- w.run(ctx) }()
		loaded := func(after time.Duration) int64 {
			time.Sleep(after)
			synctest.Wait()
			return loads.Load()
		}
		for range 5 {
			require.Zero(t, loaded(settle-1))
			events <- fsnotify.Event{Name: "policies/a.rego", Op: fsnotify.Write}
		}
		require.Zero(t, loaded(settle-1))
		require.EqualValues(t, 1, loaded(1))
		for _, name := range []string{"policies/.a.rego.swp", "policies/a.rego~", "policies/.git/a.rego"} {
			events <- fsnotify.Event{Name: name, Op: fsnotify.Write}
		}
		events <- fsnotify.Event{Name: "policies/a.rego", Op: fsnotify.Chmod}
		require.EqualValues(t, 1, loaded(time.Hour))
		end()
		require.NoError(t, <-done)
	})
}

func TestWatchSurvivesTheDirectoryBeingReplaced(t *testing.T) {
	r := watching(t, nil)
	require.NoError(t, os.Rename(r.dir, r.dir+".old"))
	r.expect(map[string]string{".": "-"})
	require.NoError(t, os.Mkdir(r.dir, 0o755))
	r.expect(map[string]string{".": "", "first.rego": "-"})
	write(t, filepath.Join(r.dir, "a.rego"), "package a\n")
	r.expect(map[string]string{"a.rego": "package a\n"})
}

func TestWatchLogsWhyAReloadWasRefused(t *testing.T) {
	r := watching(t, errors.New("loan.rego:3:1: no good"))
	write(t, filepath.Join(r.dir, "a.rego"), "package a\n")
	r.expect(map[string]string{"a.rego": "package a\n"})
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "loan.rego:3:1: no good") }, patience, time.Millisecond)
	write(t, filepath.Join(r.dir, "a.rego"), "package b\n")
	r.expect(map[string]string{"a.rego": "package b\n"})
}

func TestWatchNeedsADirectory(t *testing.T) {
	require.Error(t, Watch(context.Background(), filepath.Join(t.TempDir(), "missing"), nil, nil))
	file := filepath.Join(t.TempDir(), "a.rego")
	write(t, file, "package a\n")
	require.ErrorContains(t, Watch(context.Background(), file, nil, nil), "not a directory")
}
