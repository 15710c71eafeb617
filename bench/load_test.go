package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func splitList(s string) []string { return strings.Split(s, ", ") }

func TestClosedLoopStopsAtAnError(t *testing.T) {
	boom := errors.New("boom")
	_, err := closedLoop("x", func(context.Context, int) error { return boom }).run(t.Context(), 3, time.Minute)
	require.ErrorIs(t, err, boom)

	w, err := closedLoop("x", func(context.Context, int) error { time.Sleep(time.Millisecond); return nil }).run(t.Context(), 2, 20*time.Millisecond)
	require.NoError(t, err)
	require.NotEmpty(t, w.latencies)
	require.Positive(t, w.rate)
}

// A latency begins when the request was due: where each takes longer than the
// rate leaves for it, they add up.
func TestOpenLoopCountsStalls(t *testing.T) {
	const each = 2 * time.Millisecond
	taken, err := openLoop(t.Context(), 1, 2000, 20*time.Millisecond, func(context.Context, int) error { time.Sleep(each); return nil })
	require.NoError(t, err)
	require.Greater(t, len(taken), 20)
	require.GreaterOrEqual(t, taken[len(taken)-1], time.Duration(len(taken))*each-20*time.Millisecond)
	require.GreaterOrEqual(t, taken[0], each)
}

func TestTurnsBeginWithAnother(t *testing.T) {
	var order []int
	require.NoError(t, turns(3, 3, func(i int) error { order = append(order, i); return nil }))
	require.Equal(t, []int{0, 1, 2, 1, 2, 0, 2, 0, 1}, order)
}

// The client reads bodies with a length and in chunks, and takes anything but 200 for an error.
func TestClient(t *testing.T) {
	long := strings.Repeat("0123456789", 2000)
	s, err := newSite(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			fmt.Fprint(w, long)
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "end")
		case "/no":
			http.Error(w, "not this", http.StatusForbidden)
		default:
			fmt.Fprint(w, r.Header.Get("X-User"))
		}
	}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.close()) })
	c, err := dial(t.Context(), s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.conn.Close() })
	for range 2 {
		body, err := c.send(post("/", "ann", "{}"))
		require.NoError(t, err)
		require.Equal(t, "ann", string(body))
		body, err = c.send(post("/long", "ann", "{}"))
		require.NoError(t, err)
		require.Equal(t, long+"end", string(body))
		_, err = c.send(post("/no", "ann", "{}"))
		require.ErrorContains(t, err, "403 Forbidden: not this")
	}
}
