package interlock

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/interlock-go/interlock/fsm"
)

// Actor returns what is stored of an actor: of oneself, or of anybody for an
// administrator. An actor of whom nothing is stored has Version 0.
func (g *Gate) Actor(ctx context.Context, by Actor, id string) (ActorRecord, error) {
	q, no := g.ask(opActor, by, Ref{ActorMachine, id})
	if no != nil {
		return ActorRecord{}, no
	}
	if !ValidID(id) {
		return ActorRecord{}, notFound()
	}
	_, own, no := g.admin(ctx, q)
	if no != nil && (id != q.actor.ID || no.Stage != StagePolicy) {
		return ActorRecord{}, no
	}
	if id == q.actor.ID && own.Version > 0 {
		return own.own(), nil
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	rec, err := g.cfg.Store.Actor(limited, q.actor.Tenant, id)
	if err != nil {
		return ActorRecord{}, unavailable("store_failed", "the store doesn't answer", err)
	}
	if rec == nil {
		return ActorRecord{Tenant: q.actor.Tenant, ID: id, Active: true}, nil
	}
	return *rec, nil
}

// Grant gives an actor a role in a scope. Only an actor with AdminRole may, or
// the system; never for his own person. The role must be one that a machine
// knows, or AdminRole or AuditorRole in tenant scope. A role that is held already stays as it is.
func (g *Gate) Grant(ctx context.Context, by Actor, id, role string, scope Scope) (ActorRecord, error) {
	return g.changeRole(ctx, by, id, role, scope, "$grant")
}

// Revoke takes a role away in a scope, under the rules of Grant; the last
// administrator stays. When it has returned nil, nothing commits any more on the
// old role; menus may show it as long as the cache keeps facts.
func (g *Gate) Revoke(ctx context.Context, by Actor, id, role string, scope Scope) (ActorRecord, error) {
	return g.changeRole(ctx, by, id, role, scope, "$revoke")
}

func (g *Gate) changeRole(ctx context.Context, by Actor, id, role string, scope Scope, event string) (ActorRecord, error) {
	input := map[string]any{"role": role, "scope": scope.String()}
	return g.change(ctx, by, id, event, input, func(q *question, a *ActorRecord) (bool, *Refusal) {
		at := slices.IndexFunc(a.Grants, func(gr Grant) bool { return gr.Role == role && gr.Scope == scope })
		if event == "$revoke" {
			if at < 0 {
				return false, nil
			}
			a.Grants = slices.Delete(a.Grants, at, at+1)
			return true, nil
		}
		if no := g.grantable(role, scope); no != nil {
			return false, no
		}
		if at >= 0 {
			return false, nil
		}
		a.Grants = append(a.Grants, Grant{Role: role, Scope: scope, Since: q.now, By: q.actor.ID})
		slices.SortFunc(a.Grants, func(x, y Grant) int {
			if c := strings.Compare(x.Role, y.Role); c != 0 {
				return c
			}
			return strings.Compare(x.Scope.String(), y.Scope.String())
		})
		return true, nil
	})
}

// grantable refuses a role that nothing asks for, and a scope that isn't there:
// a misspelt grant would be silent.
func (g *Gate) grantable(role string, scope Scope) *Refusal {
	snap := g.snap.Load()
	bad := func(pointer, msg string) *Refusal {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: msg, Fields: []fsm.FieldError{{Pointer: pointer, Message: msg}}}
	}
	if scope.Machine == "" && scope.ID != "" {
		return bad("/scope", "an instance is named with its machine")
	}
	if scope.Machine != "" {
		m, ok := snap.machines[scope.Machine]
		if !ok {
			return bad("/scope", "there is no machine "+clip(scope.Machine))
		}
		if m.Name() != scope.Machine {
			return bad("/scope", "the machine is called "+m.Name())
		}
		if scope.ID != "" && !ValidID(scope.ID) {
			return bad("/scope", "the instance's id must match [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
		}
	}
	switch {
	case (role == AdminRole || role == AuditorRole) && scope.Machine != "":
		return bad("/scope", role+" is granted for the tenant only")
	case role == AdminRole, role == AuditorRole:
		return nil
	case strings.HasPrefix(role, "interlock:") || role == fsm.Anyone || role == fsm.System:
		return bad("/role", clip(role)+" is reserved and never granted")
	case !snap.roles[role]:
		known := slices.Sorted(maps.Keys(snap.roles))
		return bad("/role", "no machine knows role "+clip(role)+"; there are: "+listOr(known, "none"))
	}
	return nil
}

// SetActor changes attributes (merge patch, RFC 7396; nil: not) and whether the
// actor is active (nil: not), under the rules of Grant. Every attribute must be
// declared by a machine and fit there.
func (g *Gate) SetActor(ctx context.Context, by Actor, id string, attrs map[string]any, active *bool) (ActorRecord, error) {
	patch, err := normalize(attrs)
	if err != nil {
		return ActorRecord{}, &Refusal{Stage: StageInput, Code: "input_invalid", Message: err.Error()}
	}
	if at, found := unlikeText(patch); found {
		return ActorRecord{}, &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the attributes don't fit",
			Fields: []fsm.FieldError{{Pointer: "/attrs" + at, Message: notText}}}
	}
	input := map[string]any{}
	if attrs != nil {
		input["attrs"] = patch
	}
	if active != nil {
		input["active"] = *active
	}
	return g.change(ctx, by, id, "$actor", input, func(_ *question, a *ActorRecord) (bool, *Refusal) {
		before := a.digest()
		if attrs != nil {
			a.Attrs = mergePatch(a.Attrs, patch)
			if wrong := g.attrsFit(patch, a.Attrs); len(wrong) > 0 {
				return false, &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the attributes don't fit", Fields: wrong}
			}
		}
		if active != nil {
			a.Active = *active
		}
		return string(before) != string(a.digest()), nil
	})
}

