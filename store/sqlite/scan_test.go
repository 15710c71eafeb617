package sqlite

import (
	"database/sql/driver"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// What database/sql would make of a row for our statements, we make, too; the rest
// is refused and never guessed.
func TestScan(t *testing.T) {
	var (
		number int64
		small  int
		byt    int8
		text   string
		status interlock.Stage
		yes    bool
		bytes  []byte
		maybe  *string
	)
	require.NoError(t, scan([]driver.Value{int64(1 << 40), int64(7), int64(-8), "a", "active", int64(1), []byte("b"), "c"},
		[]any{&number, &small, &byt, &text, &status, &yes, &bytes, &maybe}))
	require.EqualValues(t, 1<<40, number)
	require.Equal(t, 7, small)
	require.EqualValues(t, -8, byt)
	require.Equal(t, "a", text)
	require.EqualValues(t, "active", status)
	require.True(t, yes)
	require.Equal(t, []byte("b"), bytes)
	require.Equal(t, "c", *maybe)
	require.NoError(t, scan([]driver.Value{nil, nil}, []any{&bytes, &maybe}))
	require.Nil(t, bytes)
	require.Nil(t, maybe)
	for _, c := range []struct {
		from driver.Value
		to   any
	}{
		{nil, &number}, {"1", &number}, {int64(1), &text}, {nil, &text}, {int64(300), &byt}, {int64(2), &yes}, {"true", &yes},
		{1.5, &number}, {int64(1), &maybe}, {[]byte("x"), &text}, {nil, &status},
	} {
		require.Error(t, scan([]driver.Value{c.from}, []any{c.to}), "%T %v for a %T", c.from, c.from, c.to)
	}
	require.ErrorContains(t, scan(nil, []any{&text}), "0 columns for 1 places")
}
