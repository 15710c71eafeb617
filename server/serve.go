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
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 16 << 10
	drainTimeout      = 10 * time.Second
	drainInterval     = 5 * time.Millisecond
)

// Serve answers on the listener until ctx ends: then readiness is off, new
// requests are told 503, those that run get 10 s to finish, and the listener is
// closed. It returns nil after a clean end, and an error when requests had to be
// cut off or the listener failed. It closes the listener in every case. A server
// that has drained stays so: make another.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
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
	limit, cancel := context.WithTimeout(context.Background(), drainTimeout)
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
		return fmt.Errorf("shut down: %d requests were cut off after %s: %w", running, drainTimeout, err)
	}
	return nil
}
