package interlock

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// snapshot is all that decisions are made by. It never changes; a new one
// replaces it whole.
type snapshot struct {
	machines map[string]*machine // by name and by slug
	order    []*fsm.Machine      // by name
	rules    Rules               // nil without a policy
	roles    map[string]bool     // all that machines know
}

type machine struct {
	*fsm.Machine
	revision string
	key      any // the name, as sync.Map takes it

	splits [2]sync.Map // of *parts by *fsm.Edge: where a role suffices, and where grants are asked for
}

// Activate replaces machines and rules in one step: calls that have begun finish
// with what they began with, unless they have to be decided again. When it has
// returned nil, nothing commits any more on rules that it retired. On an error nothing has changed for decisions. nil
// machines keeps the machines. moves maps, by machine, states that the new
// definition lacks to states that it has; every instance there is moved, with a
// row of history ($move), and enters nobody.
func (g *Gate) Activate(ctx context.Context, machines []*fsm.Machine, policy Policy, moves map[string]map[string]string) error {
	g.activate.Lock()
	defer g.activate.Unlock()
	if machines == nil {
		machines = g.snap.Load().order
	}
	next, err := compile(ctx, machines, policy)
	if err != nil {
		return err
	}
	for i, m := range next.order {
		if err := g.activateOne(ctx, m, next.revisionOf(m), moves[m.Name()]); err != nil {
			g.restore(ctx, next.order[:i])
			return err
		}
	}
	g.policy = policy
	g.watch.rules.Store(nil)
	g.snap.Store(next)
	return nil
}

func (g *Gate) activateOne(ctx context.Context, m *fsm.Machine, rev Revision, moves map[string]string) error {
	if len(moves) > 0 {
		if err := g.move(ctx, m, rev, moves); err != nil {
			return err
		}
	}
	err := g.cfg.Store.Activate(ctx, rev, max(g.cfg.Grace, 0))
	var in *StatesInUse
	switch {
	case errors.As(err, &in):
		return fmt.Errorf("interlock: activate %s: %w; map each of them to a state that the definition has", m.Name(), err)
	case err != nil:
		return fmt.Errorf("interlock: activate %s: %w", m.Name(), err)
	}
	return nil
}

// restore makes the revisions that decide here active again, after an
// activation that got no further than these machines: else the store would
// refuse what this gate goes on to decide.
func (g *Gate) restore(ctx context.Context, changed []*fsm.Machine) {
	now := g.snap.Load()
	if now == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.cfg.CommitTimeout)
	defer cancel()
	for _, m := range changed {
		former, ok := now.machines[m.Name()]
		if !ok {
			continue
		}
		if err := g.cfg.Store.Activate(ctx, now.revisionOf(former.Machine), max(g.cfg.Grace, 0)); err != nil {
			g.alarm(ctx, "activation_half", "an activation failed and could not be undone; activate a revision again", slog.String("machine", m.Name()), slog.Any("error", err))
		}
	}
}

// Reload compiles the same policy source again and activates what it finds. On
// an error the gate goes on with what it had.
func (g *Gate) Reload(ctx context.Context) error {
	g.activate.Lock()
	policy := g.policy
	g.activate.Unlock()
	return g.Activate(ctx, nil, policy, nil)
}

func compile(ctx context.Context, machines []*fsm.Machine, policy Policy) (*snapshot, error) {
	s := &snapshot{machines: map[string]*machine{}, roles: map[string]bool{}}
	for _, m := range machines {
		if m == nil {
			return nil, errors.New("interlock: a nil machine")
		}
		if _, taken := s.machines[m.Slug()]; taken {
			return nil, fmt.Errorf("interlock: two machines are called %q", m.Slug())
		}
		c := &machine{Machine: m, key: m.Name()}
		s.machines[m.Slug()] = c
		s.order = append(s.order, m)
		for _, r := range m.Roles() {
			s.roles[r] = true
		}
	}
	for _, m := range machines { // a name never hides another machine's slug
		if other, taken := s.machines[m.Name()]; taken && other.Machine != m {
			return nil, fmt.Errorf("interlock: machine %q has the slug of machine %q", other.Name(), m.Name())
		}
		s.machines[m.Name()] = s.machines[m.Slug()]
	}
	slices.SortFunc(s.order, func(a, b *fsm.Machine) int { return strings.Compare(a.Name(), b.Name()) })
	if policy != nil {
		rules, err := policy.Compile(ctx, s.order)
		if err != nil {
			return nil, err
		}
		s.rules = rules
	}
	for _, m := range s.order {
		if missing := s.missing(m); len(missing) > 0 {
			return nil, fmt.Errorf("interlock: machine %s names conditions that no policy defines: %s", m.Name(), strings.Join(missing, ", "))
		}
		s.machines[m.Name()].revision = s.revisionOf(m).ID
	}
	return s, nil
}

