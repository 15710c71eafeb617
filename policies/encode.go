package policies

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/interlock-go/interlock"
)

// build is one encoding to values of one evaluator: it counts bytes, and keeps
// the first error.
type build[V any] struct {
	*encoder
	maker[V]
	bytes int
	limit int
	err   error

	// What is being put together: names and values of objects within each other, one
	// after the other. Makers copy them.
	names  []string
	values []V
}

const fewParts, mostParts = 32, 1024 // of which a build that is used again holds room

func newBuild[V any](e *encoder, values maker[V], limit int) *build[V] {
	b, ok := values.builds().Get().(*build[V])
	if !ok {
		b = &build[V]{values: make([]V, 0, fewParts), names: make([]string, 0, fewParts)}
	}
	b.encoder, b.maker, b.limit = e, values, limit
	return b
}

// done gives back what holds nothing any more.
func (b *build[V]) done() {
	names, values := b.names[:cap(b.names)], b.values[:cap(b.values)]
	if len(values) > mostParts || len(names) > mostParts {
		return
	}
	clear(names)
	clear(values)
	pool := b.builds()
	*b = build[V]{names: names[:0], values: values[:0]}
	pool.Put(b)
}

func encode[V any](e *encoder, values maker[V], in *interlock.Input) (out V, err error) {
	var none V
	defer func() {
		if p := recover(); p != nil {
			out, err = none, madeBadly(p)
		}
	}()
	b := newBuild(e, values, maxInputBytes)
	return b.input(in, remembered(b, in.Memo, "input", func(b *build[V]) asked[V] { return b.asked(in) }))
}

func madeBadly(p any) error { return fmt.Errorf("input: making it panicked: %v", p) }

// input is all of it, and the end of the build.
func (b *build[V]) input(in *interlock.Input, rest asked[V]) (V, error) {
	out := b.object("",
		rest.machine,
		b.text("event", in.Event),
		b.object("transition",
			b.text("transition.from", in.Transition.From),
			b.text("transition.to", in.Transition.To),
			b.truth(in.Transition.Override),
			b.members("transition.metadata", in.Transition.Metadata, 1),
		),
		b.rememberedInstance(in),
		rest.actor,
		rest.form,
		rest.note,
		rest.now,
		rest.request,
	)
	err := b.err
	b.done()
	if err != nil {
		var none V
		return none, fmt.Errorf("input: %w", err)
	}
	return out, nil
}

// asked is what all questions of one decision have in common.
type asked[V any] struct{ machine, actor, form, note, now, request V }

// made is a part of the input as it is remembered.
type made[P any] struct {
	part  P
	bytes int
	err   error
}

// remembered is a part of the input, made once for all decisions on it where it
// has somewhere to be kept.
func remembered[V, P any](b *build[V], memo *interlock.Memo, at string, make func(*build[V]) P) P {
	if memo == nil {
		return make(b)
	}
	owner := b.owner(b.encoder)
	var one made[P]
	if kept, ok := memo.Load(owner); ok {
		one, _ = kept.(made[P])
	} else {
		one = alone(newBuild(b.encoder, b.lasting(), b.limit), make)
		memo.Store(owner, one)
	}
	return takes(b, at, &one)
}

// alone makes a part by itself, and ends the build.
func alone[V, P any](b *build[V], make func(*build[V]) P) (one made[P]) {
	one.part = make(b)
	one.bytes, one.err = b.bytes, b.err
	b.done()
	return one
}

// takes counts a part that was made before.
func takes[V, P any](b *build[V], at string, one *made[P]) P {
	if b.err == nil {
		b.err = one.err
	}
	b.add(at, one.bytes)
	return one.part
}

func (b *build[V]) asked(in *interlock.Input) asked[V] {
	return asked[V]{
		machine: b.text("machine", in.Machine),
		actor: b.object("actor",
			b.text("actor.id", in.Actor.ID),
			b.text("actor.person", in.Actor.Person),
			b.text("actor.kind", string(in.Actor.Kind)),
			b.texts("actor.roles", in.Actor.Roles),
			b.members("actor.attrs", in.Actor.Attrs, 1),
			b.members("actor.claims", in.Actor.Claims, 1),
			b.text("actor.on_behalf_of", in.Actor.OnBehalfOf),
		),
		form:    b.members("input", in.Form, 1),
		note:    b.text("note", in.Note),
		now:     b.object("now", b.text("now.rfc3339", in.Now.RFC3339), b.int(in.Now.NS)),
		request: b.object("request", b.text("request.id", in.Request.ID)),
	}
}

