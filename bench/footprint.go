package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/rediscache"
	"github.com/interlock-go/interlock/store/sqlite"
)

// measure is what has no peer and no target.
type measure struct {
	Name  string     `json:"name"`
	Value float64    `json:"value"` // the median, in Unit
	Unit  string     `json:"unit"`
	Range [2]float64 `json:"range"`
}

func (r *report) measured(name, unit string, values ...float64) {
	s := spreadOf(values)
	r.measures = append(r.measures, measure{name, s.median, unit, [2]float64{s.low, s.high}})
}

// footprint tells what things take: memory, the binary's size and its start.
func footprint(ctx context.Context, b *bench) error {
	b.section("Footprint")
	from := len(b.measures)
	for _, part := range []struct {
		name string
		run  func(context.Context, *bench) error
	}{{"facts", factsSize}, {"machines", machineSize}, {"policies", policySize}, {"binary", binary}} {
		if err := part.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	for _, m := range b.measures[from:] {
		fmt.Fprintf(w, "%s\t%s %s\t%s–%s\t\n", m.Name, short(m.Value), m.Unit, short(m.Range[0]), short(m.Range[1]))
	}
	return w.Flush()
}

// held is how many bytes of memory each of n things keeps. One more is made
// before: what comes only once isn't theirs.
func held[T any](n int, one func(i int) (T, error)) (float64, error) {
	if _, err := one(0); err != nil {
		return 0, err
	}
	kept := make([]T, n)
	before := liveBytes()
	for i := range kept {
		var err error
		if kept[i], err = one(i); err != nil {
			return 0, err
		}
	}
	after := liveBytes()
	runtime.KeepAlive(kept)
	return max(0, float64(after)-float64(before)) / float64(n), nil
}

func liveBytes() uint64 {
	runtime.GC()
	runtime.GC() // what pools kept is gone after two
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// factsSize is of a case and of an actor of the desk, as they are read from SQLite,
// as the store keeps them, ready to be decided on, and as their entries in Redis.
func factsSize(ctx context.Context, b *bench) (err error) {
	w, err := newWorld(200)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	file := filepath.Join(w.dir, "facts.db")
	if err := w.opened(ctx, file, 0, nil, func(_ *sqlite.Store, g *interlock.Gate) error { return populate(ctx, g, w.actors, w.ids...) }); err != nil {
		return err
	}
	if err := w.opened(ctx, file, 0, nil, func(store *sqlite.Store, _ *interlock.Gate) error { return w.read(ctx, b, store) }); err != nil {
		return err
	}
	if err := w.opened(ctx, file, sqlite.DefaultMemory, nil, func(_ *sqlite.Store, g *interlock.Gate) error { return w.kept(ctx, b, g) }); err != nil {
		return err
	}
	cache := rediscache.New(w.redis, rediscache.Config{Prefix: "footprint:", TTL: time.Minute})
	w.later(cache.Close)
	return w.opened(ctx, file, 0, cache, func(_ *sqlite.Store, g *interlock.Gate) error { return w.entries(ctx, b, g) })
}

// opened uses a gate on the file.
func (w *world) opened(ctx context.Context, file string, memory int, cache interlock.Cache, use func(*sqlite.Store, *interlock.Gate) error) (err error) {
	store, err := sqlite.Open(file, sqlite.Memory(memory))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	g, err := deskGate(store, cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close(context.WithoutCancel(ctx))) }()
	return use(store, g)
}

func (w *world) ref(i int) interlock.Ref {
	return interlock.Ref{Machine: deskMachines[0], ID: w.ids[i]}
}

// read holds what a store without a memory of its own reads.
func (w *world) read(ctx context.Context, b *bench, store *sqlite.Store) error {
	instance, err := held(len(w.ids), func(i int) (interlock.Facts, error) { return store.Load(ctx, interlock.DefaultTenant, w.ref(i), nil) })
	if err != nil {
		return err
	}
	b.measured("an instance, as it is read", "B", instance)
	nobody := interlock.Ref{Machine: deskMachines[0], ID: "none"}
	actor, err := held(len(w.ids), func(i int) (interlock.Facts, error) {
		return store.Load(ctx, interlock.DefaultTenant, nobody, w.actors[i:i+1])
	})
	if err != nil {
		return err
	}
	b.measured("an actor, as it is read", "B", actor)
	return nil
}

// kept is what menus leave in a store's memory.
func (w *world) kept(ctx context.Context, b *bench, g *interlock.Gate) error {
	for _, of := range []struct {
		name string
		ask  func(i int) (actor string, ref interlock.Ref)
	}{
		{"an instance, as a store keeps it, with what rules make of it", func(i int) (string, interlock.Ref) { return w.actors[0], w.ref(i) }},
		{"an actor, as a store keeps it", func(i int) (string, interlock.Ref) { return w.actors[i], w.ref(0) }},
	} {
		bytes, err := held(len(w.ids), func(i int) (struct{}, error) {
			actor, ref := of.ask(i)
			_, err := g.Available(ctx, interlock.Actor{ID: actor, Roles: managerRoles}, ref)
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
		b.measured(of.name, "B", bytes)
	}
	return nil
}

// entries asks Redis what it takes for the facts of a menu.
func (w *world) entries(ctx context.Context, b *bench, g *interlock.Gate) error {
	for i, id := range w.ids {
		if _, err := g.Available(ctx, interlock.Actor{ID: w.actors[i], Roles: managerRoles}, interlock.Ref{Machine: deskMachines[0], ID: id}); err != nil {
			return err
		}
	}
	for _, kind := range []string{"instance", "actor"} {
		var sizes []float64
		for wait := 10 * time.Millisecond; len(sizes) == 0; wait *= 2 { // entries are put behind the answers
			names, err := w.redis.Keys(ctx, fmt.Sprintf("footprint:*%d:%s*", len(kind), kind)).Result()
			if err != nil {
				return err
			}
			for _, name := range names {
				n, err := w.redis.MemoryUsage(ctx, name).Result()
				if err != nil {
					return err
				}
				sizes = append(sizes, float64(n))
			}
			if wait > 5*time.Second {
				return fmt.Errorf("no entry of the kind %s in Redis", kind)
			}
			time.Sleep(wait)
		}
		b.measured("an entry in Redis, "+kind, "B", sizes...)
	}
	return nil
}

// machineSize is of machines whose states stand in a row, compiled.
func machineSize(_ context.Context, b *bench) error {
	for _, states := range []int{smallChain, b.scale.states} {
		n := max(2, 200/states)
		bytes, err := held(n, func(int) (*fsm.Machine, error) {
			m, _, err := chainOf(states)
			return m, err
		})
		if err != nil {
			return err
		}
		b.measured(fmt.Sprintf("a machine of %d states", states), "B", bytes)
	}
	return nil
}

// policySize is of policies that have been asked for all that they hold.
func policySize(ctx context.Context, b *bench) error {
	small, err := deskMachine(deskMachines[0], deskChecks...)
	if err != nil {
		return err
	}
	smallRego, err := deskFile("checks.rego", small.Name())
	if err != nil {
		return err
	}
	large, largeRego, err := chainOf(b.scale.states)
	if err != nil {
		return err
	}
	var rules []string
	for i := range b.scale.states {
		rules = append(rules, fmt.Sprintf("rule_%d", i))
	}
	for _, p := range []struct {
		machine *fsm.Machine
		rego    string
		checks  []string
		copies  int
	}{{small, smallRego, deskChecks, 5}, {large, largeRego, rules, 1}} {
		for _, compiled := range []bool{false, true} {
			bytes, err := held(p.copies, func(int) (interlock.Rules, error) {
				r, err := policies.Sources(map[string]string{"x.rego": p.rego}, policies.WithCompiled(compiled)).Compile(ctx, []*fsm.Machine{p.machine})
				if err != nil {
					return nil, err
				}
				first := samples()[0]
				in := first.input()
				in.Machine = p.machine.Name()
				_, err = r.Decide(ctx, &interlock.Query{Input: in, Checks: p.checks, Draft: true})
				return r, err
			})
			if err != nil {
				return err
			}
			kind := "topdown alone"
			if compiled {
				kind = "compiled, with topdown beside it"
			}
			b.measured(fmt.Sprintf("a policy of %d rules, %s", len(p.checks), kind), "KiB", bytes/1024)
		}
	}
	return nil
}

// binary builds what `make build` does, and starts it on an empty SQLite store.
func binary(ctx context.Context, b *bench) (err error) {
	dir, err := os.MkdirTemp("", "interlock-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, "interlock")
	build := exec.CommandContext(ctx, "go", "build", "-C", "..", "-trimpath", "-tags", "timetzdata", "-ldflags", "-s -w", "-o", program, "./cmd/interlock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	info, err := os.Stat(program)
	if err != nil {
		return err
	}
	b.measured("the stripped binary", "MiB", float64(info.Size())/(1<<20))
	config, err := desktop(dir)
	if err != nil {
		return err
	}
	var starts, resident []float64
	for i := range max(1, b.scale.loadRounds) {
		took, memory, err := start(ctx, program, append(config, "--sqlite", filepath.Join(dir, fmt.Sprintf("%d.db", i))))
		if err != nil {
			return err
		}
		starts = append(starts, float64(took)/1e6)
		if memory > 0 {
			resident = append(resident, memory/1024)
		}
	}
	b.measured("start of `interlock serve` until it is ready, empty SQLite store", "ms", starts...)
	if resident != nil {
		b.measured("its resident memory then", "MiB", resident...)
	}
	return nil
}

// desktop writes a machine with its policy and a key set, and gives the arguments of a server with them.
func desktop(dir string) ([]string, error) {
	machine, err := deskFile("machine.yaml", deskMachines[0])
	if err != nil {
		return nil, err
	}
	rego, err := deskFile("checks.rego", deskMachines[0])
	if err != nil {
		return nil, err
	}
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	keys := `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"k1","x":"` + base64.RawURLEncoding.EncodeToString(public) + `"}]}`
	for name, text := range map[string]string{
		"machines/desk.yaml": strings.ReplaceAll(machine, "CHECKS", "checks: ["+strings.Join(deskChecks, ", ")+"]"),
		"policies/desk.rego": rego, "keys.json": keys,
		"interlock.yaml": fmt.Sprintf("machines: %[1]s/machines\npolicies: %[1]s/policies\nlog: json\njwt: {issuer: https://login.example, audience: interlock, algorithms: [EdDSA], keys: %[1]s/keys.json}\n", dir),
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return []string{"serve", "--config", filepath.Join(dir, "interlock.yaml"), "--listen", "127.0.0.1:0"}, nil
}

var servesAt = regexp.MustCompile(`"address":"(127\.0\.0\.1:\d+)"`)

// start runs the server until /readyz says yes, and tells how long that took and
// how many KiB it then had in memory, where the system tells.
func start(ctx context.Context, program string, args []string) (took time.Duration, memory float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	log, err := cmd.StderrPipe()
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}()
	said := ""
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said += lines.Text() + "\n"
		at := servesAt.FindStringSubmatch(lines.Text())
		if at == nil {
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, log) }()
		for ctx.Err() == nil {
			if ready(ctx, at[1]) {
				return time.Since(begun), residentKiB(cmd.Process.Pid), nil
			}
			time.Sleep(time.Millisecond)
		}
	}
	return 0, 0, fmt.Errorf("%s didn't become ready: %s", cmd, said)
}

func ready(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

var residentLine = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

func residentKiB(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	var n float64
	if found := residentLine.FindSubmatch(status); found != nil {
		_, _ = fmt.Sscan(string(found[1]), &n)
	}
	return n
}
