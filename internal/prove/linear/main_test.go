package linear_test

import (
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

// TestMain collects garbage less often: whole recordings are kept, and under the
// race detector going through them costs more than what is proved.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	goleak.VerifyTestMain(m)
}
