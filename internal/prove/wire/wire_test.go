package wire_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove"
)

// bad is one input, and what must become of it.
type bad struct {
	name   string
	raw    string // the bytes
	status int    // 0: the connection is closed without an answer
	code   string // of the problem, whose type goes with it; "": the HTTP stack answers before there is a request
	cut    bool   // nothing follows: our side is closed after the bytes
}

// inputs are all of them, by family.
func inputs() []bad {
	var all []bad
	for _, family := range []struct {
		name  string
		cases []bad
	}{
		{"request line", requestLines()}, {"header line", headerLines()}, {"framing", framings()}, {"target", targets()},
		{"method", methods()}, {"header", headers()}, {"body", bodies()}, {"member", members()}, {"parameter", parameters()}, {"id", ids()},
	} {
		for _, b := range family.cases {
			b.name = family.name + ": " + b.name
			all = append(all, b)
		}
	}
	return all
}

func TestBadInput(t *testing.T) {
	all := inputs()
	names := map[string]bool{}
	for _, b := range all {
		require.False(t, names[b.name], "%s: twice", b.name)
		names[b.name] = true
	}
	step := prove.Size(9, 1)
	answers := map[string]map[string][]verdict{}
	for _, store := range []struct {
		name string
		open func(testing.TB) interlock.Store
	}{{"sqlite", openSQLite}, {"postgres", openPostgres}} {
		t.Run(store.name, func(t *testing.T) {
			w := newWorld(t, store.open(t))
			before := w.committed()
			answers[store.name] = map[string][]verdict{}
			tried, wrong := 0, 0
			report := func(b bad, format string, args ...any) {
				wrong++
				t.Errorf("%s: %s", b.name, fmt.Sprintf(format, args...))
			}
			require.NoError(t, w.well())
			for i := 0; i < len(all); i += step {
				b := all[i]
				tried++
				got, err := w.send(b)
				if err != nil {
					report(b, "%v", err)
				} else if why := b.judge(got); why != "" {
					report(b, "%s", why)
				}
				answers[store.name][b.name] = got
				if other, there := answers["sqlite"][b.name]; there && err == nil && !reflect.DeepEqual(other, got) {
					report(b, "another verdict than on SQLite:\n%v\n%v", got, other)
				}
				if now := w.committed(); now != before {
					report(b, "something was committed: %s, then %s", before, now)
					before = now
				}
				if err := w.well(); err != nil {
					report(b, "afterwards: %v", err)
				}
			}
			prove.Record(t, prove.Row{Claim: "wire/" + store.name, Tried: tried, Least: 400, Violations: wrong,
				Note: fmt.Sprintf("%d kinds of answer", kinds(answers[store.name]))})
		})
	}
}

// judge says what is wrong with what came back, "" for nothing.
func (b bad) judge(got []verdict) string {
	switch {
	case b.status == 0 && len(got) == 0:
		return ""
	case len(got) != 1:
		return fmt.Sprintf("want one answer, got %d: %v", len(got), got)
	}
	v := got[0]
	head := strings.HasPrefix(b.raw, "HEAD ") // its answer has no body to look into
	switch {
	case v.status != b.status:
		return fmt.Sprintf("want %d %s, got %d %s", b.status, b.code, v.status, v.body)
	case b.code == "" && strings.Contains(v.media, "json"):
		return fmt.Sprintf("answered by a handler: %s", v.body)
	case b.code == "":
		return ""
	case v.media != "application/problem+json":
		return "the answer is " + v.media
	case !head && (v.code != b.code || v.kind != "/problems/"+strings.ReplaceAll(b.code, "_", "-")):
		return fmt.Sprintf("want %s, got %s of the type %s: %s", b.code, v.code, v.kind, v.body)
	case (v.status == 405) != (v.allow != ""):
		return "Allow goes with 405, got " + v.allow
	case (v.status == 401) != (v.challenge != ""):
		return "a challenge goes with 401, got " + v.challenge
	}
	return ""
}

func kinds(answers map[string][]verdict) int {
	seen := map[string]bool{}
	for _, list := range answers {
		for _, v := range list {
			seen[fmt.Sprint(v.status, v.code)] = true
		}
	}
	return len(seen)
}
