package sqlstore

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// slow is what encoding/json makes of it.
func slow(t *testing.T, v any) string {
	t.Helper()
	text, err := Encode(struct{ V any }{v}) // a struct isn't plain
	require.NoError(t, err)
	return text[len(`{"V":`) : len(text)-1]
}

// Columns are written and read as encoding/json does, which isn't asked for them.
func TestColumnsAreEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string {
		return []string{"", "erin", `<"ü">&` + "\u2028\n\t", "\ufffd", `\ufffd`, "😀"}[r.IntN(6)]
	}
	for range 2000 {
		sets, last, facts, grants := map[string][]string{}, map[string]interlock.Last{}, map[string]any{}, []interlock.Grant{}
		for range r.IntN(4) {
			sets[text()] = []string{text(), text()}[:r.IntN(3)]
			last[text()] = interlock.Last{Person: text(), At: time.UnixMicro(r.Int64N(1 << 51)).UTC(), Count: r.Int64() - r.Int64()}
			facts[text()] = []any{json.Number("1.50"), text(), nil, true, []any{}, map[string]any{text(): json.Number("-7e2")}}[r.IntN(6)]
			grants = append(grants, interlock.Grant{Role: text(), Scope: []interlock.Scope{{}, {Machine: "loan"}, {Machine: "loan", ID: "7"}}[r.IntN(3)], Since: time.UnixMicro(r.Int64N(1 << 51)).UTC(), By: text()})
		}
		got, err := encodeSets(sets)
		require.NoError(t, err)
		require.Equal(t, slow(t, sets), got)
		back, err := decodeSets(got)
		require.NoError(t, err)
		require.Equal(t, sets, back)

		got, err = encodeLast(last)
		require.NoError(t, err)
		require.Equal(t, slow(t, last), got)
		lasts, err := decodeLast(got)
		require.NoError(t, err)
		require.Equal(t, last, lasts)

		got, err = encodeMap(facts)
		require.NoError(t, err)
		require.Equal(t, slow(t, facts), got)
		members, err := decodeMembers(got)
		require.NoError(t, err)
		require.Equal(t, facts, members)

		got, err = Encode(grants)
		require.NoError(t, err)
		held, err := decodeGrants(got)
		require.NoError(t, err)
		require.Equal(t, grants, held)
	}
}

// What is written otherwise is read as ever, or is an error as ever.
func TestColumnsThatAreNotPlain(t *testing.T) {
	for _, column := range []string{`null`, ` { } `, `{"a":["\ud800"]}`, `{"a":null}`, `{"a":["b"],"a":["c"]}`, `{"a":[1]}`, `[]`, ``, `{"a":["b"]} x`} {
		var want map[string][]string
		err := Decode(column, &want)
		got, fast := decodeSets(column)
		require.Equal(t, err, fast, column)
		if err == nil {
			require.Equal(t, want, got, column)
		}
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for column, want := range map[string]map[string]interlock.Last{
		`{"submit":{"Person":"ann","at":"2026-01-02T03:04:05.000006Z","count":2,"more":{}}}`: {"submit": {Person: "ann", At: at, Count: 2}},
		`{"submit":{"at":"2026-01-02T04:04:05.000006+01:00"}}`:                               {"submit": {At: at}},
		`null`: nil,
	} {
		got, err := decodeLast(column)
		require.NoError(t, err, column)
		require.Equal(t, want, got, column)
	}
	for _, column := range []string{`{"a":{"count":1.5}}`, `{"a":{"at":"2026-01-02 03:04:05Z"}}`, `{"a":{"person":7}}`, `x`} {
		_, err := decodeLast(column)
		require.Error(t, err, column)
	}
	for _, column := range []string{`[{"scope":"everywhere"}]`, `{}`, `[{"role":1}]`} {
		_, err := decodeGrants(column)
		require.Error(t, err, column)
	}
	for name, encode := range map[string]func() (string, error){
		"set":    func() (string, error) { return encodeSets(map[string][]string{"a": {"\xff"}}) },
		"event":  func() (string, error) { return encodeLast(map[string]interlock.Last{"\xff": {}}) },
		"member": func() (string, error) { return Encode(map[string]any{"a": "\xff"}) },
	} {
		_, err := encode()
		require.ErrorIs(t, err, errUTF8, name)
	}
	got, err := encodeSets(map[string][]string{"a": nil})
	require.NoError(t, err)
	require.Equal(t, `{"a":null}`, got)
	got, err = encodeLast(map[string]interlock.Last{"a": {At: at.In(time.FixedZone("x", 3600))}})
	require.NoError(t, err)
	require.Equal(t, `{"a":{"person":"","at":"2026-01-02T04:04:05.000006+01:00","count":0}}`, got)
}
