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

const checkTimeout = 2 * time.Second

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
	Name string `json:"name"`
	OK   bool   `json:"ok"`
}

// readiness says which part is down, and to the log alone why.
func (s *Server) readiness(c *gin.Context) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	out := readinessJSON{Status: "ready", Checks: s.checks(c.Request.Context())}
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

// checks asks all at once and waits for the slowest, or for the limit: a check
// that doesn't mind its context is down, and holds up no answer.
func (s *Server) checks(ctx context.Context) []checkJSON {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	out := make([]checkJSON, len(s.ready))
	var mu sync.Mutex
	done := make(chan struct{}, len(s.ready))
	for i, check := range s.ready {
		out[i].Name = check.Name
		go func() {
			err := ask(ctx, check)
			if err != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "not ready", slog.String("check", check.Name), slog.String("error", err.Error()))
			}
			mu.Lock()
			out[i].OK = err == nil
			mu.Unlock()
			done <- struct{}{}
		}()
	}
	for range s.ready {
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	mu.Lock()
	defer mu.Unlock()
	return append([]checkJSON{}, out...)
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
