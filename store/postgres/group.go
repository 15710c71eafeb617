package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/sqlstore"
)

// group writes what is queued in one statement, so that one round trip and one
// flush of the log serve all of it. There is no timer that waits for more: a
// commit that finds a place goes at once and by itself, and those that come
// meanwhile go together. There is one place, which makes the largest batches, and
// more while a statement is slow or the queue is long.
//
// Nothing that has a place waits long for a row: what meets one that somebody
// holds leaves its place to the next, and waits aside.
type group struct {
	store  *Store
	batch  string // the statement
	places int

	mu      sync.Mutex
	queue   []*pending
	writing int // places that are taken
	slow    int // of these, by a statement that takes long

	aside chan struct{} // who waits patiently, with a connection
	alone chan struct{} // who goes by himself after a batch, with a connection
}

const (
	// mostPlaces is how many statements of the queue are on their way at once; no
	// more than half of the pool's connections are.
	mostPlaces = 4
	// enough commits make a batch that is worth another place: the price of a
	// statement is shared by then.
	enough = 64
	// long is when a statement's place is counted as free: it may be stuck in a
	// connection that is dead.
	long = 100 * time.Millisecond
	// most is how many commits one statement writes, mostBytes how much of theirs;
	// a commit that is larger goes by itself.
	most      = 256
	mostBytes = 4 << 20
	// mostWaiting is how many wait for their turn; a longer queue would only let
	// them wait beyond their limits.
	mostWaiting = 4096
)

func (g *group) init(s *Store, connections int) {
	half := max(1, connections/2)
	g.store, g.batch, g.places = s, batchStatement(s.schema), min(mostPlaces, half)
	g.aside, g.alone = make(chan struct{}, half), make(chan struct{}, half)
}

// pending is a commit in the queue.
type pending struct {
	commit *interlock.Commit
	args   []any // of the single statement
	ctx    context.Context
	size   int

	flight *flight // once it was taken
	err    error
	alone  bool // certainly not written, and not known why: to be made by itself
	done   chan struct{}
}

// flight is a statement on its way. Its limits are those of its members: it ends
// when nobody waits for it any more.
type flight struct {
	ctx     context.Context
	cancel  context.CancelFunc
	waiting atomic.Int64
}

func (f *flight) leave() {
	if f.waiting.Add(-1) == 0 {
		f.cancel()
	}
}

// commit writes c, with others if there are others.
func (g *group) commit(ctx context.Context, c *interlock.Commit) error {
	args, err := singleArgs(c)
	if err != nil {
		return err
	}
	p := &pending{commit: c, args: args, ctx: ctx, size: sizeOf(args), done: make(chan struct{})}
	switch place, err := g.enter(p); {
	case err != nil:
		return err
	case place:
		return g.patiently(ctx, p, g.first(ctx, p))
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		if g.withdraw(p) {
			return ctx.Err()
		}
		select {
		case <-p.done:
		default:
			if p.flight != nil {
				p.flight.leave()
				return &interlock.UnknownOutcome{Err: ctx.Err()}
			}
			<-p.done // it was taken out already
		}
	}
	err = p.err
	if p.alone {
		err = g.byItself(ctx, p)
	}
	return g.patiently(ctx, p, err)
}

// byItself is for who was not written with others. A statement that failed sends
// all of them here: so many at once that connections remain for everybody else.
func (g *group) byItself(ctx context.Context, p *pending) error {
	select {
	case g.alone <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-g.alone }()
	return g.store.commitSingle(ctx, g.store.single.quick, p.args)
}

// patiently is err, unless a row was held by somebody else: then p waits for it,
// aside of those who needn't, and only so many at once that connections remain for them.
func (g *group) patiently(ctx context.Context, p *pending, err error) error {
	var unknown *interlock.UnknownOutcome
	if !retry(err) || errors.As(err, &unknown) {
		return err
	}
	select {
	case g.aside <- struct{}{}:
	case <-ctx.Done():
		return err
	}
	defer func() { <-g.aside }()
	return g.store.Retry(ctx, func() error { return g.store.commitSingle(ctx, g.store.single.update, p.args) })
}

// enter takes a place, or puts p into the queue.
func (g *group) enter(p *pending) (place bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.queue) == 0 && g.free():
		g.writing++
		return true, nil
	case len(g.queue) >= mostWaiting:
		return false, interlock.ErrBusy
	}
	g.queue = append(g.queue, p)
	g.open()
	return false, nil
}

// free tells whether there is a place; with mu.
func (g *group) free() bool {
	return g.writing < g.places && (g.writing == g.slow || len(g.queue) >= enough)
}

// open lets the queue have a place, if there is one; with mu.
func (g *group) open() {
	if len(g.queue) > 0 && g.free() {
		g.writing++
		go g.drain()
	}
}

// first is the single statement of who found a place; who came meanwhile is next.
func (g *group) first(ctx context.Context, p *pending) error {
	defer func() {
		if g.more() {
			go g.drain()
		}
	}()
	defer g.watch()()
	return g.store.commitSingle(ctx, g.store.single.quick, p.args)
}

