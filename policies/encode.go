package policies

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// encoder builds a machine's input as the engine's own values, without a trip
// through JSON: numbers stay exact. What is fixed is made once.
type encoder struct {
	states, events []string
	shapes         map[string]*shape // of the objects with fixed names

	// kinds are the declared scalar types of facts, attributes and form fields. The
	// gate has checked them against their schemas; here it is made sure of, since
	// null is less than every number.
	kinds map[string]map[string]string
}

func newEncoder(m *fsm.Machine) *encoder {
	e := &encoder{shapes: map[string]*shape{}}
	for _, s := range m.States() {
		e.states = append(e.states, s.Name)
	}
	for _, ev := range m.Events() {
		e.events = append(e.events, ev.Name)
	}
	for name, fields := range map[string]string{
		"":           "machine event transition instance actor input note now request",
		"transition": "from to override metadata",
		"instance":   "id tenant state version facts created_by created_at since entered did actors last",
		"actor":      "id person kind roles attrs claims on_behalf_of",
		"now":        "rfc3339 ns",
		"request":    "id",
		"last":       "person at count",
	} {
		e.shapes[name] = newShape(strings.Fields(fields))
	}
	e.shapes["states"], e.shapes["events"] = newShape(e.states), newShape(e.events)
	in := inputSchema(m)
	e.kinds = map[string]map[string]string{
		"instance.facts": scalars(in, "instance", "facts"),
		"actor.attrs":    scalars(in, "actor", "attrs"),
		"input":          scalars(in, "input"),
	}
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

// build is one encoding to values of one evaluator: it counts bytes, and keeps
// the first error.
type build[V any] struct {
	*encoder
	maker[V]
	bytes int
	limit int
	err   error
}

func encode[V any](e *encoder, values maker[V], in *interlock.Input) (V, error) {
	b := &build[V]{encoder: e, maker: values, limit: maxInputBytes}
	out := b.object("",
		b.text("machine", in.Machine),
		b.text("event", in.Event),
		b.object("transition",
			b.text("transition.from", in.Transition.From),
			b.text("transition.to", in.Transition.To),
			b.truth(in.Transition.Override),
			b.members("transition.metadata", in.Transition.Metadata, 1),
		),
		b.instance(&in.Instance),
		b.object("actor",
			b.text("actor.id", in.Actor.ID),
			b.text("actor.person", in.Actor.Person),
			b.text("actor.kind", string(in.Actor.Kind)),
			b.texts("actor.roles", in.Actor.Roles),
			b.members("actor.attrs", in.Actor.Attrs, 1),
			b.members("actor.claims", in.Actor.Claims, 1),
			b.text("actor.on_behalf_of", in.Actor.OnBehalfOf),
		),
		b.members("input", in.Form, 1),
		b.text("note", in.Note),
		b.object("now", b.text("now.rfc3339", in.Now.RFC3339), b.int(in.Now.NS)),
		b.object("request", b.text("request.id", in.Request.ID)),
	)
	if b.err != nil {
		var none V
		return none, fmt.Errorf("input: %w", b.err)
	}
	return out, nil
}

func (b *build[V]) instance(in *interlock.InputInstance) V {
	history := &build[V]{encoder: b.encoder, maker: b.maker, limit: maxHistoryBytes}
	entered := history.people("instance.entered", "states", b.states, in.Entered)
	did := history.people("instance.did", "events", b.events, in.Did)
	actors := history.texts("instance.actors", in.Actors)
	if b.err == nil {
		b.err = history.err
	}
	return b.object("instance",
		b.text("instance.id", in.ID),
		b.text("instance.tenant", in.Tenant),
		b.text("instance.state", in.State),
		b.int(in.Version),
		b.members("instance.facts", in.Facts, 1),
		b.text("instance.created_by", in.CreatedBy),
		b.time(in.CreatedAt),
		b.time(in.Since),
		entered,
		did,
		actors,
		b.last(in.Last),
	)
}

// object has the names of a shape, in its order.
func (b *build[V]) object(name string, values ...V) V {
	s := b.shapes[name]
	for _, n := range s.names {
		b.count("", len(n))
	}
	return b.shaped(s, values)
}

// people demands every declared key: a rule that asks who was there must never
// find nothing only because somebody left it out.
func (b *build[V]) people(at, name string, keys []string, in map[string][]string) V {
	values := make([]V, len(keys))
	for i, k := range keys {
		list, ok := in[k]
		if !ok {
			b.fail(at, "lacks %q", k)
		}
		values[i] = b.texts(at, list)
	}
	return b.object(name, values...)
}

func (b *build[V]) last(in map[string]interlock.InputLast) V {
	values := make([]V, len(b.events))
	never, made := b.null(), false // one value will do for all events that never happened
	for i, k := range b.events {
		l, ok := in[k]
		switch {
		case !ok:
			b.fail("instance.last", "lacks %q", k)
		case made && l == (interlock.InputLast{}):
			b.count("", len("personatcount")+4*3)
			values[i] = never
			continue
		}
		values[i] = b.object("last", b.text("instance.last", l.Person), b.text("instance.last", l.At), b.int(l.Count))
		if l == (interlock.InputLast{}) {
			never, made = values[i], true
		}
	}
	return b.object("events", values...)
}

func (b *build[V]) fail(at, format string, args ...any) V {
	if b.err == nil {
		b.err = fmt.Errorf("%s %s", at, fmt.Sprintf(format, args...))
	}
	return b.null()
}

func (b *build[V]) count(at string, n int) {
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

func (b *build[V]) text(at, s string) V {
	if !b.sound(at, s) {
		return b.null()
	}
	return b.words(s)
}

func (b *build[V]) sound(at, s string) bool {
	b.count(at, len(s))
	switch {
	case len(s) > maxStringBytes:
		b.fail(at, "holds a string of %d bytes, at most %d go", len(s), maxStringBytes)
	case !utf8.ValidString(s):
		b.fail(at, "isn't valid UTF-8")
	default:
		return true
	}
	return false
}

func (b *build[V]) texts(at string, list []string) V {
	values := make([]V, len(list))
	for i, s := range list {
		values[i] = b.text(at, s)
	}
	return b.list(values)
}

func (b *build[V]) int(n int64) V {
	b.count("", 8)
	return b.integer(n)
}

// time is RFC 3339 in UTC, to the microsecond, as the database keeps it.
func (b *build[V]) time(t time.Time) V {
	return b.text("instance", t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano))
}

func (b *build[V]) members(at string, in map[string]any, depth int) V {
	names, values := make([]string, 0, len(in)), make([]V, 0, len(in))
	var kinds map[string]string
	if depth == 1 {
		kinds = b.kinds[at]
	}
	for k, v := range in {
		value := b.any(at, v, depth)
		if want := kinds[k]; want != "" && b.kind(value) != want {
			b.fail(at, "has a %s as %q, which is declared a %s", b.kind(value), k, want)
		}
		b.sound(at, k)
		names, values = append(names, k), append(values, value)
	}
	return b.named(names, values)
}

// any takes what decoding JSON gives, and Go's integers.
func (b *build[V]) any(at string, v any, depth int) V {
	if depth > maxInputDepth {
		return b.fail(at, "is nested more than %d deep", maxInputDepth)
	}
	switch v := v.(type) {
	case nil:
		b.count(at, 4)
		return b.null()
	case bool:
		b.count(at, 5)
		return b.truth(v)
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
		values := make([]V, len(v))
		for i, one := range v {
			values[i] = b.any(at, one, depth+1)
		}
		return b.list(values)
	case map[string]any:
		return b.members(at, v, depth+1)
	}
	return b.fail(at, "holds a %T: want what JSON has", v)
}

// number refuses what would take the engine's exact arithmetic seconds and
// gigabytes: 1e999999999 is ten bytes of JSON.
func (b *build[V]) number(at string, n json.Number) V {
	b.count(at, len(n))
	digits, exponent := string(n), "0"
	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		digits, exponent = digits[:i], digits[i+1:]
	}
	e, err := strconv.Atoi(exponent)
	if err != nil || len(digits) > 400 || e > 400 || e < -400 || !isNumber(n) {
		return b.fail(at, "holds a number that is no JSON number of at most 400 digits")
	}
	return b.digits(n)
}

func isNumber(n json.Number) bool {
	return n != "" && (n[0] == '-' || n[0] >= '0' && n[0] <= '9') && n[len(n)-1] > ' ' && json.Valid([]byte(n))
}
