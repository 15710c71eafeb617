package archive

import "testing"

// OnSync is told of each folder that is about to be synced.
func OnSync(t *testing.T, tell func(folder string)) {
	t.Helper()
	sync := syncFolder
	t.Cleanup(func() { syncFolder = sync })
	syncFolder = func(folder string) error {
		tell(folder)
		return sync(folder)
	}
}
