package middleware

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// atOnce gives all that there is room for, and says that it is the end.
type atOnce int

func (n atOnce) Read(p []byte) (int, error) { return min(int(n), len(p)), io.EOF }

// A body is no longer than it may be, whatever it said of itself.
func TestABodyWithinItsLimit(t *testing.T) {
	for n, fits := range map[atOnce]bool{0: true, 9: true, 10: true, 11: false, 5000: false} {
		body, err := readAll(n, make([]byte, 0, 1<<16), 10, 10)
		if fits {
			require.NoError(t, err)
			require.Len(t, body, int(n))
			continue
		}
		var tooLarge *http.MaxBytesError
		require.ErrorAs(t, err, &tooLarge)
		require.LessOrEqual(t, len(body), 10)
	}
}
