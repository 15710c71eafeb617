package server

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// The answer to a change says whether reads show it; an actor that is only read says nothing of it.
func TestChangesSayWhetherTheCacheWasTold(t *testing.T) {
	said := func(v any) any {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		var out map[string]any
		require.NoError(t, json.Unmarshal(b, &out))
		return out["cache_invalidated"]
	}
	require.Equal(t, false, said(actorChanged(interlock.ActorRecord{ID: "ann", ReadsLag: true})))
	require.Equal(t, true, said(actorChanged(interlock.ActorRecord{ID: "ann"})))
	require.Nil(t, said(actorRow(interlock.ActorRecord{ID: "ann"})))
}
