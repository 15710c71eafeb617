package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
	"github.com/interlock-go/interlock/store/storetest"
)

func TestConformance(t *testing.T) {
	for name, path := range map[string]func(*testing.T) string{
		"sqlite file":   func(t *testing.T) string { return filepath.Join(t.TempDir(), "test.db") },
		"sqlite memory": func(*testing.T) string { return ":memory:" },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) interlock.Store {
				t.Helper()
				var opts []sqlite.Option
				for _, b := range storetest.Bindings() {
					opts = append(opts, sqlite.TableOf(b))
				}
				s, err := sqlite.Open(path(t), opts...)
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, s.Close()) })
				return s
			})
		})
	}
}
