package postgres

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// elsewhere is what a commit may hold though the statements aren't sent it, and why
// that loses nothing.
var elsewhere = map[string]string{
	"Bound.From":  "the application's row is sqlstore's to compare and set, after the statement",
	"Bound.To":    "as Bound.From",
	"Bound.Facts": "as Bound.From",

	"Revision.Machine": "sqlstore.Check: that of Instance.Next",
	"Revision.States":  "of the revision's row, which was written when it was activated",
	"Revision.Status":  "as Revision.States: the row's own is asked",
	"Revision.Since":   "as Revision.States",

	"Instance.Record.Transition.Tenant":   "sqlstore.Check: that of Instance.Next",
	"Instance.Record.Transition.Machine":  "as its Tenant",
	"Instance.Record.Transition.Instance": "as its Tenant",
	"Instance.Record.Erased":              "said of rows that are read",
	"Instance.Record.Stamp":               "set by the database",

	"Idempotency.Tenant":      "sqlstore.Check: that of Instance.Record",
	"Idempotency.Machine":     "as its Tenant",
	"Idempotency.Instance":    "as its Tenant",
	"Idempotency.Fingerprint": "kept since the key was reserved; its token stands for it",
}

// TestEveryFieldOfACommitIsSent: each is a parameter of the single statement and of
// the batch, or keeps the commit from both. A field that nobody thought of here
// would be lost without a word.
func TestEveryFieldOfACommitIsSent(t *testing.T) {
	fields := sentFields{t: t, used: map[string]bool{}}
	fields.walk("", reflect.TypeFor[interlock.Commit](), func(c *interlock.Commit) reflect.Value { return reflect.ValueOf(c).Elem() })
	for _, name := range slices.Sorted(maps.Keys(elsewhere)) {
		assert.True(t, fields.used[name], "elsewhere speaks of %s, which is sent, or refused, or not there", name)
	}
	bound := fitting(t)
	require.True(t, new(single).whole(bound))
	bound.Bound = &interlock.BoundChange{From: "new", To: "open"}
	require.False(t, new(single).whole(bound), "the application's row needs a transaction")
}

type sentFields struct {
	t    *testing.T
	used map[string]bool // of elsewhere
}

// walk tries each field of a struct, which find finds in a commit. What a fitting
// commit lacks may be refused; of what it has, each field counts.
func (s sentFields) walk(path string, of reflect.Type, find func(*interlock.Commit) reflect.Value) {
	for i := range of.NumField() {
		name := strings.TrimPrefix(path+"."+of.Field(i).Name, ".")
		field := func(c *interlock.Commit) reflect.Value { return find(c).Field(i) }
		if inner, pick := structOf(field(fitting(s.t))); inner != nil {
			s.walk(name, inner, func(c *interlock.Commit) reflect.Value { return pick(field(c)) })
			continue
		}
		c := fitting(s.t)
		f := field(c)
		before := f.Interface()
		fill(s.t, name, f, 2)
		require.NotEqual(s.t, before, f.Interface(), "%s: fill must change it", name)
		if !new(single).fits(c) {
			continue
		}
		if f.Kind() == reflect.Pointer && f.Type().Elem().Kind() == reflect.Struct {
			s.walk(name, f.Type().Elem(), func(c *interlock.Commit) reflect.Value {
				fill(s.t, name, field(c), 1)
				return field(c).Elem()
			})
			continue
		}
		bySingle, byBatch := sent(s.t, c)
		if elsewhere[name] != "" && !(bySingle && byBatch) {
			s.used[name] = true
			continue
		}
		assert.True(s.t, bySingle && byBatch, `interlock.Commit has %s. singleArgs sends it: %t; batchArgs: %t.
PostgreSQL would leave it out of what it writes or compares by one statement. Let both send it, and both
statements write or compare it; or let fits refuse a commit that has it, which then goes by the shared
statements; or, if it needs neither, say why in elsewhere.`, name, bySingle, byBatch)
	}
}

// structOf is the struct that a field holds in a fitting commit; nil: none.
func structOf(f reflect.Value) (inner reflect.Type, pick func(reflect.Value) reflect.Value) {
	switch {
	case f.Kind() == reflect.Pointer && !f.IsNil() && f.Type().Elem().Kind() == reflect.Struct:
		return f.Type().Elem(), reflect.Value.Elem
	case f.Kind() == reflect.Slice && f.Len() > 0 && f.Type().Elem().Kind() == reflect.Struct:
		return f.Type().Elem(), func(v reflect.Value) reflect.Value { return v.Index(0) }
	case f.Kind() == reflect.Struct && f.Type() != reflect.TypeFor[time.Time]():
		return f.Type(), func(v reflect.Value) reflect.Value { return v }
	}
	return nil, nil
}

// sent tells whether what is sent differs from what is sent of a fitting commit.
func sent(t *testing.T, c *interlock.Commit) (bySingle, byBatch bool) {
	t.Helper()
	single, batch := argsOf(t, c)
	was, wasBatch := argsOf(t, fitting(t))
	return !reflect.DeepEqual(single, was), !reflect.DeepEqual(batch, wasBatch)
}

func argsOf(t *testing.T, c *interlock.Commit) (single, batch []any) {
	t.Helper()
	single, err := singleArgs(c)
	require.NoError(t, err)
	return single, batchArgs([]*pending{{commit: c, args: single}})
}

// fitting is a commit with everything in it that the single statement can say of a
// table of its own.
func fitting(t *testing.T) *interlock.Commit {
	t.Helper()
	c := &interlock.Commit{
		Epoch: "e", ByKey: "k", Outbox: []byte{1}, Actors: []interlock.ActorCheck{{ID: "a", Version: 1, Digest: []byte{1}}},
		Instance: &interlock.InstanceChange{}, Idempotency: &interlock.Idempotency{},
	}
	fill(t, "Revision", reflect.ValueOf(&c.Revision).Elem(), 1)
	fill(t, "Instance", reflect.ValueOf(c.Instance).Elem(), 1)
	fill(t, "Idempotency", reflect.ValueOf(c.Idempotency).Elem(), 1)
	require.True(t, new(single).fits(c))
	return c
}

// fill puts something into v that differs with n.
func fill(t *testing.T, name string, v reflect.Value, n int) {
	t.Helper()
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.UnixMicro(int64(n)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(strings.Repeat("x", n))
	case reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8:
		v.SetUint(uint64(n))
	case reflect.Bool:
		v.SetBool(n > 1)
	case reflect.Interface:
		v.Set(reflect.ValueOf(json.Number(strings.Repeat("1", n))))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, name, v.Index(0), n)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, name, key, n)
		fill(t, name, value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, name, v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, name+"."+v.Type().Field(i).Name, v.Field(i), n)
		}
	default:
		t.Fatalf("%s is a %s, which fill doesn't know: teach it", name, v.Kind())
	}
}
