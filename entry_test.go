package interlock

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/jsonvalue"
)

type randomly struct{ *rand.Rand }

func (r randomly) text() string {
	return []string{"", "erin", `<"ü">` + "\u2028\x00", "ann-1"}[r.IntN(4)]
}

func (r randomly) time() time.Time {
	return []time.Time{{}, time.UnixMicro(1_700_000_000_123_456).UTC(), time.Unix(0, 0).UTC()}[r.IntN(3)]
}

func (r randomly) sets() map[string][]string {
	return []map[string][]string{nil, {}, {"submit": {"ann", "bob"}, "a": {}}, {"": nil}, {r.text(): {r.text()}}}[r.IntN(5)]
}

func (r randomly) values() map[string]any {
	return []map[string]any{nil, {}, {"amount": json.Number("12.50"), "a": []any{"<", nil, true, map[string]any{}}}, {"rate": 0.5}, {r.text(): r.text()}}[r.IntN(5)]
}

func (r randomly) head() []byte { return [][]byte{nil, {}, {1, 2, 3}, {0xff}}[r.IntN(4)] }

func (r randomly) instance() *Instance {
	last := map[string]Last{}
	for range r.IntN(3) {
		last[r.text()] = Last{Person: r.text(), At: r.time(), Count: r.Int64()}
	}
	return &Instance{Tenant: r.text(), Machine: r.text(), ID: r.text(), State: r.text(), Version: r.Int64(), Facts: r.values(), Entered: r.sets(), Did: r.sets(),
		Actors: [][]string{nil, {}, {"ann", r.text()}}[r.IntN(3)], Last: []map[string]Last{nil, last}[r.IntN(2)], CreatedBy: r.text(), CreatedAt: r.time(), Since: r.time(), UpdatedAt: r.time(), Head: r.head()}
}

func (r randomly) actor() *ActorRecord {
	grants := []Grant{}
	for range r.IntN(3) {
		grants = append(grants, Grant{Role: r.text(), Scope: []Scope{{}, {Machine: "loan"}, {Machine: "loan", ID: "7"}}[r.IntN(3)], Since: r.time(), By: r.text()})
	}
	return &ActorRecord{Tenant: r.text(), ID: r.text(), Person: r.text(), Active: r.IntN(2) == 0, Attrs: r.values(), Grants: [][]Grant{nil, grants}[r.IntN(2)], Version: r.Int64(), Head: r.head()}
}

// Entries are what json.Marshal writes, and are read as the decoder reads them.
func TestEntriesAreEncodingJSON(t *testing.T) {
	r := randomly{rand.New(rand.NewPCG(1, 2))}
	quick := 0
	for range 3000 {
		c := cachedInstance{Instance: r.instance(), IsBound: r.IntN(4) == 0}
		if r.IntN(4) == 0 {
			c.Bound = &BoundRow{State: r.text(), Facts: r.values()}
		}
		want, err := json.Marshal(c)
		require.NoError(t, err)
		got, err := c.entry()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		var slow, read cachedInstance
		require.NoError(t, slowly(got, &slow))
		require.NoError(t, decode(got, &read))
		require.Equal(t, slow, read)
		if new(cachedInstance).readJSON(jsonvalue.Read(string(got))) {
			quick++
		}

		a := r.actor()
		want, err = json.Marshal(a)
		require.NoError(t, err)
		got, err = a.entry()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		var slowActor, readActor ActorRecord
		require.NoError(t, slowly(got, &slowActor))
		require.NoError(t, decode(got, &readActor))
		require.Equal(t, slowActor, readActor)
	}
	require.Greater(t, quick, 50)
}

// slowly is decode without the quick way.
func slowly(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

// What isn't written as ours is read as ever, or refused as ever.
func TestOddEntries(t *testing.T) {
	for _, payload := range []string{``, `{}`, `null`, `{"instance":null}`, `{"instance":{}}`, `{"instance":{"id":"a","id":"b"}}`, `{"instance":{"ID":"a"}}`, `{"instance":{"id":"a","more":1}}`, `{"instance":{"version":1.5}}`,
		`{"instance":{"id":"a"},"instance":{"state":"b"}}`, `{"instance":{"last":{"a":{"count":1,"count":2}}}}`, `{"instance":{"last":{"a":{},"a":{"count":2}}}}`, `{"instance":{"facts":{"a":1},"facts":{"b":2}}}`, `{"instance":{"head":"AQ==\n"}}`,
		`{"instance":{"created_at":"2026-01-02T03:04:05+01:00"}}`, `{"instance":{"created_at":"2026-01-02 03:04:05Z"}}`, `{"instance":{"did":{"a":null}}}`, `{"instance":{"id":"\ud800"}}`, `{"instance":{}} x`} {
		var want, got cachedInstance
		err := slowly([]byte(payload), &want)
		require.Equal(t, err, decode([]byte(payload), &got), payload)
		if err == nil {
			require.Equal(t, want, got, payload)
		}
	}
	for _, payload := range []string{`{"grants":[{"scope":"nowhere"}]}`, `{"grants":null}`, `{"attrs":{"a":1},"attrs":{"b":2}}`, `{"active":null}`, `{"active":1}`, `{"id":"a","id":"b"}`, `{"head":"?"}`, `{"grants":[{"role":"a","role":"b"}]}`, `[]`} {
		var want, got ActorRecord
		err := slowly([]byte(payload), &want)
		require.Equal(t, err, decode([]byte(payload), &got), payload)
		if err == nil {
			require.Equal(t, want, got, payload)
		}
	}
}

func BenchmarkReadEntry(b *testing.B) {
	at := time.UnixMicro(1_700_000_000_123_456).UTC()
	c := cachedInstance{Instance: &Instance{Tenant: "default", Machine: "loan", ID: "case-17", State: "submitted", Version: 7, Facts: map[string]any{"amount": json.Number("1000"), "region": "north"},
		Entered: map[string][]string{"submitted": {"bob"}}, Did: map[string][]string{"submit": {"bob"}}, Actors: []string{"bob"}, Last: map[string]Last{"submit": {Person: "bob", At: at, Count: 1}},
		CreatedBy: "bob", CreatedAt: at, Since: at, UpdatedAt: at, Head: make([]byte, 32)}}
	payload, err := c.entry()
	require.NoError(b, err)
	for name, read := range map[string]func([]byte, any) error{"quick": decode, "slow": slowly} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var c cachedInstance
				if err := read(payload, &c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
