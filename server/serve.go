package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	maxHeaderBytes = 16 << 10
	drainInterval  = 5 * time.Millisecond
)

// limits are how long a connection may take.
type limits struct{ readHeader, read, write, idle, drain time.Duration }

var standardLimits = limits{readHeader: 5 * time.Second, read: 15 * time.Second, write: 30 * time.Second, idle: 60 * time.Second, drain: 10 * time.Second}

// Serve answers on the listener until ctx ends: then readiness is off, new
// requests are told 503, those that run get Config.DrainTimeout to finish, and the listener is
// closed. It returns nil after a clean end, and an error when requests had to be
// cut off or the listener failed. It closes the listener in every case. A server
// that has drained stays so: make another.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.limits.readHeader,
		ReadTimeout:       s.limits.read,
		WriteTimeout:      s.limits.write,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withPeer,

		DisableGeneralOptionsHandler: true, // "OPTIONS *" is refused like any other bad path
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		_ = srv.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	err := s.drain(srv)
	if served := <-failed; err == nil && !errors.Is(served, http.ErrServerClosed) {
		err = fmt.Errorf("serve: %w", served)
	}
	return err
}

func (s *Server) drain(srv *http.Server) error {
	s.draining.Store(true)
	limit, cancel := context.WithTimeout(context.Background(), s.limits.drain)
	defer cancel()
	tick := time.NewTicker(drainInterval)
	defer tick.Stop()
	for s.inFlight.Load() > 0 && limit.Err() == nil {
		select {
		case <-tick.C:
		case <-limit.Done():
		}
	}
	if err := srv.Shutdown(limit); err != nil {
		running := s.inFlight.Load()
		_ = srv.Close()
		return fmt.Errorf("shut down: %d requests were cut off after %s: %w", running, s.limits.drain, err)
	}
	return nil
}
