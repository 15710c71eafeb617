package postgres

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// waitingFor is a commit of this size that waits, of an instance and perhaps under a key.
func waitingFor(instance, key string, size int) *pending {
	c := &interlock.Commit{Instance: &interlock.InstanceChange{Next: interlock.Instance{Tenant: "t", Machine: "m", ID: instance}}}
	if key != "" {
		c.Idempotency = &interlock.Idempotency{Tenant: "t", Actor: "ann", Key: key}
	}
	return &pending{commit: c, size: size, done: make(chan struct{})}
}

// A batch is bounded in commits and bytes, holds no two of an instance or a key,
// and takes nobody's turn: what doesn't fit stays, in its order.
func TestTake(t *testing.T) {
	var many, same []*pending
	for n := range most + 3 {
		many, same = append(many, waitingFor(fmt.Sprint(n), "", 1)), append(same, waitingFor("one", "", 1))
	}
	a, again, b, c := waitingFor("a", "k", 1), waitingFor("a", "", 1), waitingFor("b", "k", 1), waitingFor("c", "l", 1)
	large, huge, small := waitingFor("large", "", mostBytes-1), waitingFor("huge", "", 2*mostBytes), waitingFor("small", "", 1)
	for name, tc := range map[string]struct{ queue, batch, rest []*pending }{
		"nothing":         {nil, nil, nil},
		"most":            {many, many[:most], many[most:]},
		"one instance":    {same, same[:1], same[1:]},
		"a key, twice":    {[]*pending{a, again, b, c}, []*pending{a, c}, []*pending{again, b}},
		"bytes":           {[]*pending{large, huge, small}, []*pending{large, small}, []*pending{huge}},
		"larger than all": {[]*pending{huge, small}, []*pending{huge}, []*pending{small}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &group{queue: tc.queue}
			batch := g.take()
			require.Equal(t, len(tc.batch), len(batch))
			for i := range batch {
				assert.Same(t, tc.batch[i], batch[i])
				assert.EqualValues(t, len(batch), batch[i].flight.waiting.Load())
				defer batch[i].flight.cancel()
			}
			require.Equal(t, len(tc.rest), len(g.queue))
			for i := range g.queue {
				assert.Same(t, tc.rest[i], g.queue[i])
			}
		})
	}
}
