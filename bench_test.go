package interlock_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

// BenchmarkFire is one caller's durable transition on an SQLite file.
func BenchmarkFire(b *testing.B) {
	st, err := sqlite.Open(b.TempDir() + "/bench.db")
	require.NoError(b, err)
	defer st.Close()
	g := newGate(b, func(c *interlock.Config) { c.Store = st })
	newLoan(b, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "comment", Input: map[string]any{"text": "x"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Fire(b.Context(), employee("erin"), req); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecide is the same decision without the commit.
func BenchmarkDecide(b *testing.B) {
	g := newGate(b, nil)
	newLoan(b, g, "17")
	req := interlock.Request{Machine: "loan", ID: "17", Event: "submit", DryRun: true}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Fire(b.Context(), employee("erin"), req); err != nil {
			b.Fatal(err)
		}
	}
}
