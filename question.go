package interlock

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

type operation string

const (
	opFire    operation = "fire"
	opCreate  operation = "create"
	opFacts   operation = "facts"
	opRead    operation = "read"
	opMenu    operation = "available"
	opExplain operation = "explain"
	opActor   operation = "actor"
	opErase   operation = "erase"
	opArchive operation = "archive"
	opAudit   operation = "audit"
	opRepair  operation = "repair"
)

// question is one request, parsed once. Everything later (graph, policy,
// fingerprint, history) uses this and nothing else.
type question struct {
	op        operation
	actor     Actor // normalised: tenant, kind and person are set
	behalf    *Actor
	ref       Ref
	event     string
	to        string
	note      string
	form      map[string]any // never nil; for $create and $facts the facts given
	key       string         // idempotency
	ifMatch   []string
	mustBeNew bool   // $create: who finds one has failed a precondition
	besides   []byte // of the application's request, for the fingerprint
	lent      bool   // the answer may share memory: see package lent
	asked     Ref    // $create: as it was asked for, without the id that was made
	id        string // request id
	tid       string // the transition's id, if it comes to one
	dryRun    bool
	rehearsal *decided // a dry run before the transaction puts here what it said: it is no draft, and not observed where it allows
	trace     bool
	frame     *frame // of menus, while they are decided
	now       time.Time
	begun     time.Time      // monotonic
	facts     map[string]any // $create: the first facts; $facts: filled when decided
	apiKey    *APIKey        // stored with the change of its actor
}

// Most that a caller may send, in bytes; a policy's input stays within 64 KiB.
const (
	maxNote = 4 << 10
	maxForm = 48 << 10
	maxKey  = 255
)

// ask normalises the request, or refuses it at identity or input.
func (g *Gate) ask(op operation, actor Actor, ref Ref) (*question, *Refusal) {
	return g.askAs(op, actor, ref, "", false)
}

// askAs is ask of a request that may have an id already, and that may be a dry run,
// of which there will be no transition.
func (g *Gate) askAs(op operation, actor Actor, ref Ref, id string, dry bool) (*question, *Refusal) {
	if no := g.rewound(); no != nil {
		return nil, no
	}
	q := &question{op: op, ref: ref, form: map[string]any{}, id: id[:min(len(id), 128)], dryRun: dry, now: g.now(), begun: time.Now()}
	if id == "" {
		q.id = newID(q.now)
	}
	if !dry {
		q.tid = newID(q.now)
	}
	if m, ok := g.snap.Load().machines[ref.Machine]; ok {
		q.ref.Machine = m.Name() // one instance, by whichever name it is called
	}
	var no *Refusal
	if q.actor, no = normalActor(actor); no != nil {
		return nil, no
	}
	if actor.OnBehalfOf != nil {
		behalf := *actor.OnBehalfOf
		switch {
		case behalf.Kind == System:
			return nil, identity("actor_invalid", "nobody acts on behalf of the host's own code")
		case behalf.OnBehalfOf != nil:
			return nil, identity("actor_invalid", "one person acts on behalf of one other, not of a chain of them")
		case behalf.Tenant != "" && behalf.Tenant != q.actor.Tenant:
			return nil, identity("actor_invalid", "nobody acts on behalf of an actor of another tenant")
		}
		behalf.Tenant = q.actor.Tenant
		b, no := normalActor(behalf)
		if no != nil {
			return nil, no
		}
		if b.ID == q.actor.ID {
			return nil, identity("actor_invalid", "an actor can't act on behalf of itself")
		}
		q.behalf = &b
	}
	return q, nil
}

