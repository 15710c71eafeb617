package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove"
	"github.com/interlock-go/interlock/internal/testservice"
	"github.com/interlock-go/interlock/store/sqlite"
)

var errPoint = errors.New("it failed here")

// The ways in which something happens at a point of a gate in this process.
var ways = []struct {
	name string
	act  func() error
}{
	{"fails", func() error { return errPoint }},
	{"panics", func() error { panic(errPoint) }},
}

// late is a handler that takes longer than it may.
func late() error { time.Sleep(handlerLimit + 100*time.Millisecond); return nil }

// rounds runs the cases over and over until there were n.
func rounds(n int, cases []func()) int {
	for i := range n {
		cases[i%len(cases)]()
	}
	return n
}

// at is a round in which the point fails, panics or is late.
func (d *desk) at(try func(event string) (answered, unknown bool), p *points, point, way string, act func() error) func() {
	return func() {
		d.before = d.look()
		p.arm(point, 0, act)
		answered, unknown := try(d.before.event())
		p.arm("", 0, nil)
		d.judge(point+" "+way, answered, unknown)
	}
}

// The application's row, its column, the instance and the history: both or
// neither, whatever happens wherever.
func TestDoSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "do.db")
	p := &points{}
	n := 0
	func() { // closed before the children open it
		st, closed, err := openStore(t.Context(), path, true, p)
		require.NoError(t, err)
		g := rehearsed(t, st, p)
		d := &desk{t: t, db: st.(*sqlite.Store).DB(), prefix: "interlock_"}
		ask := func(event string) (bool, bool) { return try(t.Context(), g, p, event) }
		n += rounds(prove.Size(40, 160), append(d.cases(ask, p), d.tables(ask, p)...))
		d.replay(g.Revision("loan"))
		require.NoError(t, g.Close(context.Background()))
		require.NoError(t, closed())
		finish(t, "do-bound/sqlite", d, &n, func() (*sql.DB, func()) {
			st, err := sqlite.Open(path)
			require.NoError(t, err)
			return st.DB(), func() { require.NoError(t, st.Close()) }
		}, path, nil, append(append([]string{}, doPoints...), boundTables...))
	}()
}

func TestDoPostgres(t *testing.T) {
	direct := testservice.Postgres(t)
	w := newWire(t, direct)
	p := &points{}
	st, closed, err := openPostgres(t.Context(), w.url, true)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, closed()) })
	g := rehearsed(t, st, p)
	db, err := sql.Open("pgx", direct)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	d := &desk{t: t, db: db, prefix: `"interlock".`}
	ask := func(event string) (bool, bool) { return try(t.Context(), g, p, event) }
	n := rounds(prove.Size(20, 60), d.cases(ask, p))
	cut := d.cuts(ask, w)
	n += rounds(prove.Size(len(cut), 100), cut)
	d.replay(g.Revision("loan"))
	finish(t, "do-bound/postgres", d, &n, func() (*sql.DB, func()) { rests(t, db); return db, func() {} }, w.url, w, doPoints)
}

// cases are the points around the store, the transaction and the handler.
func (d *desk) cases(ask func(string) (bool, bool), p *points) (all []func()) {
	for _, point := range doPoints {
		if point == "answer-begin" {
			continue // there is no server here
		}
		for _, w := range ways {
			all = append(all, d.at(ask, p, point, w.name, w.act))
		}
	}
	return append(all, d.at(ask, p, "handler-begin", "is late", late), d.at(ask, p, "handler-end", "is late", late))
}

// tables are the points within SQLite's transaction: after each table.
func (d *desk) tables(ask func(string) (bool, bool), p *points) (all []func()) {
	for _, table := range boundTables {
		all = append(all, d.at(ask, p, table, "fails", func() error { return errPoint }))
	}
	return all
}

// cuts cuts the connection to PostgreSQL at each message of one request: before it
// is sent, and when the server has answered.
func (d *desk) cuts(ask func(string) (bool, bool), w *wire) (all []func()) {
	var messages int
	for end := time.Now().Add(time.Minute); ; { // a busy machine may take longer than a handler may
		d.before = d.look()
		w.arm(1<<20, false, nil)
		answered, unknown := ask(d.before.event())
		messages, _ = w.disarm()
		rests(d.t, d.db)
		d.judge("one request", answered, unknown)
		if answered {
			break
		}
		require.True(d.t, time.Now().Before(end), "no request is answered")
	}
	d.t.Logf("one request is %d messages", messages)
	require.Greater(d.t, messages, 5)
	for i := range messages {
		for _, back := range []bool{false, true} {
			all = append(all, func() {
				d.before = d.look()
				w.arm(i, back, func() { w.disarm() })
				answered, unknown := ask(d.before.event())
				w.disarm()
				rests(d.t, d.db)
				d.judge(fmt.Sprintf("cut at message %d, answered by the server: %t", i+1, back), answered, unknown)
			})
		}
	}
	return all
}

// finish kills a process at every point, and states the result.
func finish(t *testing.T, claim string, d *desk, n *int, reopen func() (*sql.DB, func()), where string, w *wire, at []string) {
	t.Helper()
	var revision string
	kills := prove.Size(1, 40)
	for i := range kills {
		db, closed := reopen()
		d.db = db
		d.before = d.look()
		closed()
		o := order{Store: where, Bound: true}
		onWire := w != nil && i%2 == 1
		if !onWire {
			o.Point = at[i%len(at)]
			if w != nil {
				o.Point = at[(i/2)%len(at)]
			}
		}
		ch := start(t, o)
		revision = ch.revision
		what := "killed at " + o.Point
		if onWire {
			what = fmt.Sprintf("killed at message %d", i/4+1)
			w.arm(i/4, i%4 == 1, func() { ch.signal(syscall.SIGKILL) })
		}
		resp, err := http.Post(ch.url+"/do/L/"+d.before.event(), "", nil)
		if err == nil {
			_ = resp.Body.Close()
		}
		answered := err == nil && resp.StatusCode == http.StatusOK
		if !ch.ended(2 * time.Minute) {
			t.Errorf("%s: it was never there", what)
			ch.kill()
		}
		if w != nil {
			w.disarm()
		}
		db, closed = reopen()
		d.db = db
		d.judge(what, answered, err != nil)
		closed()
		*n++
	}
	http.DefaultClient.CloseIdleConnections()
	db, closed := reopen()
	defer closed()
	d.db = db
	d.replay(revision)
	prove.Record(t, prove.Row{Claim: claim, Tried: *n, Least: 200, Violations: len(d.bad), Note: fmt.Sprintf("of these %d with the process killed", kills)})
}
