package middleware

import (
	stdjson "encoding/json"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/jsonvalue"
	"github.com/interlock-go/interlock/internal/wire"
)

// Ordinary bodies of events are read without the strict decoder.
func TestOrdinaryEventsAreReadInOnePass(t *testing.T) {
	for body, want := range map[string]wire.Event{
		`{"event":"submit"}`: {Event: "submit"},
		` {"note":"as \u00fc\ud83d\ude00 agreed\n", "event" : "approve", "to":"done", "input":{"n":1.50,"l":[{},null,true,"x"]}} `: {
			Event: "approve", To: "done", Note: "as ü😀 agreed\n", Input: map[string]any{"n": stdjson.Number("1.50"), "l": []any{map[string]any{}, nil, true, "x"}}},
		`{"event":"e","input":{}}`: {Event: "e", Input: map[string]any{}},
		`{}`:                       {},
	} {
		var e wire.Event
		require.True(t, e.ReadJSON(jsonvalue.Read(body)), body)
		require.Equal(t, want, e)
	}
}

// Whatever is read in one pass the strict decoder reads, too, and as the same.
func FuzzEvent(f *testing.F) {
	for _, body := range []string{`{"event":"submit","to":"x","note":"y","input":{"a":[1e3,"\ud83d\ude00"]}}`, `{"event":"a","event":"b"}`, `{"input":{"a":1,"\u0061":2}}`,
		`{"Event":"a"}`, `{"event":null}`, `{"event":"\ud800"}`, "{\"event\":\"\xff\"}", `{} {}`, `[]`, `{"more":1}`, `{"input":{"a":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := wire.Event{Event: "before"}
		if !got.ReadJSON(jsonvalue.Read(string(body))) {
			require.Equal(t, wire.Event{Event: "before"}, got)
			return
		}
		require.NoError(t, checkShape(body))
		var want wire.Event
		require.NoError(t, json.Unmarshal(body, &want, strict))
		require.Equal(t, want, got)
	})
}
