package rediscache

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/testservice"
)

// sent is what a client writes to its connections: a pipeline, or a command, at a time.
type sent struct {
	mu     sync.Mutex
	writes []string
}

func (s *sent) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := s.writes
	s.writes = nil
	return writes
}

type tapped struct {
	net.Conn
	sent *sent
}

func (c tapped) Write(b []byte) (int, error) {
	c.sent.mu.Lock()
	c.sent.writes = append(c.sent.writes, string(b))
	c.sent.mu.Unlock()
	return c.Conn.Write(b)
}

// A question whose facts are in Redis costs one round trip: one MGET, of the
// instance and of the actor together.
func TestOneRoundTripADecision(t *testing.T) {
	var s sent
	d := newDesk(t, testservice.Redis(t), func(t *testing.T, url string) *Cache {
		t.Helper()
		opts, err := Options(url)
		require.NoError(t, err)
		opts.DialTimeout, opts.ReadTimeout, opts.WriteTimeout, opts.PoolTimeout = patient, patient, patient, patient
		opts.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return tapped{c, &s}, err
		}
		client := redis.NewClient(opts)
		t.Cleanup(func() { assert.NoError(t, client.Close()) })
		c := New(client, Config{Timeout: patient, TTL: maxTTL})
		t.Cleanup(func() { assert.NoError(t, c.Close()) })
		return c
	})
	d.warm()
	mark, ticket := interlock.Actor{ID: "mark"}, interlock.Ref{Machine: "ticket", ID: "T1"}
	for name, ask := range map[string]func() error{
		"dry run": func() error {
			_, err := d.gate.Fire(t.Context(), mark, interlock.Request{Machine: "ticket", ID: "T1", Event: "close", DryRun: true})
			return err
		},
		"menu": func() error { _, err := d.gate.Available(t.Context(), mark, ticket); return err },
		"read": func() error { _, err := d.gate.Get(t.Context(), mark, ticket); return err },
	} {
		s.take()
		require.NoError(t, ask(), name)
		require.True(t, d.obs.Cached, name)
		var read []string
		for _, w := range s.take() {
			// A put of before comes behind its answer, on a connection that it may begin with.
			if !strings.Contains(w, "\r\nevalsha\r\n") && !strings.Contains(w, "\r\nhello\r\n") && !strings.Contains(w, "\r\nselect\r\n") {
				read = append(read, w)
			}
		}
		require.Len(t, read, 1, name)
		require.True(t, strings.HasPrefix(read[0], "*3\r\n$4\r\nmget\r\n"), "%s: %q", name, read[0])
		require.Equal(t, 1, strings.Count(read[0], "*"), "%s: one command, not a pipeline: %q", name, read[0])
	}
}
