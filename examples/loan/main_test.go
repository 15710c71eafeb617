package main

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRunServesUntilItIsToldToEnd(t *testing.T) {
	t.Attr("store", "sqlite")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())

	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-db", filepath.Join(t.TempDir(), "loan.db"), "-listen", addr}) }()
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + addr + "/loans")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusUnauthorized
	}, 20*time.Second, 20*time.Millisecond)
	end()
	require.NoError(t, <-ended)
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere", "loan.db")
	require.ErrorContains(t, run(t.Context(), []string{"-db", nowhere}), nowhere)
	require.Error(t, run(t.Context(), []string{"-db", "postgres://127.0.0.1:1/nothing?connect_timeout=2"}))
	require.Error(t, run(t.Context(), []string{"-database", "x"}))
}
