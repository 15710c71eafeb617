package policies

import (
	"context"
	"testing"

	"github.com/interlock-go/interlock"
)

func BenchmarkDecide(b *testing.B) {
	r := rulesOf(b, loanRules)
	for name, change := range map[string]func(*interlock.Input){
		"yes": func(*interlock.Input) {},
		"no":  func(in *interlock.Input) { in.Instance.Facts["amount"] = 9000 },
	} {
		b.Run(name, func(b *testing.B) {
			in := loanInput()
			change(in)
			q := &interlock.Query{Input: in, Checks: []string{"four_eyes", "within_limit"}, Deny: true}
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
	r := rulesOf(b, loanRules)
	in := loanInput()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.machines["loan"].encoder.encode(in); err != nil {
			b.Fatal(err)
		}
	}
}
