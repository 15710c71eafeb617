package crash

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/faults/load"
	"github.com/interlock-go/interlock/internal/prove/fixture"
	"github.com/interlock-go/interlock/store/postgres"
	"github.com/interlock-go/interlock/store/sqlite"
)

// orderEnv makes the test binary the process that is to be killed: a gate behind
// its server, on the store that the order names.
const orderEnv = "INTERLOCK_CRASH_ORDER"

// order is what a child does.
type order struct {
	Store string // path of a SQLite file, or a postgres:// URL
	Seed  int    // instances to make first
	Point string // where it kills itself; "": nowhere
	Left  int    // how many requests pass the point before
	Pause bool   // it stops there and goes on when it is told to, instead of dying
	Bound bool   // loans are the application's own table, and each event leaves a row in its ledger
}

func TestMain(m *testing.M) {
	text := os.Getenv(orderEnv)
	if text == "" {
		goleak.VerifyTestMain(m)
		return
	}
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.run()
	}
	var no *interlock.Refusal
	if errors.As(err, &no) {
		err = fmt.Errorf("%w: %w", err, no.Cause)
	}
	fmt.Println("FAILED", strings.ReplaceAll(fmt.Sprint(err), "\n", " "))
	os.Exit(1)
}

// run serves until the process is killed.
func (o order) run() error {
	ctx := context.Background()
	p := &points{}
	st, _, err := openStore(ctx, o.Store, o.Bound, p)
	if err != nil {
		return err
	}
	var w *load.World
	cfg := load.Config{Policy: load.Plain{}, Store: store{fixture.Wrapped{Store: st}, p}, Change: o.change(p),
		Wrap: func(h http.Handler) http.Handler {
			return p.answers(doing(func() *interlock.Gate { return w.Gate }, p, h))
		}}
	if !o.Bound { // whose points are all to be passed
		cfg.Cache = newCache(p)
	}
	w, err = load.Open(cfg)
	if err == nil && o.Bound {
		err = staff(ctx, w.Gate, "L")
	} else if err == nil {
		err = w.Seed(ctx, o.Seed)
	}
	if err != nil {
		return err
	}
	act := die
	if o.Pause {
		act = pause
	}
	p.arm(o.Point, o.Left, act)
	fmt.Println("READY", os.Getpid(), w.URL, w.Gate.Revision(fixture.Machine))
	select {}
}

// change puts the points in, and for a pause a decision's age that it outlives.
func (o order) change(p *points) func(*interlock.Config) {
	return func(c *interlock.Config) {
		p.hooks(c)
		if o.Pause {
			c.DecisionAge = pauseAge
		}
	}
}

// pause stops the process where it is. The signal may be another thread's to take,
// a while later, so this one waits until it is told to go on.
func pause() error {
	goes := make(chan os.Signal, 1)
	signal.Notify(goes, syscall.SIGCONT)
	defer signal.Stop(goes)
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		return err
	}
	<-goes
	return nil
}

// pauseAge is how old a decision may get where processes pause.
const pauseAge = 2 * time.Second

const applicationTables = `CREATE TABLE IF NOT EXISTS loans (id TEXT PRIMARY KEY, status TEXT NOT NULL, amount BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS ledger (id TEXT PRIMARY KEY, loan TEXT NOT NULL, seq BIGINT NOT NULL, event TEXT NOT NULL);`

// openStore opens either store, with points within the transactions of SQLite.
func openStore(ctx context.Context, where string, bound bool, p *points) (interlock.Store, func() error, error) {
	if strings.HasPrefix(where, "postgres://") {
		return openPostgres(ctx, where, bound)
	}
	if err := register(); err != nil {
		return nil, nil, err
	}
	var opts []sqlite.Option
	if bound {
		opts = append(opts, sqlite.Table(fixture.Machine, "loans", "id", "status", "amount"))
	}
	st, err := sqlite.Open(where, opts...)
	if err != nil {
		return nil, nil, err
	}
	tables := tablePoints
	if bound {
		tables = boundTables
		err = st.Write(ctx, func(tx *sql.Tx) error { _, err := tx.ExecContext(ctx, applicationTables); return err })
	}
	if err == nil {
		err = st.Migrate(ctx)
	}
	if err == nil && p != nil {
		err = p.triggers(ctx, st, tables)
	}
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	return st, st.Close, nil
}

func openPostgres(ctx context.Context, url string, bound bool) (interlock.Store, func() error, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, nil, err
	}
	cfg.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	var opts []postgres.Option
	if bound {
		opts = append(opts, postgres.Table(fixture.Machine, "loans", "id", "status", "amount"))
		if _, err := pool.Exec(ctx, applicationTables, pgx.QueryExecModeSimpleProtocol); err != nil {
			pool.Close()
			return nil, nil, err
		}
	}
	return postgres.New(pool, opts...), func() error { pool.Close(); return nil }, nil
}

// child is a process under an order.
type child struct {
	cmd           *exec.Cmd
	pid           int // not cmd's where a wrapper runs it
	url, revision string
	done          chan struct{} // closed when it has ended
}

// start runs the order in a process of its own, behind wrapper (strace …) where
// there is one, and waits until it serves.
func start(t *testing.T, o order, wrapper ...string) *child {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	argv := append(wrapper, os.Args[0], "-test.run=^$")
	c := &child{cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), orderEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(c.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	words := strings.Fields(line)
	require.True(t, err == nil && len(words) == 4 && words[0] == "READY", "the child says %q (%v)", line, err)
	c.pid, err = strconv.Atoi(words[1])
	require.NoError(t, err)
	c.url, c.revision = words[2], words[3]
	return c
}

// kill is kill -9, and waits for the end.
func (c *child) kill() {
	c.signal(syscall.SIGKILL)
	<-c.done
}

func (c *child) signal(sig syscall.Signal) {
	select {
	case <-c.done: // its id may be somebody else's by now
	default:
		_ = syscall.Kill(c.pid, sig)
	}
}

// ended tells whether it ends by itself within the time.
func (c *child) ended(limit time.Duration) bool {
	select {
	case <-c.done:
		return true
	case <-time.After(limit):
		return false
	}
}
