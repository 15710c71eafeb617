package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
)

const (
	checkTimeout = 2 * time.Second
	checkEvery   = time.Second
)

func (s *Server) health(c *gin.Context) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	return answer(c, http.StatusOK, gin.H{"status": "ok"})
}

type readinessJSON struct {
	Status string      `json:"status"`
	Checks []checkJSON `json:"checks"`
}

type checkJSON struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	AgeMS int64  `json:"age_ms"` // of the answer
}

// readiness says which part is down, and to the log alone why.
func (s *Server) readiness(c *gin.Context) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	out := readinessJSON{Status: "ready", Checks: s.checks()}
	for _, check := range out.Checks {
		if !check.OK {
			out.Status = "not_ready"
		}
	}
	if s.draining.Load() {
		out.Status = "draining"
	}
	if out.Status != "ready" {
		return answer(c, http.StatusServiceUnavailable, out)
	}
	return answer(c, http.StatusOK, out)
}

// probe is the newest answer of the checks. Whoever asks within checkEvery gets
// it with its age, and all who ask while they are being asked wait for the one
// answer: asking often costs the parts nothing.
type probe struct {
	mu      sync.Mutex
	at      time.Time
	last    []checkJSON
	running chan struct{} // nil: nobody asks
}

func (s *Server) checks() []checkJSON {
	p := &s.probed
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(s.ready) > 0 && (p.last == nil || time.Since(p.at) > checkEvery) {
		if p.running == nil {
			p.running = make(chan struct{})
			go s.probe(p.running)
		}
		running := p.running
		p.mu.Unlock()
		<-running // at most checkTimeout
		p.mu.Lock()
	}
	out := append([]checkJSON{}, p.last...)
	for i := range out {
		out[i].AgeMS = time.Since(p.at).Milliseconds()
	}
	return out
}

// probe asks all at once and waits for the slowest, or for the limit: a check
// that doesn't mind its context is down, and holds up no answer.
func (s *Server) probe(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	out := make([]checkJSON, len(s.ready))
	type answer struct {
		at int
		ok bool
	}
	answers := make(chan answer, len(s.ready))
	for i, check := range s.ready {
		out[i].Name = check.Name
		go func() {
			err := ask(ctx, check)
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", check.Name), slog.String("error", err.Error()))
			}
			answers <- answer{i, err == nil}
		}()
	}
	for range s.ready {
		select {
		case a := <-answers:
			out[a.at].OK = a.ok
		case <-ctx.Done():
		}
	}
	p := &s.probed
	p.mu.Lock()
	p.at, p.last, p.running = time.Now(), out, nil
	p.mu.Unlock()
	close(done)
}

func ask(ctx context.Context, check Check) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	if err := check.Ask(ctx); err != nil {
		return err
	}
	return ctx.Err()
}
