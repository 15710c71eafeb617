package middleware

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// A problem that is answered is what json.Marshal makes of it, whatever it holds.
func TestProblemIsEncodingJSON(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "input_invalid", `<"ü">&` + "\u2029\x00\xff"}
	for range 3000 {
		var p Problem
		v := reflect.ValueOf(&p).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i).Addr().Interface().(type) {
			case *string:
				*f = texts[r.IntN(len(texts))]
			case *interlock.Stage:
				*f = interlock.Stage(texts[r.IntN(len(texts))])
			case *int:
				*f = r.IntN(600)
			case *int64:
				*f = r.Int64N(3)
			case *[]string:
				*f = [][]string{nil, {}, {"a"}, {"a", "<"}}[r.IntN(4)]
			case *[]interlock.Reason:
				*f = [][]interlock.Reason{nil, {}, {{Code: "a", Message: "<"}}, {{Code: "a", Params: map[string]any{}}, {Params: map[string]any{"n": json.Number("1.0"), "f": 0.5}}}}[r.IntN(4)]
			case *[]fsm.FieldError:
				*f = [][]fsm.FieldError{nil, {}, {{Pointer: "/a", Message: "&"}}, {{Pointer: "/a"}, {Message: "b"}}}[r.IntN(4)]
			case *error: // never for the caller
			default:
				t.Fatalf("%s: a %T isn't tried", v.Type().Field(i).Name, f)
			}
		}
		want, err := json.Marshal(&p)
		require.NoError(t, err)
		got, err := p.appendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	_, err := (&Problem{Reasons: []interlock.Reason{{Params: map[string]any{"f": func() {}}}}}).appendJSON(nil)
	require.Error(t, err)
}
