package fsm

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever the bytes: a machine or a *LoadError, never both, never a panic; and
// a machine reads back from its canonical form.
func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "findings", "bad"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		if err != nil || len(paths) == 0 {
			f.Fatal("no seeds in ", folder, err)
		}
		for _, path := range paths {
			source, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(source)
		}
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		m, err := Parse("fuzz.yaml", source)
		if err != nil {
			refused, ok := errors.AsType[*LoadError](err)
			if !ok || m != nil || len(refused.Findings) == 0 {
				t.Fatalf("machine %v, error %T %v", m, err, err)
			}
			if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' && c != '\n' || c == 0x7f || c == '\u202e' }) {
				t.Fatalf("the error holds what a terminal acts upon: %q", err)
			}
			return
		}
		again, err := Parse("stored.json", m.Source())
		if err != nil {
			t.Fatalf("the canonical form is refused: %v\n%s", err, m.Source())
		}
		if m.Revision() != again.Revision() || !bytes.Equal(m.Source(), again.Source()) {
			t.Fatalf("%s\n%s", m.Source(), again.Source())
		}
		for _, e := range m.Edges() {
			if len(m.Step(e.From, e.Event)) == 0 {
				t.Fatalf("%v is in no table", e)
			}
		}
		for _, write := range []func(io.Writer) error{m.WriteMermaid, m.WriteDOT, m.WriteJSON} {
			if err := write(io.Discard); err != nil {
				t.Fatal(err)
			}
		}
	})
}
