// Package examples holds the definitions of the example systems: machine files
// and policies, as a program may embed them. Each folder below is a program of
// its own that mounts the library.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed account/account.yaml account/policies
//go:embed loan/loan.yaml loan/policies
//go:embed moderation/machines moderation/policies
//go:embed permit/permit.yaml permit/policies
var files embed.FS

// Files holds a folder for each example: X/*.yaml is its machine (moderation has
// five, in moderation/machines), X/policies its Rego with the tests.
func Files() fs.FS { return files }
