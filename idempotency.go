package interlock

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
	"unicode/utf8"
)

// keyLife is how long a completed key is kept: a client that retries later than
// that is decided afresh.
const keyLife = 24 * time.Hour

// lease is how long a reserved key is another's: longer than a request takes
// with all its limits, so that only a crash lets it run out. Should it run out
// under a commit that is still on its way, the token in the commit decides.
func (c *Config) lease() time.Duration {
	return max(30*time.Second, c.HandlerLimit+4*c.CommitTimeout)
}

// withKey takes the idempotency key, and what besides the gate's own belongs to
// the request.
func (q *question) withKey(key string, besides []byte) *Refusal {
	if len(key) > maxKey || !utf8.ValidString(key) || hasControl(key) {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the idempotency key is longer than 255 bytes, or not plain text"}
	}
	q.key, q.besides = key, besides
	return nil
}

func hasControl(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			return true
		}
	}
	return false
}

type outcome struct {
	res   Result
	value any
}

// once carries q out under its idempotency key: reserved before anything is
// decided, completed in the commit, given back when nothing was committed.
func (g *Gate) once(ctx context.Context, q *question, run func() (outcome, error)) (outcome, error) {
	if q.key == "" || q.dryRun {
		return run()
	}
	if done, out, err := g.reserve(ctx, q); done {
		return out, err
	}
	open := true // also where the application's handler panics
	defer func() {
		if open {
			g.release(ctx, q)
		}
	}()
	out, err := run()
	// What may still be committed keeps its key until the lease runs out.
	open = err != nil && !errors.Is(err, &Refusal{Stage: StageUnavailable, Code: "outcome_unknown"})
	return out, err
}

func (q *question) idempotency() Idempotency {
	return Idempotency{Tenant: q.actor.Tenant, Actor: q.actor.ID, Key: q.key, Token: q.tid, Fingerprint: q.fingerprint(),
		Machine: q.ref.Machine, Instance: q.ref.ID, Expires: q.now.Add(keyLife)}
}

// reserve answers for the request where the key is somebody's already.
func (g *Gate) reserve(ctx context.Context, q *question) (done bool, out outcome, err error) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	held, err := g.cfg.Store.Reserve(limited, q.idempotency(), q.now, g.cfg.lease())
	if err == nil && held == nil {
		return false, out, nil
	}
	if err != nil {
		no := unavailable("store_failed", "the store doesn't answer", err)
		if errors.Is(err, ErrBusy) {
			no = unavailable("busy", "the store has too much to write already; nothing was done", err)
		}
		_, err := g.refuse(ctx, q, nil, 1, no)
		return true, out, err
	}
	out, err = g.replay(ctx, q, held)
	return true, out, err
}

func (g *Gate) release(ctx context.Context, q *question) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	if err := g.cfg.Store.Release(ctx, q.idempotency()); err != nil {
		g.log.LogAttrs(ctx, slog.LevelWarn, "interlock: an idempotency key could not be given back; it is free when its lease runs out", slog.Any("error", err))
	}
}

// done finds the same request, carried out under the key by somebody else: the
// lease of this one ran out.
func (g *Gate) done(ctx context.Context, q *question) *Idempotency {
	if q.key == "" || q.dryRun {
		return nil
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	row, err := g.cfg.Store.Idempotent(limited, q.actor.Tenant, q.actor.ID, q.key)
	if err != nil || row == nil || row.Token == q.tid || row.Seq == 0 || string(row.Fingerprint) != string(q.fingerprint()) {
		return nil
	}
	return row
}

// replay answers a request whose key is somebody's: with what was answered then,
// if it is done and the actor may still read the instance.
func (g *Gate) replay(ctx context.Context, q *question, held *Idempotency) (outcome, error) {
	var no *Refusal
	switch {
	case string(held.Fingerprint) != string(q.fingerprint()):
		no = &Refusal{Stage: StageInput, Code: "key_reused", Message: "this idempotency key was used for another request"}
	case held.Seq == 0:
		no = inProgress()
	default:
		return g.stored(ctx, q, held)
	}
	_, err := g.refuse(ctx, q, nil, 1, no)
	return outcome{}, err
}

func inProgress() *Refusal {
	return &Refusal{Stage: StageConflict, Code: "key_in_progress", Message: "a request with this idempotency key is being carried out: ask again for its answer"}
}

// stored is the answer of that time, from history and the image beside the key.
// What was erased of it since is missing.
func (g *Gate) stored(ctx context.Context, q *question, held *Idempotency) (outcome, error) {
	ref := Ref{held.Machine, held.Instance}
	now, err := g.Get(ctx, q.actor, ref)
	if err != nil {
		return outcome{}, err
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	rows, err := g.cfg.Store.History(limited, q.actor.Tenant, ref, held.Seq-1, 1)
	if err != nil || len(rows) != 1 || rows[0].Seq != held.Seq { // another row: that of the answer was archived, by a clock that is days off
		return outcome{}, unavailable("store_failed", "the store doesn't answer", err)
	}
	then := now
	if len(held.Image) > 0 { // a key of an older version has none
		then = Instance{}
		if err := decode(held.Image, &then); err != nil {
			return outcome{}, unavailable("store_failed", "the stored answer can't be read", err)
		}
		if then.Facts = rows[0].Facts; then.Facts == nil {
			then.Facts = map[string]any{}
		}
	}
	out := outcome{res: Result{Instance: then, Transition: rows[0].Transition, Replayed: true}}
	if held.Answer != nil {
		out.value = json.RawMessage(held.Answer)
	}
	return out, nil
}

// imageOf is the instance without what is kept beside its row of history.
func imageOf(i Instance) []byte {
	i.Facts = nil
	b, err := json.Marshal(i)
	if err != nil {
		return nil
	}
	return b
}

// answerOf is a handler's value as it is kept; one that can't be is as none,
// since it can't be answered either.
func answerOf(value any) []byte {
	if value == nil {
		return nil
	}
	b, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return b
}

// sweepPart is how many expired keys one transaction deletes.
const sweepPart = 1000

// sweeper deletes expired keys now and then.
type sweeper struct {
	stop context.CancelFunc
	done chan struct{}
}

func startSweeper(g *Gate) *sweeper {
	ctx, stop := context.WithCancel(context.Background())
	s := &sweeper{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for g.cfg.KeySweep > 0 {
			// Replicas that were started together don't sweep together.
			wait := time.NewTimer(g.cfg.KeySweep/2 + rand.N(g.cfg.KeySweep))
			select {
			case <-ctx.Done():
				wait.Stop()
				return
			case <-wait.C:
				g.sweep(ctx)
			}
		}
	}()
	return s
}

func (g *Gate) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.CommitTimeout)
	defer cancel()
	for range 100 {
		n, err := g.cfg.Store.SweepKeys(ctx, g.now(), sweepPart)
		if err != nil && ctx.Err() == nil {
			g.log.LogAttrs(ctx, slog.LevelWarn, "interlock: expired idempotency keys could not be deleted; they are tried again", slog.Any("error", err))
		}
		if err != nil || n < sweepPart {
			return
		}
	}
}

func (s *sweeper) close() {
	s.stop()
	<-s.done
}
