package server_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

var _ interlock.Observer = (*server.Metrics)(nil)

func scrape(m *server.Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}

func TestMetricsCount(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	path := w.loan("n", "1000", "erin submit")
	w.must(409, "erin", "POST", path+"/events", `{"event":"submit"}`)
	w.must(409, "erin", "POST", path+"/events", `{"event":"made-up-by-a-caller"}`)
	w.must(404, "erin", "GET", "/v1/machines/made-up-by-a-caller", "")
	w.raw("GET /made-up-by-a-caller HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	out := scrape(w.metrics)
	for _, line := range []string{
		`interlock_decisions_total{code="",event="submit",machine="loan",op="fire",stage=""} 1`,
		`interlock_decisions_total{code="illegal_event",event="submit",machine="loan",op="fire",stage="graph"} 1`,
		`interlock_decisions_total{code="unknown_event",event="",machine="loan",op="fire",stage="graph"} 1`,
		`interlock_http_requests_total{method="POST",route="/v1/machines/:machine/instances/:id/events",status="409"} 2`,
		`interlock_http_requests_total{method="GET",route="none",status="404"} 1`,
		`interlock_http_panics_total 0`,
	} {
		assert.True(t, strings.Contains(out, line), line)
	}
	assert.False(t, strings.Contains(out, "made-up"))
}

// An alarm that belongs to no call is no decision: counted as one, it would
// stand among what was allowed.
func TestAlarmIsNoDecision(t *testing.T) {
	m := server.NewMetrics()
	for _, alarm := range []string{"cache_corrupt", "activation_half"} {
		m.Observe(context.Background(), interlock.Observation{Op: "alarm", Alarm: alarm})
		assert.Contains(t, scrape(m), `interlock_alarms_total{alarm="`+alarm+`"} 1`)
	}
	assert.NotContains(t, scrape(m), "interlock_decisions_total{")
}

func TestMetricsTellOfAbandonedEvaluations(t *testing.T) {
	m := server.NewMetrics()
	m.Abandoned(func() int { return 17 })
	assert.Contains(t, scrape(m), "interlock_policy_evaluations_abandoned 17")
}

func TestMetricsTellOfDifferences(t *testing.T) {
	m, n := server.NewMetrics(), 0
	m.Differences(func() int { return n })
	assert.Contains(t, scrape(m), "# TYPE interlock_policy_differences_total counter\ninterlock_policy_differences_total 0")
	n = 3
	assert.Contains(t, scrape(m), "interlock_policy_differences_total 3")
}

// Whatever callers send, the number of series stays that of the definitions.
func TestMetricsAreBounded(t *testing.T) {
	m := server.NewMetrics()
	flood := func() {
		for i := range 3000 {
			x := fmt.Sprintf("x%d", i)
			m.Observe(context.Background(), interlock.Observation{
				Op: x, Machine: x, Event: x, Stage: interlock.Stage(x), Code: x, Alarm: x, Looks: 2, Cached: true, Duration: time.Millisecond,
			})
			m.Observe(context.Background(), interlock.Observation{Op: "fire", Machine: "loan", Event: x})
		}
	}
	flood()
	w := newWorld(t, openSQLite(t))
	m.Know(w.gate)
	flood()
	out := scrape(m)
	assert.LessOrEqual(t, strings.Count(out, "interlock_decisions_total{"), 4)
	assert.Equal(t, 1, strings.Count(out, "interlock_alarms_total{"))
	assert.True(t, strings.Contains(out, `interlock_decisions_total{code="",event="other",machine="loan",op="fire",stage=""} 3000`))
	assert.True(t, strings.Contains(out, "interlock_further_looks_total 6000"))
	require.NotPanics(t, func() { (*server.Metrics)(nil).Observe(context.Background(), interlock.Observation{}) })
}
