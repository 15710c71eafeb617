package interlock

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A message is what json.Marshal makes of a transition, whatever stands in it;
// for what a gate makes json.Marshal isn't asked.
func TestMessageIsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "a", `<"ü">` + "\u2028\x00\xff", "erin"}
	values := []map[string]any{nil, {}, {"amount": json.Number("12.50"), "a": []any{"<", nil, true, map[string]any{}}, "": 1}}
	hashes := [][]byte{nil, {}, {1}, {0xff, 0xfe, 3, 4}}
	times := []time.Time{{}, time.UnixMicro(1_700_000_000_123_456).UTC(), time.Unix(0, 0).UTC()}
	for range 2000 {
		var tr Transition
		v := reflect.ValueOf(&tr).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i).Addr().Interface().(type) {
			case *string:
				*f = texts[r.IntN(len(texts))]
			case *int64:
				*f = r.Int64N(1000)
			case *bool:
				*f = r.IntN(2) == 0
			case *map[string]any:
				*f = values[r.IntN(len(values))]
			case *[]byte:
				*f = hashes[r.IntN(len(hashes))]
			case *time.Time:
				*f = times[r.IntN(len(times))]
			default:
				t.Fatalf("%s: a %T isn't tried", v.Type().Field(i).Name, f)
			}
		}
		want, err := json.Marshal(tr)
		require.NoError(t, err)
		got, ok := appendTransition(nil, &tr)
		require.True(t, ok)
		require.Equal(t, string(want), string(got))
	}
	for name, tr := range map[string]Transition{
		"a float":      {Input: map[string]any{"a": 1.5}},
		"another zone": {Time: time.Unix(0, 0).In(time.FixedZone("x", 3600))},
	} {
		_, ok := appendTransition(nil, &tr)
		require.False(t, ok, name)
		want, err := json.Marshal(tr)
		require.NoError(t, err)
		got, err := message(&tr)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
	_, err := message(&Transition{Input: map[string]any{"a": func() {}}})
	require.Error(t, err)
}
