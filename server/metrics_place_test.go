package server_test

import "testing"

// Metrics and profiles have no place beside the API, whoever asks.
func TestNoMetricsBesideTheAPI(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	for _, path := range []string{"/metrics", "/debug/pprof", "/debug/pprof/heap", "/debug/vars"} {
		w.must(404, "erin", "GET", path, "")
	}
}
