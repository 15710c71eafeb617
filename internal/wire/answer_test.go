package wire

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// The documented members, for encoding/json to write.

type stampJSON time.Time

func (s stampJSON) MarshalText() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format("2006-01-02T15:04:05.000000Z")), nil
}

type instanceJSON struct {
	Machine   string         `json:"machine"`
	ID        string         `json:"id"`
	State     string         `json:"state"`
	Version   int64          `json:"version"`
	Facts     map[string]any `json:"facts"`
	CreatedBy string         `json:"created_by"`
	CreatedAt stampJSON      `json:"created_at"`
	Since     stampJSON      `json:"since"`
	UpdatedAt stampJSON      `json:"updated_at"`
	Events    []optionJSON   `json:"events,omitzero"`
}

type optionJSON struct {
	Event       string          `json:"event"`
	Title       string          `json:"title"`
	Allowed     bool            `json:"allowed"`
	Needs       []string        `json:"needs"`
	To          []targetJSON    `json:"to"`
	Note        fsm.NoteMode    `json:"note"`
	Override    bool            `json:"override"`
	InputSchema json.RawMessage `json:"input_schema"`
	UI          map[string]any  `json:"ui"`
}

type targetJSON struct {
	State   string       `json:"state"`
	Title   string       `json:"title"`
	Self    bool         `json:"self,omitempty"`
	Stay    bool         `json:"stay,omitempty"`
	Allowed bool         `json:"allowed"`
	Reasons []reasonJSON `json:"reasons"`
}

type reasonJSON struct {
	Code    string         `json:"code"`
	Message string         `json:"message"`
	Params  map[string]any `json:"params"`
}

