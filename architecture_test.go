package interlock_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/interlock-go/interlock"

// arrows says which packages may know which. Ours are written as folders below
// the module, the root as "."; "x/..." is x and all below it.
var arrows = []arrow{
	{
		from: "fsm/...", to: ours("fsm/..."), testsTo: ours(),
		never: slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: ".", to: ours("fsm", "internal/jsonvalue", "internal/lent"), others: []string{},
		testsTo: ours("..."), // Examples mount the whole, as an application does
		never:   slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/lent", to: ours(), others: []string{}, testsTo: ours(), // a leaf, between the gate and who answers over HTTP
		never: slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/jsonvalue", to: ours(), others: []string{}, testsTo: ours(), // a leaf, for whoever writes JSON
		never: slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/heap", to: ours(), others: []string{}, testsTo: ours(), // a leaf, for whole programs
		never: slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/wire", to: ours(".", "fsm", "internal/jsonvalue"), others: []string{}, testsTo: ours(),
		never: slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "policies/compiled", to: ours(), others: []string{"github.com/open-policy-agent/opa"},
		testsTo: ours(), // it stands alone: an evaluator for anybody's policies
		never:   slices.Concat(web, databases),
	},
	{
		from: "policies/...", to: ours(".", "fsm", "policies/..."), testsTo: ours("examples/...", "store/..."),
		never: slices.Concat(web, databases),
	},
	{
		from: "store/sqlite", to: ours(".", "fsm", "internal/sqlstore/..."), testsTo: testStores,
		never: slices.Concat(web, rego, telemetry, postgresLibs, redisLibs),
	},
	{
		from: "store/postgres", to: ours(".", "fsm", "internal/sqlstore/..."), testsTo: append(ours("archive"), testStores...),
		never: slices.Concat(web, rego, telemetry, sqliteLibs, redisLibs),
	},
	{
		from: "store/rediscache", to: ours(".", "fsm"), testsTo: testStores,
		never: slices.Concat(web, rego, telemetry, sqliteLibs, postgresLibs),
	},
	{
		from: "store/storetest", to: ours(".", "fsm", "archive", "internal/testservice"), testsTo: testStores,
		never: slices.Concat(web, rego, telemetry),
	},
	{
		from: "checkpoint", to: ours("."), others: []string{"golang.org/x/mod/sumdb/note"},
		testsTo: ours("archive", "fsm", "store/...", "internal/testservice"),
		never:   slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "archive", to: ours("."), others: []string{},
		testsTo: ours("fsm", "store/..."),
		never:   slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/export", to: ours("."), others: []string{},
		testsTo: ours(),
		never:   slices.Concat(web, rego, databases, telemetry),
	},
	{
		from: "internal/sqlstore/...", to: ours(".", "fsm", "internal/sqlstore/...", "internal/jsonvalue"), testsTo: testStores,
		never: slices.Concat(web, rego, telemetry, databases),
	},
	{
		from: "middleware/...", to: ours(".", "fsm", "middleware/...", "internal/wire", "internal/jsonvalue", "internal/lent"),
		others:  []string{"github.com/gin-gonic/gin", "github.com/go-json-experiment/json"},
		testsTo: ours("...", "!cmd/...", "!server/..."),
		not:     []string{"database/sql"},
		never:   slices.Concat(rego, databases, telemetry),
	},
	{
		from: "server/...", to: ours(".", "fsm", "middleware", "policies", "server/...", "internal/export", "internal/wire", "internal/jsonvalue", "internal/lent"),
		testsTo: ours("...", "!cmd/..."),
		not:     rego, // the public face of policies, not the engine behind it
		never:   databases,
	},
	{
		from: "examples/...", to: ours("...", "!internal/...", "!cmd/..."), testsTo: ours("internal/testservice"),
	},
	{
		from: "cmd/...", to: ours("..."), testsTo: ours("..."),
		never: ours("internal/testservice/...", "store/storetest/...", "internal/data/...", "internal/prove/..."),
	},
	{from: "internal/testservice/...", to: ours("internal/testservice/..."), testsTo: ours()},
	{from: "internal/data/...", to: ours("..."), testsTo: ours("...")},
	{from: "internal/prove/...", to: ours("..."), testsTo: ours("...")},
}

