package middleware

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// A page says that rows before its first have left the store, and only then.
func TestHistorySaysWhatWasArchived(t *testing.T) {
	rows := []interlock.Transition{{Seq: 5}, {Seq: 6}}
	for _, c := range []struct {
		rows  []interlock.Transition
		after int64
		want  any
	}{{rows, 0, 5.0}, {rows, 3, 5.0}, {rows, 4, nil}, {rows[1:], 5, nil}, {nil, 0, nil}} {
		text, err := json.Marshal(viewHistory(c.rows, c.after, 10))
		require.NoError(t, err)
		var page map[string]any
		require.NoError(t, json.Unmarshal(text, &page))
		require.Contains(t, page, "archived_before")
		assert.Equal(t, c.want, page["archived_before"], "%+v", c)
	}
}
