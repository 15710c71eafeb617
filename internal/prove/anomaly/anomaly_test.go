package anomaly_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/prove/anomaly"
)

type versions = map[string]int64

// Each anomaly is found when it is planted.
func TestPlantedAnomalies(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		txns []anomaly.Txn
	}{
		"none": {"", []anomaly.Txn{
			{Name: "grant", Writes: versions{"ann": 1}, Begun: 1, Ended: 2},
			{Name: "fire", Reads: versions{"ann": 1}, Writes: versions{"loan": 1}, Begun: 3, Ended: 6},
			{Name: "revoke", Writes: versions{"ann": 2}, Begun: 4, Ended: 5},
			{Name: "look", Reads: versions{"ann": 2, "loan": 1}, Begun: 7, Ended: 8},
		}},
		"a commit on the old role after the revoke was answered": {"G-single-realtime", []anomaly.Txn{
			{Name: "grant", Writes: versions{"ann": 1}, Begun: 1, Ended: 2},
			{Name: "revoke", Writes: versions{"ann": 2}, Begun: 3, Ended: 4},
			{Name: "fire", Reads: versions{"ann": 1}, Writes: versions{"loan": 1}, Begun: 5, Ended: 6},
		}},
		"a commit on the old role, of whose row the revoke knew": {"G-single", []anomaly.Txn{
			{Name: "grant", Writes: versions{"ann": 1}},
			{Name: "fire", Reads: versions{"ann": 1}, Writes: versions{"loan": 1}},
			{Name: "revoke", Writes: versions{"ann": 2, "loan": 0}, Reads: versions{"loan": 0}},
			{Name: "after", Reads: versions{"ann": 2}, Writes: versions{"bill": 1}},
			{Name: "look", Reads: versions{"bill": 1, "loan": 0}},
		}},
		"write skew": {"G2-item", []anomaly.Txn{
			{Name: "one", Reads: versions{"a": 0, "b": 0}, Writes: versions{"a": 1}},
			{Name: "two", Reads: versions{"a": 0, "b": 0}, Writes: versions{"b": 1}},
		}},
		"circular information": {"G1c", []anomaly.Txn{
			{Name: "one", Reads: versions{"b": 1}, Writes: versions{"a": 1}},
			{Name: "two", Reads: versions{"a": 1}, Writes: versions{"b": 1}},
		}},
		"writes across": {"G0", []anomaly.Txn{
			{Name: "one", Writes: versions{"a": 1, "b": 2}},
			{Name: "two", Writes: versions{"a": 2, "b": 1}},
		}},
		"a read of nothing that was committed": {"G1a", []anomaly.Txn{{Name: "one", Reads: versions{"a": 3}}}},
		"two wrote one version": {"lost update", []anomaly.Txn{
			{Name: "one", Writes: versions{"a": 1}}, {Name: "two", Writes: versions{"a": 1}},
		}},
		"a stale read": {"G-single-realtime", []anomaly.Txn{
			{Name: "one", Writes: versions{"a": 1}, Begun: 1, Ended: 2}, {Name: "two", Reads: versions{"a": 0}, Begun: 3, Ended: 4},
		}},
		"a read of the future": {"G1c-realtime", []anomaly.Txn{
			{Name: "two", Reads: versions{"a": 1}, Begun: 1, Ended: 2}, {Name: "one", Writes: versions{"a": 1}, Begun: 3, Ended: 4},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			found := anomaly.Find(c.txns)
			if c.want == "" {
				assert.Empty(t, found)
				return
			}
			require.NotEmpty(t, found)
			assert.Equal(t, c.want, found[0].Name, "%v", found)
		})
	}
}

// A run that was made one transaction after the other has none, whatever its
// size; with one reader moved out of its place it has one.
func TestALongRun(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	now := versions{}
	var txns []anomaly.Txn
	for n := range 20_000 {
		a, b := fmt.Sprint("k", rnd.IntN(30)), fmt.Sprint("k", rnd.IntN(30))
		at := int64(10*n + 1)
		txn := anomaly.Txn{Name: fmt.Sprint("t", n), Reads: versions{a: now[a]}, Writes: versions{}, Begun: at, Ended: at + 5}
		if a != b {
			txn.Writes[b] = now[b] + 1
			now[b]++
		}
		txns = append(txns, txn)
	}
	require.Empty(t, anomaly.Find(txns))
	for k, v := range txns[19_000].Reads {
		txns[19_000].Reads[k] = v - 1
	}
	found := anomaly.Find(txns)
	require.Len(t, found, 1)
	assert.Equal(t, "G-single-realtime", found[0].Name)
}
