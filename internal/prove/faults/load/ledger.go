package load

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/prove/fixture"
)

// Ledger is what clients asked and were answered.
type Ledger struct {
	Ops       []Op
	Instances int
}

// Terms are what a fault may cost.
type Terms struct {
	Unavailable bool // 503 with Retry-After may be answered
	Gone        bool // no answer at all may come: the server was killed
	// Stale bounds how old a read may be; 0: not looked at.
	Stale time.Duration
	// Reads are not believed: somebody rewrote the cache, and no key seals it.
	WrongReads bool
}

// rows is the history as the database has it.
type rows struct {
	byID    map[string]*interlock.Record
	byToken map[string][]*interlock.Record
	bySeq   map[string][]*interlock.Record // by instance, ordered
}

func readRows(ctx context.Context, st interlock.Store) (*rows, error) {
	h := &rows{map[string]*interlock.Record{}, map[string][]*interlock.Record{}, map[string][]*interlock.Record{}}
	for rec, err := range st.Chain(ctx) {
		if err != nil {
			return nil, err
		}
		if rec.Machine != fixture.Machine {
			continue
		}
		r := &rec
		h.byID[r.ID] = r
		h.byToken[r.Note] = append(h.byToken[r.Note], r)
		h.bySeq[r.Instance] = append(h.bySeq[r.Instance], r)
	}
	return h, nil
}

// Check holds the ledger against the history. What it returns are violations.
func (l *Ledger) Check(ctx context.Context, st interlock.Store, terms Terms) ([]string, error) {
	h, err := readRows(ctx, st)
	if err != nil {
		return nil, err
	}
	report, err := interlock.Verify(ctx, st, nil)
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, f := range report.Bad {
		bad = append(bad, "verify: "+f.String())
	}
	bad = append(bad, h.continuous()...)
	for i := range l.Ops {
		o := &l.Ops[i]
		for _, why := range append(l.answer(o, terms), h.holds(o, terms)...) {
			bad = append(bad, fmt.Sprintf("%s %s %s by %s on %s (phase %d): %d %s %v %s: %s", o.Kind, o.Event, o.Token, o.Actor, o.ID, o.Phase, o.Status, o.Code, o.Reasons, o.Cause, why))
		}
	}
	if terms.Stale > 0 {
		bad = append(bad, l.stale(terms.Stale)...)
	}
	return bad, nil
}

// continuous: each row begins where the one before ended.
func (h *rows) continuous() (bad []string) {
	for id, list := range h.bySeq {
		for i, r := range list {
			if r.Seq != int64(i+1) || i > 0 && r.From != list[i-1].To {
				bad = append(bad, fmt.Sprintf("history of %s: row %d (%s, %s to %s) doesn't follow", id, r.Seq, r.Event, r.From, r.To))
			}
		}
	}
	return bad
}

// answer looks at the answer alone.
func (l *Ledger) answer(o *Op, terms Terms) (bad []string) {
	switch {
	case o.Status == 0 && !terms.Gone:
		bad = append(bad, "no answer")
	case o.Status == http.StatusServiceUnavailable && !terms.Unavailable:
		bad = append(bad, "unavailable")
	case o.Status == http.StatusServiceUnavailable && !o.RetryAfter:
		bad = append(bad, "no Retry-After")
	case o.Status >= 500 && o.Status != http.StatusServiceUnavailable:
		bad = append(bad, "a failure that isn't said as one")
	}
	no := o.Status == http.StatusForbidden || o.Status == http.StatusNotFound || o.Status == http.StatusUnauthorized
	switch o.Kind {
	case "write":
		own := []string{"somebody_elses", "four_eyes", "within_limit"}
		if no && (o.Event == "tick" || o.Status != http.StatusForbidden || !subset(o.Reasons, own)) {
			bad = append(bad, "a manager may")
		}
	case "read", "menu", "grant", "revoke", "granted":
		if no || o.Status == http.StatusConflict && o.Kind != "granted" {
			bad = append(bad, "refused, though allowed")
		}
	case "revoked":
		if o.Status == http.StatusOK {
			bad = append(bad, "committed after the revoke was answered")
		}
	case "stranger":
		if o.Status == http.StatusOK {
			bad = append(bad, "a stranger may nothing")
		}
	}
	return bad
}

func subset(list, of []string) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
}

