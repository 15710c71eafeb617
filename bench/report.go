package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"text/tabwriter"
	"time"
)

// row is one comparison with its target.
type row struct {
	Path     string  `json:"path"`
	Ours     float64 `json:"ours"` // medians, in Unit
	Peer     float64 `json:"peer"`
	PeerName string  `json:"peer_name"`
	Unit     string  `json:"unit"`
	Ratio    float64 `json:"ratio"`  // as Target means it; the median of the rounds' own
	Target   string  `json:"target"` // such as "≥ 20" or "≤ 1.2"
	Met      bool    `json:"met"`

	OursRange  [2]float64 `json:"ours_range"` // least and greatest of the rounds
	PeerRange  [2]float64 `json:"peer_range"`
	RatioRange [2]float64 `json:"ratio_range"`
	Note       string     `json:"note,omitempty"`

	goal goal
}

// goal is a bound on a ratio.
type goal struct {
	atLeast bool
	bound   float64
}

func atLeast(bound float64) goal { return goal{true, bound} }
func atMost(bound float64) goal  { return goal{false, bound} }

func (g goal) String() string {
	bound := strconv.FormatFloat(g.bound, 'g', -1, 64)
	if g.atLeast {
		return "≥ " + bound
	}
	return "≤ " + bound
}

// score is 1 where the goal is just met, and greater where it is surpassed.
func (g goal) score(ratio float64) float64 {
	if g.atLeast {
		return ratio / g.bound
	}
	return g.bound / ratio
}

// report gathers rows, and prints every measurement as it comes.
type report struct {
	out      io.Writer
	rows     []row
	measures []measure
}

// faster compares times: for "at least" how often ours goes into the peer's, for "at most" the reverse.
func (r *report) faster(path string, ours, peer result, g goal) {
	ratio := over(ours.rounds, peer.rounds)
	if g.atLeast {
		ratio = over(peer.rounds, ours.rounds)
	}
	unit, scale := timeUnit(spreadOf(ours.rounds).median)
	r.add(path, unit, ours, peer, scale, ratio, g, "")
}

// more compares rates a second: ours by the peer's.
func (r *report) more(path string, ours, peer result, g goal) {
	r.add(path, "/s", ours, peer, 1, over(ours.rounds, peer.rounds), g, "")
}

// within compares ours with a limit, which is no contestant.
func (r *report) within(path, unit string, ours result, limit float64, g goal, note string) {
	peer := result{name: "limit of " + short(limit) + " " + unit, rounds: make([]float64, len(ours.rounds))}
	for i := range peer.rounds {
		peer.rounds[i] = limit
	}
	r.add(path, unit, ours, peer, 1, over(ours.rounds, peer.rounds), g, note)
}

func (r *report) add(path, unit string, ours, peer result, scale float64, ratio spread, g goal, note string) {
	o, p := spreadOf(ours.rounds), spreadOf(peer.rounds)
	r.rows = append(r.rows, row{Path: path, Ours: o.median * scale, Peer: p.median * scale, PeerName: peer.name, Unit: unit,
		Ratio: ratio.median, Target: g.String(), Met: len(ours.rounds) > 0 && g.score(ratio.median) >= 1,
		OursRange: [2]float64{o.low * scale, o.high * scale}, PeerRange: [2]float64{p.low * scale, p.high * scale},
		RatioRange: [2]float64{ratio.low, ratio.high}, Note: note, goal: g})
}

// note adds to the newest row.
func (r *report) note(text string) { r.rows[len(r.rows)-1].Note = text }

func timeUnit(ns float64) (string, float64) {
	switch {
	case ns < 1e3:
		return "ns", 1
	case ns < 1e6:
		return "µs", 1e-3
	}
	return "ms", 1e-6
}

// section begins a part of the output.
func (r *report) section(title string) { fmt.Fprintf(r.out, "\n%s\n", title) }

// times prints what each contestant took.
func (r *report) times(results []result) {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tmedian\tleast\tgreatest\tB\tallocs\t")
	for _, t := range results {
		s := spreadOf(t.rounds)
		unit, k := timeUnit(s.median)
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%.0f\t%.1f\t\n", t.name, short(s.median*k), unit, short(s.low*k), short(s.high*k), t.bytes, t.allocs)
	}
	w.Flush()
}

// rates prints what each contestant did in a second, and how long one took.
func (r *report) rates(results []result) {
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\ta second\tleast\tgreatest\tp50\tp99\tmax\t")
	for _, t := range results {
		s := spreadOf(t.rounds)
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t\n", t.name, s.median, s.low, s.high,
			quantile(t.latencies, 0.5), quantile(t.latencies, 0.99), quantile(t.latencies, 1))
	}
	w.Flush()
}

func quantile(sorted []time.Duration, p float64) string {
	if len(sorted) == 0 {
		return "–"
	}
	return percentile(sorted, p).Round(time.Microsecond).String()
}

// table prints the comparisons with their targets.
func (r *report) table() {
	if len(r.rows) == 0 {
		return
	}
	r.section("Targets")
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "path\tours\tpeer\t\tratio\tof the rounds\ttarget\t")
	for _, x := range r.rows {
		met := "met"
		if !x.Met {
			met = "missed"
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s %s\t%s\t%s\t%s–%s\t%s\t%s\n", x.Path, short(x.Ours), x.Unit, short(x.Peer), x.Unit, x.PeerName,
			short(x.Ratio), short(x.RatioRange[0]), short(x.RatioRange[1]), x.Target, met)
	}
	w.Flush()
	for _, x := range r.rows {
		if x.Note != "" {
			fmt.Fprintf(r.out, "%s: %s\n", x.Path, x.Note)
		}
	}
}

// short is three significant digits.
func short(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 1e6:
		return fmt.Sprintf("%.3gM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

// results is the file results.json.
type results struct {
	Computer string            `json:"computer"`
	Go       string            `json:"go"`
	Modules  map[string]string `json:"modules"` // version by path, of what is compared and what does our work
	Quick    bool              `json:"quick"`   // a smoke run: its numbers mean nothing
	Rows     []row             `json:"rows"`
	Measures []measure         `json:"measures"` // without peers and targets
}

// compared are the modules whose versions a reader wants to know.
var compared = []string{"github.com/open-policy-agent/opa", "github.com/cedar-policy/cedar-go", "cel.dev/cel-go", "github.com/casbin/casbin/v3",
	"github.com/looplab/fsm", "github.com/qmuntal/stateless", "github.com/gin-gonic/gin", "github.com/jackc/pgx/v5", "modernc.org/sqlite",
	"github.com/redis/go-redis/v9"}

func versions() map[string]string {
	out := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	for _, m := range info.Deps {
		for _, path := range compared {
			if m.Path == path {
				out[path] = m.Version
			}
		}
	}
	return out
}

func computer() string {
	return fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
}

// write puts results.json and results.svg into the folder.
func (r *report) write(dir string, quick bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i := range r.rows { // JSON has no infinity
		x := &r.rows[i]
		for _, v := range []*float64{&x.Ours, &x.Peer, &x.Ratio, &x.OursRange[0], &x.OursRange[1], &x.PeerRange[0], &x.PeerRange[1], &x.RatioRange[0], &x.RatioRange[1]} {
			if math.IsNaN(*v) || math.IsInf(*v, 0) {
				*v = 0
			}
		}
	}
	b, err := json.MarshalIndent(results{computer(), runtime.Version(), versions(), quick, append([]row{}, r.rows...), append([]measure{}, r.measures...)}, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "results.svg"), drawing(r.rows), 0o644)
}
