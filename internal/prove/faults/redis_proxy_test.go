package faults

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// toxic is a toxiproxy in this process, before one server.
type toxic struct {
	t     *testing.T
	proxy *toxiproxy.Proxy
}

func newToxic(t *testing.T, upstream string) *toxic {
	t.Helper()
	log := zerolog.Nop()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), log)
	p := toxiproxy.NewProxy(api, "it", "127.0.0.1:0", upstream)
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	return &toxic{t, p}
}

// fault adds the toxic, told in toxiproxy's own JSON, and takes it away.
func (x *toxic) fault(kind, stream, attributes string) fault {
	return fault{
		begin: func() error {
			_, err := x.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
				`{"name": "it", "type": %q, "stream": %q, "toxicity": 1, "attributes": %s}`, kind, stream, attributes)))
			if err != nil {
				return err
			}
			return nil
		},
		end: func() error { return x.proxy.Toxics.RemoveToxic(context.Background(), "it") },
	}
}

// swapper is a proxy that, while it lies, gives to one request for values the
// reply of another, as a client out of step with its connection would read it.
type swapper struct {
	listener net.Listener
	lies     atomic.Bool
	swapped  atomic.Int64
	all      sync.WaitGroup

	mu    sync.Mutex
	held  []byte // the newest reply of values
	conns []net.Conn
}

func newSwapper(t *testing.T, upstream string) *swapper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &swapper{listener: l}
	s.all.Go(func() { s.accept(upstream) })
	t.Cleanup(func() {
		_ = l.Close()
		s.mu.Lock()
		for _, c := range s.conns {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.all.Wait()
	})
	return s
}

func (s *swapper) accept(upstream string) {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		s.mu.Lock()
		s.conns = append(s.conns, client, server)
		s.mu.Unlock()
		s.all.Go(func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		})
		s.all.Go(func() {
			s.replies(client, bufio.NewReader(server))
			_ = client.Close()
		})
	}
}

func (s *swapper) replies(to io.Writer, from *bufio.Reader) {
	for {
		reply, err := readReply(from)
		if err == nil {
			_, err = to.Write(s.other(reply))
		}
		if err != nil {
			return
		}
	}
}

// other is the reply, or the one that was for the request before.
func (s *swapper) other(reply []byte) []byte {
	if reply[0] != '*' {
		return reply
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.held
	s.held = reply
	if !s.lies.Load() || before == nil || bytes.Equal(before, reply) {
		return reply
	}
	s.swapped.Add(1)
	return before
}

// readReply reads one whole reply (RESP2 and RESP3).
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var n int
	switch line[0] {
	case '$', '=', '!':
		if _, err := fmt.Sscanf(string(line[1:]), "%d", &n); err != nil || n < 0 {
			return line, err
		}
		body := make([]byte, n+2)
		_, err := io.ReadFull(r, body)
		return append(line, body...), err
	case '*', '%', '~', '>':
		if _, err := fmt.Sscanf(string(line[1:]), "%d", &n); err != nil || n < 0 {
			return line, err
		}
		if line[0] == '%' {
			n *= 2
		}
		for range n {
			part, err := readReply(r)
			if err != nil {
				return nil, err
			}
			line = append(line, part...)
		}
	}
	return line, nil
}
