package policies

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"testing/fstest"
	"time"
	_ "time/tzdata" // business hours know their zones in an image without files, too

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown"
)

// Limits of what is read and evaluated.
const (
	DefaultTimeout = time.Second // of one decision whose context has no deadline

	maxInputBytes   = 64 << 10 // besides history
	maxHistoryBytes = 1 << 20  // who was there: apart, so that a crowd can't use up what a request needs
	maxStringBytes  = 4 << 10
	maxInputDepth   = 32
	maxLeaked       = 16
	wall            = 50 * time.Millisecond // from the deadline until an evaluation is abandoned
)

// Source is where Rego and data come from. It implements interlock.Policy; each
// Compile reads it anew. Make it with [Dir], [FS] or [Sources].
//
// Evaluations that run on past their deadline are counted over all rules that
// came from one Source; while there are more than 16 of them, every Decide refuses.
type Source struct {
	open   func() (fs.FS, func(), error)
	name   func(path string) string // how a file is called in diagnostics
	opts   options
	leaked atomic.Int64

	compiling atomic.Int64 // compilations whose caller has gone

	differences atomic.Int64
}

type options struct {
	timeout  time.Duration
	wall     time.Duration
	indexing bool
	builtins map[string]*topdown.Builtin // tests only: an evaluation that can't be cancelled
	decls    []*ast.Builtin

	compiled   bool
	shadow     int64
	difference func(Difference)
}

// Option changes how rules are evaluated.
type Option func(*options)

// Timeout bounds one decision's evaluation, beside the caller's context. Without
// it the context's own deadline counts (a gate sets Config.PolicyTimeout), or
// [DefaultTimeout] where it has none.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if d > 0 {
			o.timeout = d
		}
	}
}

// WithIndexing turns the engine's rule index off (or on, the default). Answers
// must not depend on it; suites run both ways to find out if they do.
func WithIndexing(on bool) Option { return func(o *options) { o.indexing = on } }

// Dir reads a directory and those below it: *.rego (tests, *_test.rego, apart)
// and data documents named data.json, data.yaml or data.yml, which stand under
// data at their directory's path. Hidden files and directories are skipped;
// symbolic links inside are an error.
func Dir(path string, opts ...Option) *Source {
	s := newSource(opts)
	s.name = func(p string) string { return joinName(path, p) }
	s.open = func() (fs.FS, func(), error) {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, nil, err
		}
		return root.FS(), func() { _ = root.Close() }, nil
	}
	return s
}

// FS reads the directory root of a file system, such as an embed.FS, by the rules of [Dir].
func FS(fsys fs.FS, root string, opts ...Option) *Source {
	s := newSource(opts)
	s.name = func(p string) string { return joinName(root, p) }
	s.open = func() (fs.FS, func(), error) {
		sub, err := fs.Sub(fsys, root)
		return sub, func() {}, err
	}
	return s
}

// Sources takes files from memory, by path: for tests and generated rules.
func Sources(files map[string]string, opts ...Option) *Source {
	mem := make(fstest.MapFS, len(files))
	for name, text := range files {
		mem[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return FS(mem, ".", opts...)
}

// Leaked is the number of evaluations that were given up and still run.
func (s *Source) Leaked() int { return int(s.leaked.Load()) }

// Ready is an error while nothing can be decided, because too many evaluations
// run on past their deadline: for the readiness of a server, which should get no
// requests then.
func (s *Source) Ready(context.Context) error {
	if n := s.leaked.Load(); n > maxLeaked {
		return fmt.Errorf("policies: %w: %d", ErrBusy, n)
	}
	return nil
}

func newSource(opts []Option) *Source {
	s := &Source{opts: options{wall: wall, indexing: true, compiled: true, shadow: DefaultShadow, difference: logDifference}}
	for _, o := range opts {
		o(&s.opts)
	}
	return s
}

func joinName(root, p string) string {
	if root == "." || root == "" {
		return p
	}
	if p == "." {
		return root
	}
	return root + "/" + p
}
