package interlock_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// Ids that the gate makes are UUIDs of version 7 (RFC 9562): after the time there
// are 74 random bits, so who knows one can't tell the next.
func TestMadeIDsCannotBeGuessed(t *testing.T) {
	g := newGate(t, nil)
	version7 := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	tails := map[string]bool{}
	ones := make([]int, 74)
	const made = 200
	for range made {
		res, err := g.Create(t.Context(), employee("erin"), interlock.CreateRequest{Machine: "loan", Facts: map[string]any{"amount": 10}})
		require.NoError(t, err)
		id := res.Instance.ID
		require.Regexp(t, version7, id)
		bits := randomBits(t, id)
		require.Len(t, bits, 74)
		for i, b := range bits {
			if b == '1' {
				ones[i]++
			}
		}
		tails[bits] = true
	}
	require.Len(t, tails, made)
	for i, n := range ones {
		require.NotZero(t, n, "bit %d is never set", i)
		require.NotEqual(t, made, n, "bit %d is always set", i)
	}
}

// randomBits are the 12 bits after the version and the 62 after the variant.
func randomBits(t *testing.T, id string) string {
	t.Helper()
	var bits strings.Builder
	for _, c := range strings.ReplaceAll(id, "-", "")[12:] {
		var n int
		_, err := fmt.Sscanf(string(c), "%x", &n)
		require.NoError(t, err)
		fmt.Fprintf(&bits, "%04b", n)
	}
	b := bits.String()
	return b[4:16] + b[18:]
}