// holds compares one answer with the rows.
func (h *rows) holds(o *Op, terms Terms) (bad []string) {
	switch o.Kind {
	case "read":
		if o.Status != http.StatusOK || terms.WrongReads {
			return nil
		}
		if list := h.bySeq[o.ID]; o.Version < 1 || int(o.Version) > len(list) || list[o.Version-1].To != o.State {
			return []string{fmt.Sprintf("read version %d as %q, which was never so", o.Version, o.State)}
		}
		return nil
	case "menu", "grant", "revoke":
		return nil
	}
	found := h.byToken[o.Token]
	switch {
	case len(found) > 1:
		bad = append(bad, fmt.Sprintf("it stands %d times in history", len(found)))
	case o.Status == http.StatusOK && len(found) == 0:
		bad = append(bad, "acknowledged, and not in history")
	case o.Status != http.StatusOK && !o.Unknown() && len(found) == 1:
		bad = append(bad, "refused, and in history all the same")
	}
	if o.Status == http.StatusOK && len(found) == 1 {
		r := found[0]
		if r.ID != o.Transition || r.Seq != o.Version || r.To != o.State || r.Actor != o.Actor || r.Event != o.Event || r.Instance != o.ID {
			bad = append(bad, fmt.Sprintf("answered as %s, version %d, %s; it is %s, version %d, %s", o.Transition, o.Version, o.State, r.ID, r.Seq, r.To))
		}
	}
	return bad
}

// stale looks for reads that are older than they may be: a later version had been
// acknowledged for longer than the bound when the read began.
func (l *Ledger) stale(bound time.Duration) (bad []string) {
	acked := map[string][]*Op{}
	for i := range l.Ops {
		if o := &l.Ops[i]; o.Status == http.StatusOK && o.Token != "" && o.Kind != "read" && o.Kind != "menu" {
			acked[o.ID] = append(acked[o.ID], o)
		}
	}
	for i := range l.Ops {
		r := &l.Ops[i]
		if r.Kind != "read" || r.Status != http.StatusOK {
			continue
		}
		for _, w := range acked[r.ID] {
			if age := r.Began.Sub(w.Ended); w.Version > r.Version && age > bound {
				bad = append(bad, fmt.Sprintf("%s was read in version %d, %s after version %d had been acknowledged", r.ID, r.Version, age, w.Version))
				break
			}
		}
	}
	return bad
}

// Statuses counts the answers of a phase, as text: "200: 31, 503 store_failed: 4".
func (l *Ledger) Statuses(phase int) string {
	counts := map[string]int{}
	for i := range l.Ops {
		o := &l.Ops[i]
		if o.Phase != phase {
			continue
		}
		key := "no answer"
		if o.Status > 0 {
			key = strings.TrimSpace(fmt.Sprintf("%d %s", o.Status, o.Code))
		}
		counts[key]++
	}
	var keys []string
	for k := range counts {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%s: %d", k, counts[k])
	}
	return strings.Join(keys, ", ")
}

// Latency are the quantiles of a phase's answers.
type Latency struct {
	N             int
	P50, P99, Max time.Duration
}

// Latency measures the phase.
func (l *Ledger) Latency(phase int) Latency {
	var all []time.Duration
	for i := range l.Ops {
		if o := &l.Ops[i]; o.Phase == phase {
			all = append(all, o.Took())
		}
	}
	if len(all) == 0 {
		return Latency{}
	}
	slices.Sort(all)
	return Latency{len(all), all[len(all)/2], all[len(all)*99/100], all[len(all)-1]}
}

func (x Latency) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }
	return ms(x.P50) + "/" + ms(x.P99) + "/" + ms(x.Max)
}

// Latencies is a line for the table: the quantiles of all phases.
func (l *Ledger) Latencies() string {
	return fmt.Sprintf("p50/p99/max in ms: before %s, during %s, after %s", l.Latency(Before), l.Latency(During), l.Latency(After))
}

// Table is what clients saw, a line a phase.
func (l *Ledger) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s %8s  %-24s %s\n", "", "requests", "p50/p99/max ms", "answers")
	for phase, name := range []string{"before", "during", "after"} {
		x := l.Latency(phase)
		fmt.Fprintf(&b, "%-8s %8d  %-24s %s\n", name, x.N, x, l.Statuses(phase))
	}
	return b.String()
}