// Who knows what of the world outside, where that matters to those who import us.
var (
	web          = []string{"github.com/gin-gonic/gin"}
	rego         = []string{"github.com/open-policy-agent/opa"}
	postgresLibs = []string{"github.com/jackc/pgx/v5"}
	sqliteLibs   = []string{"modernc.org/sqlite"}
	redisLibs    = []string{"github.com/redis/go-redis/v9"}
	databases    = slices.Concat(postgresLibs, sqliteLibs, redisLibs)
	telemetry    = []string{"github.com/prometheus/client_golang", "go.opentelemetry.io/otel"}
	testStores   = ours("store/...", "internal/testservice")
)

// arrow is what packages may import, and what they may never reach.
type arrow struct {
	from    string   // a pattern of packages
	to      []string // what they may import of ours; "!pattern" takes away
	testsTo []string // what their tests may import besides
	others  []string // all that they may import of third parties; nil: anything
	not     []string // what they may not import themselves
	never   []string // what they may not reach over any number of imports
}

// listed is a package as `go list -json` tells of it.
type listed struct {
	ImportPath                               string
	Imports, Deps, TestImports, XTestImports []string
}

func ours(patterns ...string) []string { return patterns }

func TestArchitecture(t *testing.T) {
	packages := list(t)
	require.Greater(t, len(packages), 1, "go list found nothing to check")
	require.Empty(t, strings.Join(violations(packages, arrows), "\n"))
}

func TestBenchIsAModuleOfItsOwn(t *testing.T) {
	for _, p := range list(t) {
		require.False(t, within(p.ImportPath, "bench/..."), "%s belongs to this module: peers would enter its go.mod", p.ImportPath)
	}
	if _, err := os.Stat("bench"); err == nil {
		require.FileExists(t, "bench/go.mod")
	}
}

func list(t *testing.T) []listed {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", "./...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func violations(packages []listed, arrows []arrow) []string {
	var out []string
	for _, p := range packages {
		i := slices.IndexFunc(arrows, func(a arrow) bool { return within(p.ImportPath, a.from) })
		if i < 0 {
			out = append(out, fmt.Sprintf("%s: no arrow says what it may import: add one", p.ImportPath))
			continue
		}
		out = append(out, arrows[i].violations(p)...)
	}
	return out
}

func (a arrow) violations(p listed) []string {
	var out []string
	for _, i := range p.Imports {
		switch {
		case within(i, "...") && !allowed(i, a.to):
			out = append(out, fmt.Sprintf("%s imports %s; of ours it may import %v", p.ImportPath, i, a.to))
		case a.others != nil && thirdParty(i) && !reaches(i, a.others):
			out = append(out, fmt.Sprintf("%s imports %s; of third parties it may import %v", p.ImportPath, i, a.others))
		case reaches(i, a.not):
			out = append(out, fmt.Sprintf("%s imports %s, which it should not know", p.ImportPath, i))
		}
	}
	for _, i := range p.Deps {
		if reaches(i, a.never) {
			out = append(out, fmt.Sprintf("%s reaches %s: whoever imports it pays for that", p.ImportPath, i))
		}
	}
	for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
		if within(i, "...") && i != p.ImportPath && !allowed(i, a.to) && !allowed(i, a.testsTo) {
			out = append(out, fmt.Sprintf("a test of %s imports %s; of ours it may import %v and %v", p.ImportPath, i, a.to, a.testsTo))
		}
	}
	return out
}

// allowed: a pattern allows, and no "!pattern" takes away.
func allowed(path string, patterns []string) bool {
	yes := false
	for _, p := range patterns {
		if no, ok := strings.CutPrefix(p, "!"); !ok {
			yes = yes || within(path, p)
		} else if within(path, no) {
			return false
		}
	}
	return yes
}

// within tells whether an import path lies in a pattern of ours.
func within(path, pattern string) bool {
	switch pattern {
	case ".":
		return path == module
	case "...":
		return path == module || strings.HasPrefix(path, module+"/")
	}
	base, tree := strings.CutSuffix(pattern, "/...")
	base = module + "/" + base
	return path == base || tree && strings.HasPrefix(path, base+"/")
}

// reaches tells whether an import path is one of the given or below it; ours
// are patterns, third parties are prefixes.
func reaches(path string, targets []string) bool {
	return slices.ContainsFunc(targets, func(t string) bool {
		return within(path, t) || path == t || strings.HasPrefix(path, t+"/")
	})
}

func thirdParty(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !within(path, "...")
}

