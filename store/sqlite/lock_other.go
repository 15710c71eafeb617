//go:build !unix

package sqlite

import (
	"errors"
	"os"
)

// lockFile can't keep a second writer out here, and doesn't guess.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("this system has no advisory locks that keep a second writer out; use PostgreSQL")
}