type availableJSON struct {
	Machine string       `json:"machine"`
	ID      string       `json:"id"`
	State   *string      `json:"state"`
	Version *int64       `json:"version"`
	Events  []optionJSON `json:"events"`
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func menuJSON(options []interlock.Option, denied bool) []optionJSON {
	out := []optionJSON{}
	for _, o := range options {
		if !o.Allowed && !denied {
			continue
		}
		one := optionJSON{o.Event, o.Title, o.Allowed, append([]string{}, o.Needs...), []targetJSON{}, o.Note, o.Override, o.InputSchema, orEmpty(o.UI)}
		for _, t := range o.To {
			if !t.Allowed && !denied {
				continue
			}
			to := targetJSON{t.State, t.Title, t.Self, t.Stay, t.Allowed, []reasonJSON{}}
			for _, r := range t.Reasons {
				to.Reasons = append(to.Reasons, reasonJSON{r.Code, r.Message, orEmpty(r.Params)})
			}
			one.To = append(one.To, to)
		}
		out = append(out, one)
	}
	return out
}

func shown(i interlock.Instance) instanceJSON {
	return instanceJSON{i.Machine, i.ID, i.State, i.Version, orEmpty(i.Facts), i.CreatedBy, stampJSON(i.CreatedAt), stampJSON(i.Since), stampJSON(i.UpdatedAt), nil}
}

type source struct{ *rand.Rand }

func (r source) text() string {
	return []string{"", "loan", `<a href="x">&</a>`, "Müller\u2028", "tab\t\x01", "\xff", "back\\slash"}[r.IntN(7)]
}

func (r source) yes() bool { return r.IntN(2) == 0 }

func (r source) values() map[string]any {
	return []map[string]any{nil, {}, {"amount": json.Number("12.50"), "b": "<", "a": []any{nil, true, map[string]any{"x": "y"}}},
		{"order": 3, "ratio": 0.25, "tags": []string{"x", "<"}}, {"size": uint64(7), "deep": map[string]any{"f": float32(1e-9)}}}[r.IntN(5)]
}

func (r source) moment() time.Time {
	return []time.Time{{}, time.UnixMicro(1_700_000_000_123_456), time.Unix(1, 999).UTC(), time.Date(2026, 2, 3, 4, 5, 6, 7_000_000, time.FixedZone("x", -3600)), time.Date(12026, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		time.UnixMicro(r.Int64N(250_000_000_000_000_000) - 62_000_000_000_000_000)}[r.IntN(6)]
}

func (r source) instance() interlock.Instance {
	return interlock.Instance{Machine: r.text(), ID: r.text(), State: r.text(), Version: r.Int64N(1 << 40), Facts: r.values(), CreatedBy: r.text(),
		CreatedAt: r.moment(), Since: r.moment(), UpdatedAt: r.moment()}
}

func (r source) reasons() []interlock.Reason {
	list := []interlock.Reason{}
	for range r.IntN(3) {
		list = append(list, interlock.Reason{Code: r.text(), Message: r.text(), Params: r.values()})
	}
	return list
}

func (r source) options() []interlock.Option {
	list := []interlock.Option{}
	for range r.IntN(4) {
		o := interlock.Option{Event: r.text(), Title: r.text(), Allowed: r.yes(), Needs: []string{r.text(), "note"}[:r.IntN(3)], To: []interlock.Target{},
			Note: fsm.NoteMode(r.text()), Override: r.yes(), UI: orEmpty(r.values()), InputSchema: []json.RawMessage{nil, json.RawMessage(`{"type":"object","title":"a b","x":[1,-2.5e3,true,false,null,{}]}`),
				json.RawMessage(`{ "type": "object" }`), json.RawMessage(`{"title":"<b>"}`), json.RawMessage("\"\u2028\""), json.RawMessage(`"\u00fc"`)}[r.IntN(6)]}
		for range r.IntN(3) {
			o.To = append(o.To, interlock.Target{State: r.text(), Title: r.text(), Self: r.yes(), Stay: r.yes(), Allowed: r.yes(), Reasons: r.reasons()})
		}
		list = append(list, o)
	}
	return list
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func TestAsEncodingJSON(t *testing.T) {
	r := source{rand.New(rand.NewPCG(1, 2))}
	for range 3000 {
		i, options, denied := r.instance(), r.options(), r.yes()
		got, err := Instance(nil, &i)
		require.NoError(t, err)
		require.Equal(t, marshal(t, shown(i)), string(got))

		with := shown(i)
		with.Events = menuJSON(options, true)
		got, err = InstanceWithEvents(nil, &i, options)
		require.NoError(t, err)
		require.Equal(t, marshal(t, with), string(got))

		got, err = Server.Options([]byte("x"), options, denied)
		require.NoError(t, err)
		require.Equal(t, "x"+marshal(t, menuJSON(options, denied)), string(got))

		got, err = Middleware.Options(nil, options, true)
		require.NoError(t, err)
		require.Equal(t, marshal(t, options), string(got))

		asked := []interlock.Ref{{Machine: r.text(), ID: r.text()}, {Machine: r.text(), ID: r.text()}}[:r.IntN(3)]
		menus, want := make([]*interlock.Menu, len(asked)), make([]availableJSON, len(asked))
		for n, ref := range asked {
			want[n] = availableJSON{Machine: ref.Machine, ID: ref.ID}
			if r.yes() {
				menus[n] = &interlock.Menu{Instance: i, Options: options}
				want[n].State, want[n].Version, want[n].Events = &i.State, &i.Version, menuJSON(options, true)
			}
		}
		got, err = Available(nil, asked, menus)
		require.NoError(t, err)
		require.Equal(t, marshal(t, map[string]any{"available": want}), string(got))
	}
}

// What JSON can't hold is an error, wherever it stands.
func TestWhatCannotBeWritten(t *testing.T) {
	bad := map[string]any{"f": func() {}}
	ref, menu := []interlock.Ref{{}}, func(o interlock.Option) []*interlock.Menu {
		return []*interlock.Menu{{Options: []interlock.Option{o}}}
	}
	for name, write := range map[string]func() ([]byte, error){
		"facts": func() ([]byte, error) { return Instance(nil, &interlock.Instance{Facts: bad}) },
		"ui":    func() ([]byte, error) { return Available(nil, ref, menu(interlock.Option{UI: bad})) },
		"schema": func() ([]byte, error) {
			return Available(nil, ref, menu(interlock.Option{InputSchema: json.RawMessage(`{"a":`)}))
		},
		"params": func() ([]byte, error) {
			return InstanceWithEvents(nil, &interlock.Instance{}, []interlock.Option{{To: []interlock.Target{{Reasons: []interlock.Reason{{Params: bad}}}}}})
		},
	} {
		_, err := write()
		require.Error(t, err, name)
	}
}