// more tells whether the place is needed; when not, it is given back.
func (g *group) more() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) >= enough || len(g.queue) > 0 && g.writing-g.slow == 1 {
		return true
	}
	g.writing--
	return false
}

// watch counts what its caller does as slow from long on, until it ends.
func (g *group) watch() (ended func()) {
	slow := 0
	t := time.AfterFunc(long, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if slow == 0 { // it hasn't ended
			slow++
			g.slow++
			g.open()
		}
	})
	return func() {
		t.Stop()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.slow -= slow
		slow = -1
	}
}

// withdraw takes p out if it still waits.
func (g *group) withdraw(p *pending) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queue, p)
	if i < 0 {
		return false
	}
	g.queue = slices.Concat(g.queue[:i], g.queue[i+1:])
	return true
}

// head is who has waited longest.
func (g *group) head() *pending {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		return nil
	}
	return g.queue[0]
}

// take is what goes next: no two of the same instance or key, since one statement
// writes a row only once.
func (g *group) take() (batch []*pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	instances, keys := map[[3]string]bool{}, map[[3]string]bool{{}: false}
	var rest []*pending
	size := 0
	for i, p := range g.queue {
		if len(batch) == most || i == 2*most {
			rest = append(rest, g.queue[i:]...)
			break
		}
		instance, key := instanceOf(p.commit), keyOf(p.commit)
		if instances[instance] || keys[key] || len(batch) > 0 && size+p.size > mostBytes {
			rest = append(rest, p)
			continue
		}
		instances[instance], keys[key] = true, p.commit.Idempotency != nil
		batch, size = append(batch, p), size+p.size
	}
	g.queue = rest
	if len(batch) == 0 {
		return nil
	}
	f := &flight{}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.waiting.Store(int64(len(batch)))
	for _, p := range batch {
		p.flight = f
	}
	return batch
}

// drain writes until nobody waits. The connection comes first, then the batch:
// who came while we waited for it comes along. It is waited for as long as the
// first of the queue waits.
func (g *group) drain() {
	for g.more() {
		head := g.head()
		if head == nil {
			continue
		}
		began := false
		ended := g.watch()
		err := g.store.db.onConn(head.ctx, func(conn sqlstore.Conn) error {
			began = true
			g.land(g.take(), func(batch []*pending) { g.write(conn, batch) })
			return nil
		})
		ended()
		if !began && head.ctx.Err() == nil { // there is no connection: certainly nothing was written
			g.land(g.take(), func(batch []*pending) {
				for _, p := range batch {
					p.err = err
				}
			})
		}
		if !began && head.ctx.Err() != nil && g.withdraw(head) {
			head.err = head.ctx.Err()
			close(head.done)
		}
	}
}

// land answers a batch.
func (g *group) land(batch []*pending, write func([]*pending)) {
	if len(batch) == 0 {
		return
	}
	defer batch[0].flight.cancel()
	write(batch)
	for _, p := range batch {
		close(p.done)
	}
}

// write puts each commit's own outcome into it.
func (g *group) write(conn sqlstore.Conn, batch []*pending) {
	if len(batch) == 1 {
		p := batch[0]
		defer func() {
			if r := recover(); r != nil { // it must not end the process
				p.err = &interlock.UnknownOutcome{Err: fmt.Errorf("commit: %v", r)}
			}
		}()
		p.err = g.store.sendSingle(p.ctx, conn, g.store.single.quick, p.args)
		return
	}
	slices.SortFunc(batch, byInstance)
	written, err := g.send(batch[0].flight.ctx, conn, batch)
	var unknown *interlock.UnknownOutcome
	for i, p := range batch {
		switch {
		case errors.As(err, &unknown):
			p.err = &interlock.UnknownOutcome{Err: unknown.Err}
		default:
			p.alone = err != nil || !written[i]
		}
	}
}

// send tells which of a batch were written. Its error is everybody's: what one
// of them brought about isn't told, so each tries by itself.
func (g *group) send(ctx context.Context, conn sqlstore.Conn, batch []*pending) (written []bool, err error) {
	defer func() {
		if p := recover(); p != nil { // it must not end the others' work
			err = &interlock.UnknownOutcome{Err: fmt.Errorf("commit: %v", p)}
		}
	}()
	rows, err := conn.Query(ctx, g.batch, batchArgs(batch)...)
	if err != nil {
		return nil, outcome(err)
	}
	defer rows.Close()
	written = make([]bool, len(batch))
	for rows.Next() {
		var n int64
		if err = rows.Scan(&n); err != nil {
			break
		}
		written[n-1] = true
	}
	rows.Close()
	return written, outcome(errors.Join(rows.Err(), err))
}

// sizeOf is about how much is sent.
func sizeOf(args []any) (n int) {
	for _, a := range args {
		switch a := a.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		}
	}
	return n
}
