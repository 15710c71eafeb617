package interlock_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies"
)

// blocks are the pieces of code of one language in a document.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var list []string
	for _, b := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		list = append(list, string(b[1]))
	}
	return list
}

// The machines and the policy that the documents show load without a finding.
func TestDocumentedDefinitions(t *testing.T) {
	examples := machines(t, blocks(t, "docs/machines.md", "yaml")...)
	require.NotEmpty(t, examples)
	for _, m := range examples {
		require.Empty(t, m.Findings(), m.Name())
	}

	sources := map[string]string{}
	for _, rego := range blocks(t, "docs/policies.md", "rego") {
		pkg := regexp.MustCompile(`(?m)^package interlock\.machine\.(\w+)$`).FindStringSubmatch(rego)
		require.NotNil(t, pkg, rego)
		sources[pkg[1]+".rego"] = rego
	}
	require.Contains(t, sources, examples[0].Name()+".rego")
	report, err := policies.Check(t.Context(), policies.Sources(sources), examples[:1])
	require.NoError(t, err)
	require.Empty(t, report.Errors)
	require.Empty(t, report.Findings)
}

// docs/policies.md, "Traps of deny": what a deny rule hides from those who may read.
func TestDenyIsAskedOfReads(t *testing.T) {
	const doc = `
machine: doc
initial: new
create: {requires: [employee]}
states: {new: {}, approved: {}}
events:
  approve: {from: new, to: approved, requires: [employee]}
  back: {from: approved, to: new, requires: [employee]}
`
	for name, c := range map[string]struct {
		when                              string
		readsNew, approves, readsApproved bool
	}{
		"of everything":     {`true`, false, false, false},
		"guarded by event":  {`input.event == "approve"`, true, false, true},
		"guarded by target": {`input.transition.to == "approved"`, true, false, false},
		"undefined":         {`input.actor.claims.blocked`, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory(t)
			with := func(rego string) *interlock.Gate {
				return newGate(t, func(cfg *interlock.Config) {
					cfg.Machines, cfg.Store = machines(t, doc), st
					cfg.Policy = policies.Sources(map[string]string{"doc.rego": "package interlock.machine.doc\n" + rego})
				})
			}
			open := with("")
			read := func(g *interlock.Gate, id string) error {
				_, err := g.Get(t.Context(), employee("ann"), interlock.Ref{Machine: "doc", ID: id})
				return err
			}
			for _, id := range []string{"a", "b"} {
				_, err := open.Create(t.Context(), employee("ann"), interlock.CreateRequest{Machine: "doc", ID: id})
				require.NoError(t, err)
			}
			_, err := open.Fire(t.Context(), employee("ann"), interlock.Request{Machine: "doc", ID: "b", Event: "approve"})
			require.NoError(t, err)

			g := with(`deny contains {"code": "closed", "message": "It is closed"} if ` + c.when)
			require.Equal(t, c.readsNew, read(g, "a") == nil)
			require.Equal(t, c.readsApproved, read(g, "b") == nil)
			if !c.readsApproved {
				refusal(t, read(g, "b"), interlock.StageGraph, "not_found")
			}
			_, err = g.Fire(t.Context(), employee("ann"), interlock.Request{Machine: "doc", ID: "a", Event: "approve"})
			require.Equal(t, c.approves, err == nil)
		})
	}
}
