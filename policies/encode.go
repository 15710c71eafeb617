package policies

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// encoder builds a machine's input as the engine's own values, without a trip
// through JSON: numbers stay exact. The terms of fixed keys are made once.
type encoder struct {
	states, events []keyTerm
	keys           map[string]*ast.Term
	never          *ast.Term // last of an event that never happened

	// kinds are the declared scalar types of facts, attributes and form fields. The
	// gate has checked them against their schemas; here it is made sure of, since
	// null is less than every number.
	kinds map[string]map[string]string
}

type keyTerm struct {
	name string
	term *ast.Term
}

func newEncoder(m *fsm.Machine) *encoder {
	e := &encoder{keys: map[string]*ast.Term{}}
	for _, s := range m.States() {
		e.states = append(e.states, keyTerm{s.Name, ast.StringTerm(s.Name)})
	}
	for _, ev := range m.Events() {
		e.events = append(e.events, keyTerm{ev.Name, ast.StringTerm(ev.Name)})
	}
	for _, k := range strings.Fields(`machine event transition instance actor input note now request from to
		override metadata id tenant state version facts created_by created_at since entered did actors last
		person at count kind roles attrs claims on_behalf_of rfc3339 ns`) {
		e.keys[k] = ast.StringTerm(k)
	}
	in := inputSchema(m)
	e.kinds = map[string]map[string]string{
		"instance.facts": scalars(in, "instance", "facts"),
		"actor.attrs":    scalars(in, "actor", "attrs"),
		"input":          scalars(in, "input"),
	}
	b := build{encoder: e, limit: maxInputBytes}
	e.never = b.object("person", b.text("", ""), "at", b.text("", ""), "count", b.int(0))
	return e
}

// scalars are the properties of one scalar type of the object at the path.
func scalars(s schema, path ...string) map[string]string {
	for _, name := range path {
		props, _ := s["properties"].(schema)
		s, _ = props[name].(schema)
	}
	out := map[string]string{}
	props, _ := s["properties"].(schema)
	for name, v := range props {
		if one, ok := v.(schema); ok && scalar(one) != "" {
			out[name] = scalar(one)
		}
	}
	return out
}

// build is one encoding: it counts bytes, and keeps the first error.
type build struct {
	*encoder
	bytes int
	limit int
	err   error
}

func (e *encoder) encode(in *interlock.Input) (*ast.Term, error) {
	b := &build{encoder: e, limit: maxInputBytes}
	out := b.object(
		"machine", b.text("machine", in.Machine),
		"event", b.text("event", in.Event),
		"transition", b.object(
			"from", b.text("transition.from", in.Transition.From),
			"to", b.text("transition.to", in.Transition.To),
			"override", ast.InternedTerm(in.Transition.Override),
			"metadata", b.members("transition.metadata", in.Transition.Metadata, 1),
		),
		"instance", b.instance(&in.Instance),
		"actor", b.object(
			"id", b.text("actor.id", in.Actor.ID),
			"person", b.text("actor.person", in.Actor.Person),
			"kind", b.text("actor.kind", string(in.Actor.Kind)),
			"roles", b.texts("actor.roles", in.Actor.Roles),
			"attrs", b.members("actor.attrs", in.Actor.Attrs, 1),
			"claims", b.members("actor.claims", in.Actor.Claims, 1),
			"on_behalf_of", b.text("actor.on_behalf_of", in.Actor.OnBehalfOf),
		),
		"input", b.members("input", in.Form, 1),
		"note", b.text("note", in.Note),
		"now", b.object("rfc3339", b.text("now.rfc3339", in.Now.RFC3339), "ns", b.int(in.Now.NS)),
		"request", b.object("id", b.text("request.id", in.Request.ID)),
	)
	if b.err != nil {
		return nil, fmt.Errorf("input: %w", b.err)
	}
	return out, nil
}

func (b *build) instance(in *interlock.InputInstance) *ast.Term {
	history := &build{encoder: b.encoder, limit: maxHistoryBytes}
	entered := history.people("instance.entered", b.states, in.Entered)
	did := history.people("instance.did", b.events, in.Did)
	actors := history.texts("instance.actors", in.Actors)
	if b.err == nil {
		b.err = history.err
	}
	return b.object(
		"id", b.text("instance.id", in.ID),
		"tenant", b.text("instance.tenant", in.Tenant),
		"state", b.text("instance.state", in.State),
		"version", b.int(in.Version),
		"facts", b.members("instance.facts", in.Facts, 1),
		"created_by", b.text("instance.created_by", in.CreatedBy),
		"created_at", b.time(in.CreatedAt),
		"since", b.time(in.Since),
		"entered", entered,
		"did", did,
		"actors", actors,
		"last", b.last(in.Last),
	)
}

func (b *build) object(pairs ...any) *ast.Term {
	terms := make([][2]*ast.Term, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		value, _ := pairs[i+1].(*ast.Term)
		b.count("", len(name))
		terms = append(terms, [2]*ast.Term{b.keys[name], value})
	}
	return ast.ObjectTerm(terms...)
}

