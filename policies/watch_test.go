package policies

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }
func (b *buffer) String() string              { b.mu.Lock(); defer b.mu.Unlock(); return b.b.String() }

// watching runs Watch on a new directory and returns it with the reloads seen.
func watching(t *testing.T, reload func() error) (dir string, reloads chan struct{}, log *buffer) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "policies")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	reloads = make(chan struct{}, 100)
	log = &buffer{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- Watch(ctx, dir, func(context.Context) error {
			err := reload()
			reloads <- struct{}{}
			return err
		}, slog.New(slog.NewTextHandler(log, nil)))
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	for { // until the directory is watched
		write(t, filepath.Join(dir, "first.rego"), "package first\n")
		select {
		case <-reloads:
			return dir, reloads, log
		case <-time.After(3 * settle):
		}
	}
}

func expectReload(t *testing.T, reloads chan struct{}) {
	t.Helper()
	select {
	case <-reloads:
	case <-time.After(10 * time.Second):
		t.Fatal("no reload")
	}
}

func expectNoReload(t *testing.T, reloads chan struct{}) {
	t.Helper()
	select {
	case <-reloads:
		t.Fatal("a reload too many")
	case <-time.After(2 * settle):
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func TestWatch(t *testing.T) {
	dir, reloads, _ := watching(t, func() error { return nil })
	file := filepath.Join(dir, "a.rego")

	for range 5 { // several writes are one save
		write(t, file, "package a\n")
	}
	expectReload(t, reloads)
	expectNoReload(t, reloads)

	write(t, filepath.Join(dir, ".a.rego.swp"), "x")
	write(t, filepath.Join(dir, "a.rego~"), "x")
	expectNoReload(t, reloads)

	write(t, filepath.Join(dir, "new"), "package b\n") // as editors do: write another, put it in place
	require.NoError(t, os.Rename(filepath.Join(dir, "new"), file))
	expectReload(t, reloads)
	write(t, file, "package c\n")
	expectReload(t, reloads)

	require.NoError(t, os.MkdirAll(filepath.Join(dir, "sub", "deeper"), 0o755))
	expectReload(t, reloads)
	write(t, filepath.Join(dir, "sub", "deeper", "b.rego"), "package b\n")
	expectReload(t, reloads)

	require.NoError(t, os.Remove(file))
	expectReload(t, reloads)
}

func TestWatchSurvivesTheDirectoryBeingReplaced(t *testing.T) {
	dir, reloads, _ := watching(t, func() error { return nil })
	require.NoError(t, os.Rename(dir, dir+".old"))
	expectReload(t, reloads)
	require.NoError(t, os.Mkdir(dir, 0o755))
	expectReload(t, reloads)
	write(t, filepath.Join(dir, "a.rego"), "package a\n")
	expectReload(t, reloads)
}

func TestWatchLogsWhyAReloadWasRefused(t *testing.T) {
	dir, reloads, log := watching(t, func() error { return errors.New("loan.rego:3:1: no good") })
	write(t, filepath.Join(dir, "a.rego"), "package a\n")
	expectReload(t, reloads)
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "loan.rego:3:1: no good") }, 5*time.Second, 10*time.Millisecond)
	write(t, filepath.Join(dir, "a.rego"), "package b\n")
	expectReload(t, reloads)
}

func TestWatchNeedsADirectory(t *testing.T) {
	require.Error(t, Watch(context.Background(), filepath.Join(t.TempDir(), "missing"), nil, nil))
	file := filepath.Join(t.TempDir(), "a.rego")
	write(t, file, "package a\n")
	require.ErrorContains(t, Watch(context.Background(), file, nil, nil), "not a directory")
}
