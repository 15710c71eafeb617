// Package prove holds what the proofs below this folder share: how much each
// of them tries, and the table that they fill.
//
// A proof is an ordinary test. Under `go test` it tries little and takes
// seconds; under `make prove` it tries all that its claim promises, and
// [Record] writes one line of the report from which the table is printed. Every
// claim stands in [Claims]: a proof that no longer runs is missed there.
package prove

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"testing"
)

// ReportEnv names the file that collects the rows of a whole run; unset, proofs are quick.
const ReportEnv = "INTERLOCK_PROVE_REPORT"

// Full tells that the whole is asked for.
func Full() bool { return os.Getenv(ReportEnv) != "" }

// Size is how much a proof tries: quick under `go test`, full under `make prove`.
func Size(quick, full int) int {
	if Full() {
		return full
	}
	return quick
}

// Row is what one proof has to say.
type Row struct {
	Claim      string `json:"claim"`          // a key of Claims
	Tried      int    `json:"tried"`          // how many, in the unit of the claim
	Least      int    `json:"least"`          // what the claim promises to try; fewer is a failure in a full run
	Violations int    `json:"violations"`     // of the promise; anything but 0 is a failure
	Note       string `json:"note,omitempty"` // what else was measured, such as latencies
}

var writing sync.Mutex

// Record states a result. It fails the test where the row holds violations,
// tried less than it promises in a full run, or names no claim.
func Record(tb testing.TB, r Row) {
	tb.Helper()
	if _, ok := Claims[r.Claim]; !ok {
		tb.Errorf("prove: %q is no claim; the claims are in claims.go", r.Claim)
	}
	if r.Violations != 0 {
		tb.Errorf("%s: %d violations in %d", r.Claim, r.Violations, r.Tried)
	}
	if r.Tried == 0 {
		tb.Errorf("%s: nothing was tried", r.Claim)
	}
	tb.Logf("%s: %d violations in %d. %s", r.Claim, r.Violations, r.Tried, r.Note)
	path := os.Getenv(ReportEnv)
	if path == "" {
		return
	}
	if r.Tried < r.Least {
		tb.Errorf("%s: %d tried, %d promised", r.Claim, r.Tried, r.Least)
	}
	if err := appendLine(path, r); err != nil {
		tb.Errorf("prove: %v", err)
	}
}

func appendLine(path string, r Row) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	writing.Lock()
	defer writing.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the report: %w", err)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		_ = f.Close()
		return fmt.Errorf("the report: %w", err)
	}
	return f.Close()
}