func (g *Gate) attrsFit(patch, all map[string]any) []fsm.FieldError {
	var wrong []fsm.FieldError
	declared := map[string]bool{}
	for _, m := range g.snap.Load().order {
		s := m.AttrsSchema()
		if s == nil {
			continue
		}
		own := map[string]any{}
		touched := false
		for _, p := range s.Properties() {
			declared[p] = true
			if v, ok := all[p]; ok {
				own[p] = v
			}
			_, in := patch[p]
			touched = touched || in
		}
		if touched {
			wrong = append(wrong, prefixed("/attrs", s.Check(own))...)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(patch)) {
		if !declared[k] {
			wrong = append(wrong, fsm.FieldError{Pointer: "/attrs/" + pointerEscape(k), Message: "no machine declares this attribute"})
		}
	}
	return wrong
}

// Bootstrap grants AdminRole to the actor if the tenant ("" is DefaultTenant)
// has no active administrator; otherwise it does nothing.
func (g *Gate) Bootstrap(ctx context.Context, tenant, id string) error {
	if tenant == "" {
		tenant = DefaultTenant
	}
	const most = 500 // of one page
	for after := ""; ; {
		limited, cancel := g.reading(ctx)
		page, err := g.cfg.Store.Actors(limited, tenant, after, most)
		cancel()
		if err != nil {
			return unavailable("store_failed", "the store doesn't answer", err)
		}
		for _, a := range page {
			if a.Active && a.isAdmin() {
				return nil
			}
			after = a.ID
		}
		if len(page) < most {
			break
		}
	}
	_, err := g.Grant(ctx, SystemActor(tenant, "interlock-bootstrap"), id, AdminRole, Scope{})
	return err
}

func (a *ActorRecord) isAdmin() bool {
	return slices.ContainsFunc(a.Grants, func(gr Grant) bool { return gr.Role == AdminRole && gr.Scope == Scope{} })
}

// admin asks whether who asks may change actors.
func (g *Gate) admin(ctx context.Context, q *question) (epoch string, own ActorRecord, no *Refusal) {
	limited, cancel := g.reading(ctx)
	defer cancel()
	s, err := g.cfg.Store.Load(limited, q.actor.Tenant, Ref{ActorMachine, q.actor.ID}, []string{q.actor.ID})
	if err != nil {
		return "", own, unavailable("store_failed", "the store doesn't answer", err)
	}
	own = ActorRecord{Tenant: q.actor.Tenant, ID: q.actor.ID, Active: true}
	if len(s.Actors) == 1 {
		own = s.Actors[0]
	}
	return s.Epoch, own, g.mayAdminister(q, own)
}

// mayAdminister: an active administrator for himself, or the system.
func (g *Gate) mayAdminister(q *question, own ActorRecord) *Refusal {
	denied := &Refusal{Stage: StagePolicy, Code: "denied", Message: "only an administrator may do this",
		Reasons: []Reason{{Code: "role_required", Message: "Needs role " + AdminRole, Params: map[string]any{"any_of": []string{AdminRole}}}}}
	switch {
	case q.behalf != nil:
		return denied
	case q.actor.Kind == System:
		return nil
	case !own.Active:
		return identity("inactive", "this account is switched off")
	case own.Person != "" && own.Person != q.actor.Person:
		return identity("person_mismatch", "this account belongs to another person than the identity says")
	case !own.isAdmin():
		return denied
	}
	return nil
}

// change commits a change of an actor, under the same predicates as an event:
// the administrator's own row stands in them, too.
func (g *Gate) change(ctx context.Context, by Actor, id, event string, input map[string]any, mutate func(*question, *ActorRecord) (bool, *Refusal)) (ActorRecord, error) {
	q, no := g.ask(opActor, by, Ref{ActorMachine, id})
	if no == nil && !ValidID(id) {
		no = &Refusal{Stage: StageInput, Code: "id_invalid", Message: "an id must match [A-Za-z0-9][A-Za-z0-9._~-]{0,127}"}
	}
	if no != nil {
		return ActorRecord{}, no
	}
	q.event, q.form = event, input
	for look := 1; look <= maxLooks; look++ {
		rec, err := g.changeOnce(ctx, q, id, mutate)
		switch {
		case err == nil:
			g.observed(ctx, q, nil, look, nil)
			return rec, nil
		case errors.Is(err, ErrStale):
			if no = g.keyStands(ctx, q); no == nil {
				continue
			}
		case errors.Is(err, ErrExists):
			no = &Refusal{Stage: StageConflict, Code: "exists", Message: "there is a key of this id already"}
		case errors.Is(err, ErrLastAdmin):
			no = &Refusal{Stage: StagePolicy, Code: "last_admin", Message: "this would leave the tenant without an administrator"}
		case !errors.As(err, &no):
			no = unavailable("store_failed", "the store did not commit", err)
		}
		if no.Code == "store_failed" {
			no = unavailable("store_failed", "nothing was changed: "+no.Message+", and what was granted still holds", no.Cause)
		}
		_, err = g.refuse(ctx, q, nil, look, no)
		return ActorRecord{}, err
	}
	_, err := g.refuse(ctx, q, nil, maxLooks, unavailable("busy", "others changed it at the same time, again and again", nil))
	return ActorRecord{}, err
}

func (g *Gate) changeOnce(ctx context.Context, q *question, id string, mutate func(*question, *ActorRecord) (bool, *Refusal)) (ActorRecord, error) {
	none := ActorRecord{}
	epoch, own, no := g.admin(ctx, q)
	if no != nil {
		return none, no
	}
	limited, cancel := g.reading(ctx)
	defer cancel()
	stored, err := g.cfg.Store.Actor(limited, q.actor.Tenant, id)
	if err != nil {
		return none, unavailable("store_failed", "the store doesn't answer", err)
	}
	prev := ActorRecord{Tenant: q.actor.Tenant, ID: id, Active: true}
	if stored != nil {
		prev = *stored
	}
	if q.actor.Kind != System && (id == q.actor.ID || id == q.actor.Person || prev.Person == q.actor.Person) {
		return none, &Refusal{Stage: StagePolicy, Code: "denied", Message: "nobody changes his own roles",
			Reasons: []Reason{{Code: "own_person", Message: "Another administrator has to do this for you"}}}
	}
	next := prev
	next.Grants, next.Attrs = slices.Clone(prev.Grants), maps.Clone(prev.Attrs)
	changed, no := mutate(q, &next)
	if no != nil {
		return none, no
	}
	if !changed { // asked again, perhaps because the cache could not be told
		prev.ReadsLag = prev.Version > 0 && !g.floor(ctx, epoch, actorKey(prev.Tenant, prev.ID), prev.Version)
		return prev, nil
	}
	c := &Commit{Epoch: epoch, Actor: changeActor(epoch, prev, next, q, q.event, q.form), APIKey: q.apiKey, ByKey: q.actor.apiKey}
	c.KeepAdmin = prev.Active && prev.isAdmin() && !(next.Active && next.isAdmin())
	if q.actor.Kind != System {
		c.Actors = []ActorCheck{{ID: own.ID, Version: own.Version, Digest: own.digest()}}
	}
	if err := g.commit(ctx, c); err != nil {
		return none, err
	}
	c.Actor.Next.ReadsLag = !g.floor(ctx, epoch, actorKey(c.Actor.Next.Tenant, c.Actor.Next.ID), c.Actor.Next.Version)
	return c.Actor.Next.own(), nil
}

// floor makes the cache refuse what is older than the change, before the answer;
// a cache that doesn't answer costs at most its own limit, and commits are safe
// without it. It tells whether the cache has it, or there is none.
func (g *Gate) floor(ctx context.Context, epoch string, key CacheKey, version int64) bool {
	if g.cfg.Cache == nil {
		return true
	}
	g.flights.forget()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := g.cfg.Cache.Floor(ctx, epoch, []CacheEntry{{Key: key, Version: version}}); err != nil {
		g.log.WarnContext(ctx, "interlock: cached facts could not be dropped; menus may show the old until they expire", "error", err)
		g.observe(ctx, Observation{Op: "alarm", Alarm: "cache_not_dropped"})
		return false
	}
	return true
}
