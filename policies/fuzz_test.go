package policies

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

// Whatever stands in a file, compiling gives rules or a LoadError, and never a
// panic; rules that came out of it answer or give an error.
func FuzzPolicySource(f *testing.F) {
	for _, files := range refused {
		for _, text := range files {
			f.Add(text, "")
		}
	}
	f.Add(loanRules, `{"a": 1}`)
	m, err := fsm.Parse("loan.yaml", []byte(loanMachine))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, rego, data string) {
		files := map[string]string{"loan.rego": rego}
		if data != "" {
			files["data.json"] = data
			files["sub/data.yaml"] = data
		}
		rules, err := Sources(files, Timeout(time.Second)).Compile(context.Background(), []*fsm.Machine{m})
		var load *LoadError
		if err != nil {
			if !errors.As(err, &load) || len(load.Diagnostics) == 0 {
				t.Fatalf("no LoadError: %v", err)
			}
			for _, d := range load.Diagnostics {
				if d.Code == "engine_failed" {
					t.Fatalf("the engine panicked: %s", d)
				}
			}
			return
		}
		v, err := rules.Decide(context.Background(), &interlock.Query{Input: loanInput(), Checks: []string{"four_eyes", "within_limit"}, Grants: []string{"owner"}, Deny: true, Target: true})
		if err == nil && len(v.Passed)+len(v.Granted)+len(v.Failed) != 3 {
			t.Fatalf("two checks and a grant were asked for: %+v", v)
		}
	})
}
