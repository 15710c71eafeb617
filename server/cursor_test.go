package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzCursor: a cursor leads on where it was given, for the question that it
// belongs to, and nowhere else; what the server didn't seal leads nowhere.
func FuzzCursor(f *testing.F) {
	f.Add("", "17", "loan", "open", 0)
	f.Add("AAAA", "a\x00b", "", "", 3)
	f.Fuzz(func(t *testing.T, made, position, first, second string, at int) {
		aead, err := sealer([]byte("0123456789abcdef0123456789abcdef"))
		require.NoError(t, err)
		s := &Server{cursors: aead}
		given := s.cursor(position, first, second)
		got, err := s.position(given, first, second)
		require.NoError(t, err)
		require.Equal(t, position, got)
		if made != "" {
			_, err = s.position(made, first, second)
			require.Error(t, err, "%q was never given", made)
		}
		for _, question := range [][]string{{first + second}, {first, second, ""}, {first + "x", second}, {second + "x", first}} {
			_, err = s.position(given, question...)
			require.Error(t, err, "given for %q, taken for %q", []string{first, second}, question)
		}
		changed := []byte(given)
		if at = max(at, 0) % len(changed); changed[at] == 'A' {
			changed[at] = 'B'
		} else {
			changed[at] = 'A'
		}
		_, err = s.position(string(changed), first, second)
		require.Error(t, err, "changed at %d", at)
	})
}
