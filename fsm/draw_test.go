package fsm_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/fsm"
)

var drawings = map[string]func(*fsm.Machine, io.Writer) error{
	"mermaid": (*fsm.Machine).WriteMermaid, "dot": (*fsm.Machine).WriteDOT, "json": (*fsm.Machine).WriteJSON,
}

func draw(t *testing.T, m *fsm.Machine, format string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, drawings[format](m, &b))
	return b.String()
}

func TestDrawings(t *testing.T) {
	for _, path := range files(t, "testdata/good/*.yaml") {
		m, err := fsm.Parse(filepath.Base(path), read(t, path))
		require.NoError(t, err)
		for format := range drawings {
			golden(t, filepath.Join("testdata", "drawings", m.Slug()+"."+format), []byte(draw(t, m, format)))
		}
	}
}

// hostile is a machine whose every text tries to be something else.
func hostile(t *testing.T) *fsm.Machine {
	t.Helper()
	const name = `\"];x->y;%%\n<script>alert(1)</script>` + "`#{}|:&amp;"
	require.LessOrEqual(t, len(name), 64)
	quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name)
	return parse(t,
		`machine: "`+quoted+`"`, `initial: "`+quoted+`"`, `title: "</svg>\n\"\\N --> [*] \u2028 end"`,
		"states:", `  "`+quoted+`": {title: "a\nb --> c\u0000<img src=x onerror=alert(1)>"}`, "  z: {final: true}",
		"events:", `  "`+quoted+`": {from: "`+quoted+`", to: z, requires: ["`+quoted+`"], title: "] : <b>\r\n[*] --> s1 style: #x;"}`,
	)
}

// Names are text: no label can end its string, its line or become markup.
func TestDrawingsOfHostileNames(t *testing.T) {
	m := hostile(t)
	for format := range drawings {
		golden(t, filepath.Join("testdata", "drawings", "hostile."+format), []byte(draw(t, m, format)))
	}
	t.Run("mermaid", func(t *testing.T) {
		line := regexp.MustCompile(`^(stateDiagram-v2|    direction LR|    state "([\pL\pN _.,-]|#[0-9]+;)*" as s[0-9]+|    (s[0-9]+|\[\*\]) --> (s[0-9]+|\[\*\])( : ([\pL\pN _.,⇢-]|#[0-9]+;)*)?)$`)
		lines := strings.Split(strings.TrimSuffix(draw(t, m, "mermaid"), "\n"), "\n")
		require.Len(t, lines, 2+2+1+1+1)
		for _, l := range lines {
			require.Regexp(t, line, l)
		}
	})
	t.Run("dot", func(t *testing.T) {
		// Outside its quoted strings nothing of the names is left.
		bare := regexp.MustCompile(`"(\\.|[^"\\])*"`).ReplaceAllString(draw(t, m, "dot"), "TEXT")
		require.NotContains(t, bare, `"`)
		require.NotContains(t, bare, "script")
		require.NotContains(t, bare, "<")
		require.Equal(t, 2, strings.Count(bare, "->"), "the initial arrow and the transition")
	})
	t.Run("json", func(t *testing.T) {
		text := draw(t, m, "json")
		require.True(t, json.Valid([]byte(text)))
		require.NotContains(t, text, "<")
		require.NotContains(t, text, "\u2028")
	})
}

func TestOverridesAreDashed(t *testing.T) {
	m := load(t, "loan")
	for _, line := range strings.Split(draw(t, m, "dot"), "\n") {
		if strings.Contains(line, "->") {
			require.Equal(t, strings.Contains(line, "override"), strings.Contains(line, "style=dashed"), line)
		}
	}
	for _, line := range strings.Split(draw(t, m, "mermaid"), "\n") {
		require.Equal(t, strings.Contains(line, "override"), strings.Contains(line, "⇢"), line)
	}
}

func TestDrawingReportsAFailedWrite(t *testing.T) {
	m := load(t, "loan")
	for format, write := range drawings {
		file, err := os.Open(os.DevNull) // for reading only
		require.NoError(t, err)
		require.Error(t, write(m, file), format)
		require.NoError(t, file.Close())
	}
}