// missing are the conditions that a machine names and no rule defines.
func (s *snapshot) missing(m *fsm.Machine) []string {
	var missing []string
	for _, name := range slices.Concat(m.Checks(), m.Grants()) {
		if !s.defines(m.Name(), name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func (s *snapshot) defines(machine, condition string) bool {
	return s.rules != nil && s.rules.Defines(machine, condition)
}

func (s *snapshot) reads(machine, condition string) (form, note bool) {
	if s.rules == nil {
		return false, false
	}
	return s.rules.Reads(machine, condition)
}

func (s *snapshot) revisionOf(m *fsm.Machine) Revision {
	var f fields
	f.str(tagRevision)
	f.str(m.Revision())
	if s.rules != nil {
		f.str(s.rules.Revision(m.Name()))
	}
	r := Revision{Machine: m.Name(), ID: hex.EncodeToString(f.sum()[:16])}
	for _, st := range m.States() {
		r.States = append(r.States, st.Name)
	}
	return r
}

// Machines are the active definitions, sorted by name.
func (g *Gate) Machines() []*fsm.Machine { return slices.Clone(g.snap.Load().order) }

// Machine finds an active definition by name or slug.
func (g *Gate) Machine(name string) (*fsm.Machine, bool) {
	m, ok := g.snap.Load().machines[name]
	if !ok {
		return nil, false
	}
	return m.Machine, true
}

// Revision identifies the machine's definition with its policy, as every
// history row has it; "" for a machine that isn't there.
func (g *Gate) Revision(name string) string {
	if m, ok := g.snap.Load().machines[name]; ok {
		return m.revision
	}
	return ""
}

// move commits $move rows for every instance in a state that the new definition drops.
func (g *Gate) move(ctx context.Context, m *fsm.Machine, rev Revision, states map[string]string) error {
	for from, to := range states {
		if _, ok := m.StateByName(to); !ok {
			return fmt.Errorf("interlock: activate %s: %q is to become %q, which the definition doesn't have", m.Name(), from, to)
		}
		if _, ok := m.StateByName(from); ok {
			return fmt.Errorf("interlock: activate %s: %q is still a state; only states that the definition lacks are mapped", m.Name(), from)
		}
	}
	if err := g.cfg.Store.Accept(ctx, rev, time.Hour); err != nil {
		return fmt.Errorf("interlock: activate %s: %w", m.Name(), err)
	}
	for from, to := range states {
		if err := g.moveAll(ctx, m, rev, from, to); err != nil {
			return fmt.Errorf("interlock: activate %s: move %s to %s: %w", m.Name(), from, to, err)
		}
	}
	return nil
}

// moveAll commits a $move row for every instance of the machine in a state, in
// all tenants. The application's column of a bound machine moves along.
func (g *Gate) moveAll(ctx context.Context, m *fsm.Machine, rev Revision, from, to string) error {
	var found []Head
	for h, err := range g.cfg.Store.Heads(ctx) {
		if err != nil {
			return err
		}
		if h.Instance != nil && h.Machine == m.Name() && h.Instance.State == from {
			found = append(found, h)
		}
	}
	snap := &snapshot{}
	for _, h := range found {
		ref := Ref{h.Machine, h.ID}
		s, err := g.cfg.Store.Load(ctx, h.Tenant, ref, nil)
		if err != nil {
			return fmt.Errorf("instance %s: %w", h.ID, err)
		}
		if s.Instance == nil || s.Instance.State != from {
			continue
		}
		q := &question{op: opFire, actor: SystemActor(h.Tenant, "interlock"), ref: ref, form: map[string]any{}, now: g.now()}
		q.actor.Person, q.tid = q.actor.ID, newID(q.now)
		f := newFacts(snap, &machine{Machine: m, revision: rev.ID}, s, q)
		f.stored = renamed(f.stored, from, to)
		c := g.commitFor(f, q, ruling{event: "$move", from: from, to: to, stay: true})
		c.Instance.PrevState, c.Instance.PrevDigest = from, s.Instance.digest()
		if err := g.commit(ctx, c); err != nil {
			return fmt.Errorf("instance %s: %w", h.ID, err)
		}
	}
	return nil
}

// renamed has the state's key in Entered under its new name.
func renamed(inst *Instance, from, to string) *Instance {
	n := *inst
	n.Entered = cloneSets(inst.Entered)
	for _, p := range n.Entered[from] {
		n.Entered[to] = withMember(n.Entered[to], p)
	}
	delete(n.Entered, from)
	return &n
}
