package sqlite

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func aRow(id string) *interlock.Facts {
	return &interlock.Facts{Epoch: "e", Instance: &interlock.Instance{Tenant: "t", Machine: "m", ID: id, Version: 1}}
}

func kept(c *copies, id string, actors ...string) bool {
	_, ok := c.get("t", interlock.Ref{Machine: "m", ID: id}, actors)
	return ok
}

func keepNow(c *copies, id string, actors ...string) {
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: id}, actors, aRow(id))
}

func ready(bytes int) *copies {
	c := newCopies(bytes)
	c.epoch = "e"
	return c
}

func TestWhatMayHaveChangedIsNotKept(t *testing.T) {
	key := []rowKey{instanceKey("t", interlock.Ref{Machine: "m", ID: "a"})}
	c := ready(1 << 20)
	keepNow(c, "a", "ann")
	require.True(t, kept(c, "a", "ann"))
	require.False(t, kept(c, "a", "bob"), "not everything is there")
	require.False(t, kept(c, "b"))

	before := c.look()
	c.begin(key)
	require.False(t, kept(c, "a"), "it is being changed")
	keepNow(c, "a")
	require.False(t, kept(c, "a"), "and not to be kept")
	c.begin(key)
	c.settle(key)
	keepNow(c, "a")
	require.False(t, kept(c, "a"), "another transaction still changes it")
	c.settle(key)
	c.keep(before, time.Now(), "t", interlock.Ref{Machine: "m", ID: "a"}, nil, aRow("a"))
	require.False(t, kept(c, "a"), "it was read before")
	keepNow(c, "a")
	require.True(t, kept(c, "a"))

	before = c.look()
	c.restart()
	require.False(t, kept(c, "a"), "a new epoch")
	c.keep(before, time.Now(), "t", interlock.Ref{Machine: "m", ID: "a"}, nil, aRow("a"))
	require.False(t, kept(c, "a"))
	keepNow(c, "a")
	other := aRow("b")
	other.Epoch = "f"
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "b"}, nil, other)
	require.False(t, kept(c, "a"), "it is of another epoch than what was read since")

	bound := aRow("c")
	bound.IsBound = true
	c.epoch = "e"
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "c"}, nil, bound)
	require.False(t, kept(c, "c"), "the application changes it")
}

func TestCopiesAreBounded(t *testing.T) {
	c := ready(100 << 10)
	const rows = 10_000
	for i := range rows {
		keepNow(c, fmt.Sprint(i), "ann")
	}
	require.LessOrEqual(t, c.bytes, 50<<10)
	require.Less(t, len(c.young)+len(c.old), 100)
	require.True(t, kept(c, fmt.Sprint(rows-1), "ann"))

	large := aRow("large")
	large.Instance.Facts = map[string]any{"text": []any{strings.Repeat("x", largeRow)}}
	c.keep(c.look(), time.Now(), "t", interlock.Ref{Machine: "m", ID: "large"}, nil, large)
	require.False(t, kept(c, "large"))

	c.keep(c.look(), time.Now().Add(-copyAge), "t", interlock.Ref{Machine: "m", ID: "old"}, nil, aRow("old"))
	require.False(t, kept(c, "old"))

	none, err := Open(":memory:", Memory(0))
	require.NoError(t, err)
	require.Nil(t, none.copies)
	require.NoError(t, none.Close())
}
