package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// open listens on HOST:PORT, with TLS where there is a certificate, or on unix:PATH.
func (s *service) open(ctx context.Context) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(s.listen, "unix:")
	if isUnix {
		return listenUnix(ctx, path)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if s.certificate != nil {
		return tls.NewListener(l, s.certificate.config()), nil
	}
	if host, _, _ := net.SplitHostPort(s.listen); !loopback(host) {
		s.log.Warn("others reach this address, and there is no TLS: only a proxy that has it should", "listen", s.listen)
	}
	return l, nil
}

// listenUnix takes the place of a socket that a process left behind when it was
// killed; one that somebody listens at stays.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeSocket != 0 {
		dial := net.Dialer{Timeout: time.Second}
		c, err := dial.DialContext(ctx, "unix", path)
		if err == nil {
			return nil, errors.Join(fmt.Errorf("listen: somebody listens at %s already", path), c.Close())
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("listen: %w", err)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	return l, nil
}

// certificate is the server's own, and whose clients' it verifies. The files are
// read again on SIGHUP.
type certificate struct {
	files   tlsConfig
	clients *x509.CertPool // nil: none is asked for
	current atomic.Pointer[tls.Certificate]
}

// openCertificate is nil where there is none.
func openCertificate(files tlsConfig) (*certificate, error) {
	if files == (tlsConfig{}) {
		return nil, nil
	}
	c := &certificate{files: files}
	if files.ClientCA != "" {
		pem, err := os.ReadFile(files.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("tls.client_ca: %w", err)
		}
		c.clients = x509.NewCertPool()
		if !c.clients.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls.client_ca %s: there is no certificate in it", files.ClientCA)
		}
	}
	return c, c.read()
}

func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// config speaks HTTP/1.1 alone: one way to read a request. Which suites are safe
// is crypto/tls's to know.
func (c *certificate) config() *tls.Config {
	cfg := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
	if c.clients != nil {
		cfg.ClientCAs, cfg.ClientAuth = c.clients, tls.VerifyClientCertIfGiven
	}
	return cfg
}

// onHangup does each of these when the process gets SIGHUP, until ctx ends.
func (s *service) onHangup(ctx context.Context, what ...func(context.Context) error) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
		}
		var all error
		for _, do := range what {
			all = errors.Join(all, do(ctx))
		}
		if all != nil {
			s.log.Error("not everything could be had anew", "error", all)
			continue
		}
		s.log.Info("keys fetched and certificates read again")
	}
}
