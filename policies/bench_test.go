package policies

import (
	"context"
	"testing"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

func BenchmarkDecide(b *testing.B) {
	for way, opts := range map[string][]Option{"topdown": {WithCompiled(false)}, "both": nil, "draft": nil} {
		b.Run(way, func(b *testing.B) { benchmarkDecide(b, rulesOf(b, loanRules, opts...), way == "draft") })
	}
}

func benchmarkDecide(b *testing.B, r *Rules, draft bool) {
	b.Helper()
	for name, change := range map[string]func(*interlock.Input){
		"yes": func(*interlock.Input) {},
		"no":  func(in *interlock.Input) { in.Instance.Facts["amount"] = 9000 },
	} {
		b.Run(name, func(b *testing.B) {
			in := loanInput()
			in.Instance.Memo = new(interlock.Memo)
			change(in)
			q := &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Deny: true, Draft: draft}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Decide(context.Background(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	e := rulesOf(b, loanRules).machines["loan"].encoder
	in := loanInput()
	b.Run("topdown", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := encode(e, terms{}, in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("compiled", func(b *testing.B) {
		b.ReportAllocs()
		var builder compiled.Builder
		for b.Loop() {
			if _, err := encode(e, own{&builder}, in); err != nil {
				b.Fatal(err)
			}
			builder.Reset()
		}
	})
}
