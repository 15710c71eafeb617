package testservice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"
)

// startLimit bounds the wait for a server's first answer: a loaded machine with
// a slow disk needs some seconds, a broken installation never answers.
const startLimit = 3 * time.Minute

// Server is a private server process. Its methods return errors; tests use
// RedisServer and PostgresServer, which fail the test instead.
type Server struct {
	spec  spec
	dir   string
	port  int
	owner *account
	proc  *process // nil while stopped
}

// spec is what differs between the kinds of server.
type spec struct {
	name    string
	signal  string // what ends it at once, in kill's words
	account func() (*account, error)
	prepare func(dir string, as *account) error // once, before the first start
	command func(dir string, port int) []string
	url     func(port int) string
	ready   func(ctx context.Context, url string) error
}

func start(s spec) (*Server, error) {
	as, err := s.account()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "interlock-"+s.name+"-")
	if err != nil {
		return nil, err
	}
	srv := &Server{spec: s, dir: dir, owner: as}
	if err := srv.first(); err != nil {
		return nil, errors.Join(err, srv.Close())
	}
	return srv, nil
}

func (s *Server) first() error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := s.owner.takes(s.dir); err != nil {
		return err
	}
	if s.spec.prepare != nil {
		if err := s.spec.prepare(s.dir, s.owner); err != nil {
			return err
		}
	}
	var err error
	for range 5 { // between the choice of a free port and its use, somebody else may take it
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil {
			return nil
		}
	}
	return err
}

// URL is the server's address with which a client connects.
func (s *Server) URL() string { return s.spec.url(s.port) }

// Addr is its host and port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Stop ends the server as a crash does and keeps its folder.
func (s *Server) Stop() error {
	if s.proc == nil {
		return nil
	}
	err := s.proc.stop(s.spec.signal)
	s.proc = nil
	return err
}

// Stall freezes every process of the server.
func (s *Server) Stall() error {
	if s.proc == nil {
		return errors.New("it is stopped")
	}
	return s.proc.stall()
}

// Resume undoes Stall.
func (s *Server) Resume() error {
	if s.proc == nil {
		return errors.New("it is stopped")
	}
	return s.proc.resume()
}

// Restart stops the server where it runs, and starts it at the same address.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	return s.launch(ctx)
}

// Close stops the server and removes its folder.
func (s *Server) Close() error {
	return errors.Join(s.Stop(), os.RemoveAll(s.dir))
}

func (s *Server) launch(ctx context.Context) error {
	log := filepath.Join(s.dir, "server.log")
	proc, err := startProcess(s.spec.command(s.dir, s.port), s.dir, log, s.owner, s.spec.signal)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.spec.name, err)
	}
	s.proc = proc
	for {
		err := s.spec.ready(ctx, s.URL())
		switch {
		case proc.exited():
			s.proc = nil
			return fmt.Errorf("%s ended while it started:\n%s", s.spec.name, tail(log))
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s doesn't answer at %s: %w\n%s", s.spec.name, s.Addr(), errors.Join(err, s.Stop()), tail(log))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// freePort is none of those that the system gives to whoever connects (on Linux
// from 32768 on): a server that is stopped for a while finds its own free again.
func freePort() (port int, err error) {
	for range 100 {
		port = 10_000 + rand.IntN(22_768)
		var l net.Listener
		if l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// tail is the end of a log, enough to see why a server did not start.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}
