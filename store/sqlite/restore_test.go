package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
	"github.com/interlock-go/interlock/store/storetest"
)

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

// drill keeps one file; own is whether the witness lies where the caller says.
func drill(t *testing.T, own bool) storetest.Drill {
	t.Helper()
	path, backup := filepath.Join(t.TempDir(), "x.db"), filepath.Join(t.TempDir(), "backup.db")
	var st *sqlite.Store
	return storetest.Drill{
		Open: func(t *testing.T, witness string) interlock.Store {
			t.Helper()
			var opts []sqlite.Option
			if own {
				opts = append(opts, sqlite.Witness(witness))
			}
			var err error
			st, err = sqlite.Open(path, opts...)
			require.NoError(t, err)
			return st
		},
		Close:   func(t *testing.T) { t.Helper(); require.NoError(t, st.Close()) },
		Backup:  func(t *testing.T) { t.Helper(); copyFile(t, path, backup) },
		Restore: func(t *testing.T) { t.Helper(); copyFile(t, backup, path) },
	}
}

func TestRestore(t *testing.T) {
	t.Run("witness beside", func(t *testing.T) { storetest.RunRestore(t, drill(t, false)) })
	t.Run("witness elsewhere", func(t *testing.T) { storetest.RunRestore(t, drill(t, true)) })
}

// A witness is a hint of what was, not a key: without it a store starts.
func TestWitness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	start := func() error {
		s, err := sqlite.Open(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, s.Close()) }()
		return s.Migrate(t.Context())
	}
	require.NoError(t, start())
	require.NoError(t, start())
	witness := path + ".witness"
	info, err := os.Stat(witness)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	require.NoError(t, os.Remove(witness))
	require.NoError(t, start(), "a lost one is a first start")
	kept, err := os.ReadFile(witness)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(witness, []byte("{}"), 0o600))
	require.ErrorContains(t, start(), "witness "+witness)
	require.NoError(t, os.WriteFile(witness, kept, 0o600))
	require.NoError(t, start())

	// Another database in its place is not the one that was left.
	require.NoError(t, os.Remove(path))
	var rewound *interlock.RewoundError
	require.ErrorAs(t, start(), &rewound)
	require.ErrorContains(t, rewound, witness)
	left, err := filepath.Glob(witness + ".*")
	require.NoError(t, err)
	require.Empty(t, left)
}

// A witness that could not be written stays the former: its mark is in the
// store, which starts again.
func TestCrashBetweenMarkAndWitness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	witness := filepath.Join(t.TempDir(), "gone", "witness")
	require.NoError(t, os.Mkdir(filepath.Dir(witness), 0o700))
	s := open(t, path, sqlite.Witness(witness))
	require.NoError(t, s.Migrate(t.Context()))
	former, err := os.ReadFile(witness)
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Dir(witness)))
	require.Error(t, s.Mark(t.Context()), "the mark is in the store, the witness isn't written")
	require.NoError(t, s.Unbroken(t.Context()))
	require.NoError(t, os.Mkdir(filepath.Dir(witness), 0o700))
	require.NoError(t, os.WriteFile(witness, former, 0o600))
	require.NoError(t, s.Migrate(t.Context()))
}