func (b *build[V]) rememberedInstance(in *interlock.Input) V {
	return remembered(b, in.Instance.Memo, "instance", func(b *build[V]) V { return b.instance(&in.Instance) })
}

func (b *build[V]) instance(in *interlock.InputInstance) V {
	history := newBuild(b.encoder, b.maker, maxHistoryBytes)
	entered := history.people("instance.entered", &b.states, in.Entered)
	did := history.people("instance.did", &b.did, in.Did)
	actors := history.texts("instance.actors", in.Actors)
	if b.err == nil {
		b.err = history.err
	}
	history.done()
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
		b.lasts(in.Last),
	)
}

// object has the names of a shape, in its order.
func (b *build[V]) object(name string, values ...V) V {
	s := b.shapes[name]
	b.add("", s.size)
	from := len(b.values)
	b.values = append(b.values, values...) // those given stay on the stack
	defer b.drop(from)
	return b.shaped(s, b.values[from:])
}

// drop forgets values that have been put together.
func (b *build[V]) drop(from int) { b.values = b.values[:from] }

// people are those of every declared key, nobody where the instance names none.
// An instance without the object is refused: a rule that asks who was there must
// never find nothing only because it was left out.
func (b *build[V]) people(at string, keys *names, in map[string][]string) V {
	if in == nil {
		return b.fail(at, "is missing")
	}
	b.add(at, keys.size)
	nobody := b.list(nil)
	values := make([]V, len(keys.list))
	for i := range values {
		values[i] = nobody
	}
	for k, list := range in {
		if i, ok := keys.at[k]; ok {
			values[i] = b.texts(at, list)
		}
	}
	return b.shaped(b.shapes[at], values)
}

func (b *build[V]) lasts(in map[string]interlock.InputLast) V {
	const at = "instance.last"
	if in == nil {
		return b.fail(at, "is missing")
	}
	b.add(at, b.last.size+len(b.last.list)*len("personatcount"))
	one := func(l interlock.InputLast) V {
		return b.shaped(b.shapes["last"], []V{b.text(at, l.Person), b.text(at, l.At), b.int(l.Count)})
	}
	values := make([]V, len(b.last.list))
	never := one(interlock.InputLast{}) // one value will do for all events that never happened
	for i := range values {
		values[i] = never
	}
	for k, l := range in {
		if i, ok := b.last.at[k]; ok && l != (interlock.InputLast{}) {
			values[i] = one(l)
		}
	}
	return b.shaped(b.shapes[at], values)
}

func (b *build[V]) fail(at, format string, args ...any) V {
	if b.err == nil {
		b.err = fmt.Errorf("%s %s", at, fmt.Sprintf(format, args...))
	}
	return b.null()
}

const perValue = 3 // bytes besides its own: quotes and a comma

func (b *build[V]) count(at string, n int) { b.add(at, n+perValue) }

func (b *build[V]) add(at string, n int) {
	if b.bytes += n; b.bytes > b.limit && b.err == nil {
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
	from := len(b.values)
	for _, s := range list {
		b.values = append(b.values, b.text(at, s))
	}
	defer b.drop(from)
	return b.list(b.values[from:])
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
	if len(in) == 0 {
		return b.named(nil, nil)
	}
	from, first := len(b.values), len(b.names)
	var kinds map[string]string
	if depth == 1 {
		kinds = b.kinds[at]
	}
	for k := range in {
		b.names = append(b.names, k)
	}
	names := b.names[first:]
	slices.Sort(names) // as both evaluators have them
	for _, k := range names {
		value := b.any(at, in[k], depth)
		if want := kinds[k]; want != "" && b.kind(value) != want {
			b.fail(at, "has a %s as %q, which is declared a %s", b.kind(value), k, want)
		}
		b.sound(at, k)
		b.values = append(b.values, value)
	}
	defer b.drop(from)
	b.names = b.names[:first]
	return b.named(names, b.values[from:])
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
		from := len(b.values)
		for _, one := range v {
			value := b.any(at, one, depth+1)
			b.values = append(b.values, value)
		}
		defer b.drop(from)
		return b.list(b.values[from:])
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
