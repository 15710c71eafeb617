package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const hostile = "x\x1b[2J\x1b]0;owned\a\r\nlevel=INFO msg=forged\u009b31m\x7f"

// What comes from files, stores and callers reaches a terminal without what would steer it.
func TestTerminalIsNotSteered(t *testing.T) {
	shown := printable(hostile)
	require.NotContains(t, shown, "\x1b")
	for _, r := range shown {
		require.False(t, r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0, "%q", shown)
	}
	require.Contains(t, shown, "owned", "the words stay readable")

	code, _, errOut := exec(t, "validate", hostile)
	require.NotZero(t, code)
	require.NotContains(t, errOut, "\x1b")
}

// A caller's words make no line of their own in a log, whichever form it has.
func TestLogLinesStayLines(t *testing.T) {
	for _, form := range []string{"json", "text"} {
		var out strings.Builder
		c := config{Log: form}
		c.logger(&out).Warn("refused", "event", hostile, hostile, "key")
		require.Equal(t, 1, strings.Count(out.String(), "\n"), out.String())
		require.NotContains(t, out.String(), "\x1b")
		if form == "json" {
			var line map[string]any
			require.NoError(t, json.Unmarshal([]byte(out.String()), &line))
			require.Equal(t, hostile, line["event"], "and nothing of them is lost")
		}
	}
}

func TestAProblemSaysEverythingThatIsWrong(t *testing.T) {
	f := problemFinding(422, []byte(`{"title":"Unfit","detail":"The form doesn't fit.","reasons":[{"message":"no note"}],"errors":[{"pointer":"/amount","message":"is a string; want a number"}]}`))
	require.Equal(t, "422 Unfit: The form doesn't fit.; no note; /amount: is a string; want a number", f.Error())
}
