package policies

import (
	"sync"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// Queries are made on first use, by whoever comes: what one makes of the rules for the
// compiled evaluator is nothing that others read (the race detector tells).
func TestQueriesAreMadeBesideEachOther(t *testing.T) {
	for range 8 {
		r := checkRules(t, refuses)
		m := r.machines["m"]
		body, err := ast.ParseBodyWithOpts("input = input", ast.ParserOptions{RegoVersion: ast.RegoV1})
		require.NoError(t, err)
		var all sync.WaitGroup
		all.Go(func() { // as those do who have topdown confirm
			for range 200 {
				_, err := m.compiler.QueryCompiler().Compile(body.Copy())
				assert.NoError(t, err)
			}
		})
		all.Go(func() {
			q := ask(interlock.Query{})
			_, err := m.query(q, r.opts)
			assert.NoError(t, err)
		})
		all.Wait()
	}
}
