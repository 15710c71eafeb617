package interlock_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/interlock-go/interlock"
)

var idPattern = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\z`)

// FuzzID: an id is what the documented pattern takes, and nothing else; a scope
// reads back as it was written, and no two scopes are written alike.
func FuzzID(f *testing.F) {
	for _, s := range []string{"", "a", "-a", "a/b", "instance:m/1", "machine:", "tenant", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if interlock.ValidID(s) != idPattern.MatchString(s) {
			t.Fatalf("%q: ValidID says %v", s, interlock.ValidID(s))
		}
		scope, err := interlock.ParseScope(s)
		if err != nil {
			return
		}
		if scope.Machine == "" && scope.ID != "" || scope.ID != "" && !interlock.ValidID(scope.ID) {
			t.Fatalf("%q: %+v", s, scope)
		}
		if written := scope.String(); written != s && s != "" {
			t.Fatalf("%q is read as %+v, which is written %q", s, scope, written)
		}
	})
}
