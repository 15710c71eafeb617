package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/testservice"
)

// Every engine judges every request alike, and the random ones try every rule
// both ways.
func TestEnginesAgree(t *testing.T) {
	all, err := engines(t.Context())
	require.NoError(t, err)
	requests := append(samples(), randomRequests(agreed, 7)...)
	require.NoError(t, agree(all, requests))

	refused, allowed := map[string]int{}, 0
	for _, r := range requests {
		why := r.refused()
		for _, one := range why {
			refused[one.code]++
		}
		if len(why) == 0 {
			allowed++
		}
	}
	require.Positive(t, allowed)
	for _, code := range deskChecks {
		require.Positive(t, refused[code], "no request is refused by %s", code)
		require.Less(t, refused[code], len(requests), "every request is refused by %s", code)
	}
}

// An engine that differs is found, in its yes or in its reasons.
func TestDisagreementIsFound(t *testing.T) {
	hand, err := handEngines(t.Context())
	require.NoError(t, err)
	for name, change := range map[string]func(*verdict){
		"yes":     func(v *verdict) { v.allowed = !v.allowed },
		"reason":  func(v *verdict) { v.reasons = append(v.reasons, reason{"x", "y"}) },
		"message": func(v *verdict) { v.reasons = []reason{{"open_case", "another"}} },
	} {
		other := engine{name: name, prepare: func(r request) (func() (verdict, error), error) {
			return func() (verdict, error) {
				v := verdict{reasons: r.refused()}
				v.allowed = len(v.reasons) == 0
				change(&v)
				return v, nil
			}, nil
		}}
		require.Error(t, agree(append(slices.Clone(hand), other), samples()), name)
	}
}

// A smoke run of all parts writes what it promises.
func TestSmokeRun(t *testing.T) {
	t.Setenv(postgresEnv, testservice.Postgres(t))
	t.Setenv(redisEnv, testservice.Redis(t))
	dir := t.TempDir()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-quick", "-part", "", "-out", dir}, &out))
	require.Contains(t, out.String(), "Targets")
	require.Contains(t, out.String(), "A SMOKE RUN")

	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	require.NoError(t, err)
	var file struct {
		Computer, Go string
		Modules      map[string]string
		Quick        bool
		Rows         []map[string]any
		Measures     []measure
	}
	require.NoError(t, json.Unmarshal(b, &file))
	require.True(t, file.Quick)
	require.NotEmpty(t, file.Rows)
	for _, r := range file.Rows {
		for _, key := range []string{"ours", "peer", "ratio"} {
			require.Positive(t, r[key], "%s: %v", key, r)
		}
		for _, key := range []string{"path", "peer_name", "unit"} {
			require.NotEmpty(t, r[key], "%s: %v", key, r)
		}
		require.Regexp(t, `^[≥≤] [\d.]+$`, r["target"])
		require.IsType(t, true, r["met"])
	}

	require.NotEmpty(t, file.Measures)
	for _, m := range file.Measures {
		require.Positive(t, m.Value, m.Name)
		require.NotEmpty(t, m.Unit, m.Name)
	}

	svg, err := os.ReadFile(filepath.Join(dir, "results.svg"))
	require.NoError(t, err)
	for dec := xml.NewDecoder(bytes.NewReader(svg)); ; {
		_, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
}

func TestUnknownPart(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"-part", "speed"}, io.Discard), `there is no part "speed"`)
}

func TestGoals(t *testing.T) {
	for _, c := range []struct {
		goal  goal
		ratio float64
		met   bool
	}{{atLeast(20), 20, true}, {atLeast(20), 19.9, false}, {atMost(1), 1, true}, {atMost(1), 1.1, false}} {
		require.Equal(t, c.met, c.goal.score(c.ratio) >= 1, "%v against %s", c.ratio, c.goal)
	}
	require.Equal(t, spread{2.5, 1, 4}, spreadOf([]float64{4, 1, 3, 2}))
	require.Equal(t, spread{2, 2, 2}, over([]float64{2, 20, 4}, []float64{1, 10, 2}))
}

// What does our work is measured in the versions that the module itself has.
func TestVersionsAreTheModules(t *testing.T) {
	version := func(file, path string) string {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		found := regexp.MustCompile(regexp.QuoteMeta(path) + ` (v\S+)`).FindSubmatch(b)
		require.NotNil(t, found, "%s: %s", file, path)
		return string(found[1])
	}
	for _, path := range []string{"github.com/open-policy-agent/opa", "modernc.org/sqlite", "github.com/goccy/go-yaml"} {
		require.Equal(t, version("../go.mod", path), version("go.mod", path), path)
	}
}