func TestViolationsAreFound(t *testing.T) {
	const gin, pgx, opa = "github.com/gin-gonic/gin", "github.com/jackc/pgx/v5/pgxpool", "github.com/open-policy-agent/opa/v1/rego"
	for _, c := range []struct {
		name string
		pkg  listed
		want string // empty: no violation
	}{
		{"fsm and the standard library", listed{ImportPath: module, Imports: []string{"errors", module + "/fsm"}}, ""},
		{"fsm imports the root", listed{ImportPath: module + "/fsm", Imports: []string{module}}, "of ours it may import"},
		{"a test of fsm imports the root", listed{ImportPath: module + "/fsm", XTestImports: []string{module}}, "a test of " + module + "/fsm imports"},
		{"a test of fsm imports fsm", listed{ImportPath: module + "/fsm", XTestImports: []string{module + "/fsm"}}, ""},
		{"the root imports a third party", listed{ImportPath: module, Imports: []string{"github.com/google/uuid"}}, "of third parties it may import"},
		{"the root reaches Gin by way of another", listed{ImportPath: module, Deps: []string{gin}}, "reaches " + gin},
		{"the root imports a store", listed{ImportPath: module, Imports: []string{module + "/store/sqlite"}}, "of ours it may import"},
		{"an Example of the root mounts the whole", listed{ImportPath: module, XTestImports: []string{module + "/store/sqlite", module}}, ""},
		{"policies on OPA", listed{ImportPath: module + "/policies", Imports: []string{module, opa}, Deps: []string{opa}}, ""},
		{"the compiled evaluator knows the gate", listed{ImportPath: module + "/policies/compiled", Imports: []string{module, opa}}, "of ours it may import"},
		{"the compiled evaluator on OPA", listed{ImportPath: module + "/policies/compiled", Imports: []string{opa}, Deps: []string{opa}}, ""},
		{"policies reaches a driver", listed{ImportPath: module + "/policies", Deps: []string{pgx}}, "reaches"},
		{"a store with its driver", listed{ImportPath: module + "/store/postgres", Imports: []string{module, module + "/internal/sqlstore", pgx}, Deps: []string{pgx}}, ""},
		{"a store beside a store", listed{ImportPath: module + "/store/postgres", Imports: []string{module + "/store/sqlite"}}, "of ours it may import"},
		{"a store reaches OPA", listed{ImportPath: module + "/store/sqlite", Deps: []string{opa}}, "reaches"},
		{"a new store without an arrow", listed{ImportPath: module + "/store/mysql"}, "no arrow says"},
		{"middleware with Gin", listed{ImportPath: module + "/middleware", Imports: []string{module, gin}, Deps: []string{gin}}, ""},
		{"middleware imports policies", listed{ImportPath: module + "/middleware", Imports: []string{module + "/policies"}}, "of ours it may import"},
		{"middleware knows a transaction's type", listed{ImportPath: module + "/middleware", Imports: []string{"database/sql"}}, "should not know"},
		{"a test of middleware starts the server", listed{ImportPath: module + "/middleware", TestImports: []string{module + "/server"}}, "a test of"},
		{"server imports the engine", listed{ImportPath: module + "/server", Imports: []string{opa}}, "should not know"},
		{"server reaches the engine through policies", listed{ImportPath: module + "/server", Imports: []string{module + "/policies"}, Deps: []string{opa}}, ""},
		{"an example as a stranger", listed{ImportPath: module + "/examples/loan", Imports: []string{module, module + "/store/postgres", pgx}, TestImports: []string{module + "/internal/testservice"}}, ""},
		{"an example looks inside", listed{ImportPath: module + "/examples/loan", Imports: []string{module + "/internal/testservice"}}, "of ours it may import"},
		{"an example takes from cmd", listed{ImportPath: module + "/examples/loan", Imports: []string{module + "/cmd/interlock"}}, "of ours it may import"},
		{"cmd wires everything", listed{ImportPath: module + "/cmd/interlock", Imports: []string{module + "/server", module + "/examples/loan", pgx, opa}}, ""},
		{"cmd ships the tests' servers", listed{ImportPath: module + "/cmd/interlock", Imports: []string{module + "/internal/testservice"}, Deps: []string{module + "/internal/testservice"}}, "reaches"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(violations([]listed{c.pkg}, arrows), "\n")
			if c.want == "" {
				require.Empty(t, got)
			} else {
				require.Contains(t, got, c.want)
			}
		})
	}
}
