package server

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// Metrics counts what a gate decides and a server answers, in a registry of its
// own. It is an [interlock.Observer]: give the same to interlock.Config.Observer
// and to [Config]. Labels come from the machines' definitions and from fixed
// lists; whatever else a caller sends is counted as "other", so that nobody can
// make series without end. A nil *Metrics counts nothing.
type Metrics struct {
	registry  *prometheus.Registry
	codes     []string // the gate's own: see middleware.Problems
	gate      atomic.Pointer[interlock.Gate]
	decisions *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	cached    *prometheus.CounterVec
	looks     prometheus.Counter
	alarms    *prometheus.CounterVec
	requests  *prometheus.CounterVec
	latency   *prometheus.HistogramVec
	panics    prometheus.Counter
	signed    prometheus.Gauge
}

const other = "other"

var (
	opLabels    = []string{"fire", "create", "facts", "available", "explain", "read", "actor", "erase", "audit", "repair"}
	ownEvents   = []string{"", "$read", "$create", "$facts", "$explain", "$adopt", "$move", "$erase", "$repair", "$backfill"}
	stageLabels = []interlock.Stage{"", interlock.StageIdentity, interlock.StageGraph, interlock.StageInput,
		interlock.StagePolicy, interlock.StageConflict, interlock.StageUnavailable}
	alarmLabels = []string{"policy_failed", "drift", "person_mismatch", "state_unknown", "outcome_unknown", "cache_corrupt", "activation_half", "checkpoint_failed",
		"revision_superseded", "revision_retired", "store_rewound", "mark_failed", "log_grows", "cache_not_dropped", "cache_down", "cache_up", "clock_skew"}
	methodLabels = []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete}
	buckets      = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// NewMetrics makes the counters. They stand at zero until a gate and a server use them.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "interlock_decisions_total", Help: "What the gate decided; stage and code are empty where it allowed.",
		}, []string{"op", "machine", "event", "stage", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "interlock_decision_seconds", Help: "Time in the gate, its commit included.", Buckets: buckets,
		}, []string{"op"}),
		cached: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "interlock_facts_total", Help: "Final decisions by where their facts came from: cache or store.",
		}, []string{"source"}),
		looks: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "interlock_further_looks_total", Help: "Decisions made again: a no on cached facts, or a lost race.",
		}),
		alarms: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "interlock_alarms_total", Help: "What needs a human.",
		}, []string{"alarm"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "interlock_http_requests_total", Help: "Answers by route and status.",
		}, []string{"method", "route", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "interlock_http_request_seconds", Help: "Time from request to answer.", Buckets: buckets,
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "interlock_http_panics_total", Help: "Panics in handlers; each was answered with 500.",
		}),
		signed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "interlock_checkpoint_timestamp_seconds", Help: "When the newest signed checkpoint of history was taken; 0: none since the start.",
		}),
	}
	for _, p := range middleware.Problems() {
		if p.Stage != "" {
			m.codes = append(m.codes, p.Code)
		}
	}
	m.registry.MustRegister(m.decisions, m.seconds, m.cached, m.looks, m.alarms, m.requests, m.latency, m.panics, m.signed,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the counters in Prometheus' text form. It belongs on a listener
// of its own that outsiders can't reach.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Timeout: 10 * time.Second, MaxRequestsInFlight: 4})
}

// Know tells whose machines and events are labels. [New] calls it; a program
// without a server does. Until then they are "other".
func (m *Metrics) Know(g *interlock.Gate) { m.gate.Store(g) }

// Abandoned adds a gauge of evaluations that were given up and still run, such
// as policies.Source.Leaked counts them. To be called once.
func (m *Metrics) Abandoned(count func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "interlock_policy_evaluations_abandoned", Help: "Evaluations of policies that were given up past their deadline and still run.",
	}, func() float64 { return float64(count()) }))
}

// Differences adds a counter of decisions that were refused because the compiled
// rules and the engine did not agree, such as policies.Source.Differences counts
// them. To be called once. Any increase is a defect to be reported.
func (m *Metrics) Differences(count func() int) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "interlock_policy_differences_total", Help: "Decisions that were refused because the compiled rules and the engine answered differently.",
	}, func() float64 { return float64(count()) }))
}

// Observe counts one call of the gate.
func (m *Metrics) Observe(_ context.Context, o interlock.Observation) {
	if m == nil {
		return
	}
	if o.Alarm != "" {
		m.alarms.WithLabelValues(among(o.Alarm, alarmLabels)).Inc()
	}
	if o.Op == "alarm" {
		return // nothing was decided
	}
	op, machine, event := among(o.Op, opLabels), "", ""
	if o.Machine != "" {
		machine, event = m.names(o.Machine, o.Event)
	}
	stage, code := other, other
	if slices.Contains(stageLabels, o.Stage) {
		stage = string(o.Stage)
	}
	if o.Code == "" || slices.Contains(m.codes, o.Code) {
		code = o.Code
	}
	m.decisions.WithLabelValues(op, machine, event, stage, code).Inc()
	m.seconds.WithLabelValues(op).Observe(o.Duration.Seconds())
	source := "store"
	if o.Cached {
		source = "cache"
	}
	m.cached.WithLabelValues(source).Inc()
	if o.Looks > 1 {
		m.looks.Add(float64(o.Looks - 1))
	}
}

// Checkpoint tells of a signed checkpoint, or of why there is none: that is an
// alarm, checkpoint_failed.
func (m *Metrics) Checkpoint(taken time.Time, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.alarms.WithLabelValues("checkpoint_failed").Inc()
	default:
		m.signed.Set(float64(taken.UnixMicro()) / 1e6)
	}
}

// names keeps what the definitions know: a request may name anything.
func (m *Metrics) names(machine, event string) (string, string) {
	g := m.gate.Load()
	if g == nil {
		return other, other
	}
	known, ok := g.Machine(machine)
	if !ok {
		return other, other
	}
	if _, ok := known.EventByName(event); !ok && !slices.Contains(ownEvents, event) {
		event = other
	}
	return known.Name(), event
}

func (m *Metrics) answered(method, route string, status int, took time.Duration) {
	if m == nil {
		return
	}
	if route == "" {
		route = "none"
	}
	m.requests.WithLabelValues(among(method, methodLabels), route, strconv.Itoa(status)).Inc()
	m.latency.WithLabelValues(route).Observe(took.Seconds())
}

func (m *Metrics) panicked() {
	if m != nil {
		m.panics.Inc()
	}
}

func among(label string, known []string) string {
	if slices.Contains(known, label) {
		return label
	}
	return other
}