// people demands every declared key: a rule that asks who was there must never
// find nothing only because somebody left it out.
func (b *build) people(at string, keys []keyTerm, in map[string][]string) *ast.Term {
	terms := make([][2]*ast.Term, 0, len(keys))
	for _, k := range keys {
		list, ok := in[k.name]
		if !ok {
			b.fail(at, "lacks %q", k.name)
		}
		b.count("", len(k.name))
		terms = append(terms, [2]*ast.Term{k.term, b.texts(at, list)})
	}
	return ast.ObjectTerm(terms...)
}

func (b *build) last(in map[string]interlock.InputLast) *ast.Term {
	terms := make([][2]*ast.Term, 0, len(b.events))
	for _, k := range b.events {
		l, ok := in[k.name]
		if !ok {
			b.fail("instance.last", "lacks %q", k.name)
		}
		b.count("", len(k.name)+30)
		value := b.never
		if l != (interlock.InputLast{}) {
			value = b.object("person", b.text("instance.last", l.Person), "at", b.text("instance.last", l.At), "count", b.int(l.Count))
		}
		terms = append(terms, [2]*ast.Term{k.term, value})
	}
	return ast.ObjectTerm(terms...)
}

func (b *build) fail(at, format string, args ...any) *ast.Term {
	if b.err == nil {
		b.err = fmt.Errorf("%s %s", at, fmt.Sprintf(format, args...))
	}
	return ast.NullTerm()
}

func (b *build) count(at string, n int) {
	if b.bytes += n + 3; b.bytes > b.limit && b.err == nil { // quotes and a comma
		b.err = fmt.Errorf("is larger than %d KiB%s", b.limit>>10, where(at))
	}
}

func where(at string) string {
	if at == "" {
		return ""
	}
	return " (at " + at + ")"
}

func (b *build) text(at, s string) *ast.Term {
	b.count(at, len(s))
	switch {
	case len(s) > maxStringBytes:
		return b.fail(at, "holds a string of %d bytes, at most %d go", len(s), maxStringBytes)
	case !utf8.ValidString(s):
		return b.fail(at, "isn't valid UTF-8")
	}
	return ast.StringTerm(s)
}

func (b *build) texts(at string, list []string) *ast.Term {
	if len(list) == 0 {
		return ast.InternedEmptyArray
	}
	terms := make([]*ast.Term, len(list))
	for i, s := range list {
		terms[i] = b.text(at, s)
	}
	return ast.ArrayTerm(terms...)
}

func (b *build) int(n int64) *ast.Term {
	b.count("", 8)
	return ast.NumberTerm(json.Number(strconv.FormatInt(n, 10)))
}

// time is RFC 3339 in UTC, to the microsecond, as the database keeps it.
func (b *build) time(t time.Time) *ast.Term {
	return b.text("instance", t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano))
}

func (b *build) members(at string, in map[string]any, depth int) *ast.Term {
	if len(in) == 0 {
		return ast.InternedEmptyObject
	}
	terms := make([][2]*ast.Term, 0, len(in))
	var kinds map[string]string
	if depth == 1 {
		kinds = b.kinds[at]
	}
	for k, v := range in {
		term := b.any(at, v, depth)
		if want := kinds[k]; want != "" && ast.ValueName(term.Value) != want {
			b.fail(at, "has a %s as %q, which is declared a %s", ast.ValueName(term.Value), k, want)
		}
		terms = append(terms, [2]*ast.Term{b.text(at, k), term})
	}
	return ast.ObjectTerm(terms...)
}

// any takes what decoding JSON gives, and Go's integers.
func (b *build) any(at string, v any, depth int) *ast.Term {
	if depth > maxInputDepth {
		return b.fail(at, "is nested more than %d deep", maxInputDepth)
	}
	switch v := v.(type) {
	case nil:
		b.count(at, 4)
		return ast.NullTerm()
	case bool:
		b.count(at, 5)
		return ast.InternedTerm(v)
	case string:
		return b.text(at, v)
	case json.Number:
		return b.number(at, v)
	case int:
		return b.int(int64(v))
	case int64:
		return b.int(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b.fail(at, "holds a number that isn't finite")
		}
		return b.number(at, json.Number(strconv.FormatFloat(v, 'g', -1, 64)))
	case []string:
		return b.texts(at, v)
	case []any:
		terms := make([]*ast.Term, len(v))
		for i, one := range v {
			terms[i] = b.any(at, one, depth+1)
		}
		return ast.ArrayTerm(terms...)
	case map[string]any:
		return b.members(at, v, depth+1)
	}
	return b.fail(at, "holds a %T: want what JSON has", v)
}

// number refuses what would take the engine's exact arithmetic seconds and
// gigabytes: 1e999999999 is ten bytes of JSON.
func (b *build) number(at string, n json.Number) *ast.Term {
	b.count(at, len(n))
	digits, exponent := string(n), "0"
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		digits, exponent = digits[:i], digits[i+1:]
	}
	e, err := strconv.Atoi(exponent)
	if err != nil || len(digits) > 400 || e > 400 || e < -400 || !isNumber(n) {
		return b.fail(at, "holds a number that is no JSON number of at most 400 digits")
	}
	return ast.NumberTerm(n)
}

func isNumber(n json.Number) bool {
	return n != "" && (n[0] == '-' || n[0] >= '0' && n[0] <= '9') && n[len(n)-1] > ' ' && json.Valid([]byte(n))
}