func normalActor(a Actor) (Actor, *Refusal) {
	if a.ID == "" {
		return a, identity("unauthenticated", "nobody asks: the actor has no id")
	}
	if a.Tenant == "" {
		a.Tenant = DefaultTenant
	}
	if a.Kind == "" {
		a.Kind = User
	}
	a.Person = a.person()
	for _, named := range [...]struct{ what, id string }{{"id", a.ID}, {"tenant", a.Tenant}, {"person", a.Person}} {
		if !ValidID(named.id) {
			return a, identity("actor_invalid", "the actor's "+named.what+" must match [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
		}
	}
	if a.Kind != User && a.Kind != Service && a.Kind != System {
		return a, identity("actor_invalid", "the actor's kind must be user, service or system")
	}
	claims, err := normalize(a.Claims)
	if err != nil {
		return a, identity("actor_invalid", "the actor's claims are not JSON values")
	}
	a.Claims = claims
	return a, nil
}

// fill takes the request's form and texts.
func (q *question) fill(event, to, note string, form map[string]any) *Refusal {
	q.event, q.to, q.note = event, to, note
	var wrong []fsm.FieldError
	bad := func(pointer, message string) {
		wrong = append(wrong, fsm.FieldError{Pointer: pointer, Message: message})
	}
	given := "/input"
	if event == "$create" || event == "$facts" {
		given = "/facts"
	}
	switch {
	case len(note) > maxNote:
		bad("/note", "longer than 4096 bytes")
	case !isText(note):
		bad("/note", notText)
	}
	normal, err := map[string]any{}, error(nil)
	if len(form) > 0 || given != "/input" { // given facts are kept, and are the instance's own
		normal, err = normalize(form)
	}
	if err != nil {
		bad(given, err.Error())
	} else if len(normal) > 0 && len(canonicalJSON(normal)) > maxForm {
		bad(given, "longer than 49152 bytes")
	} else if at, found := unlikeText(normal); found {
		bad(given+at, notText)
	} else if at, found := unlikeText(form); found {
		bad(given+at, notText) // UTF-8 that isn't, which JSON would have replaced
	}
	if wrong != nil {
		return &Refusal{Stage: StageInput, Code: "input_invalid", Message: "the request doesn't fit", Fields: wrong}
	}
	q.form = normal
	return nil
}

const notText = "holds a NUL character, or isn't UTF-8"

// isText: one database refuses NUL and another keeps it, so the gate refuses it on both.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// unlikeText points to the first text in v, a name or a value, that isn't one.
func unlikeText(v any) (pointer string, found bool) {
	switch v := v.(type) {
	case string:
		return "", !isText(v)
	case []any:
		for i, one := range v {
			if at, found := unlikeText(one); found {
				return "/" + strconv.Itoa(i) + at, true
			}
		}
	case map[string]any:
		var few [16]string
		for _, name := range jsonvalue.Names(few[:0], v) {
			if !isText(name) {
				return "", true // the name itself can't stand in a pointer
			}
			if at, found := unlikeText(v[name]); found {
				return "/" + pointerEscape(name) + at, true
			}
		}
	}
	return "", false
}

// fingerprint tells two requests under one idempotency key apart.
func (q *question) fingerprint() []byte {
	f := make(fields, 0, room)
	f.str(tagRequest)
	f.str(string(q.op))
	f.str(q.ref.Machine)
	if q.op == opCreate {
		f.str(q.asked.ID) // asked again, another id would be made
	} else {
		f.str(q.ref.ID)
	}
	f.str(q.event)
	f.str(q.to)
	f.str(q.note)
	f.json(q.form)
	if q.behalf != nil {
		f.str(q.behalf.ID)
		f.str(q.behalf.Person)
	}
	if q.besides != nil {
		f.bytes(q.besides)
	}
	return f.sum()
}

// persons are those whom the act is ascribed to.
func (q *question) persons() []string {
	if q.behalf != nil && q.behalf.Person != q.actor.Person {
		return []string{q.actor.Person, q.behalf.Person}
	}
	return []string{q.actor.Person}
}

// actorIDs are whose rows count, sorted.
func (q *question) actorIDs() []string {
	switch {
	case q.behalf == nil:
		return []string{q.actor.ID}
	case q.behalf.ID < q.actor.ID:
		return []string{q.behalf.ID, q.actor.ID}
	}
	return []string{q.actor.ID, q.behalf.ID}
}

func identity(code, message string) *Refusal {
	return &Refusal{Stage: StageIdentity, Code: code, Message: message}
}

func unavailable(code, message string, cause error) *Refusal {
	return &Refusal{Stage: StageUnavailable, Code: code, Message: message, Cause: cause}
}

func notFound() *Refusal {
	return &Refusal{Stage: StageGraph, Code: "not_found", Message: "there is no such instance, or you may not see it"}
}
