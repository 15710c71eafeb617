package main

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunServesUntilItIsToldToEnd(t *testing.T) {
	t.Attr("store", "sqlite")
	said, out, err := os.Pipe()
	require.NoError(t, err)
	defer said.Close()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error, 1)
	stdout := os.Stdout
	os.Stdout = out
	go func() {
		err := run(ctx, []string{"-db", filepath.Join(t.TempDir(), "loan.db"), "-listen", "127.0.0.1:0"})
		_ = out.Close()
		ended <- err
	}()
	address, lines := "", bufio.NewScanner(said)
	for address == "" && lines.Scan() {
		address = regexp.MustCompile(`http://[\d.]+:\d+`).FindString(lines.Text())
	}
	os.Stdout = stdout
	require.NotEmpty(t, address, "it ends at once")
	res, err := http.Get(address + "/loans")
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusUnauthorized, res.StatusCode)
	end()
	require.NoError(t, <-ended)
}

func TestRunSaysWhatIsWrong(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere", "loan.db")
	require.ErrorContains(t, run(t.Context(), []string{"-db", nowhere}), nowhere)
	require.Error(t, run(t.Context(), []string{"-db", "postgres://127.0.0.1:1/nothing?connect_timeout=2"}))
	require.Error(t, run(t.Context(), []string{"-database", "x"}))
}
