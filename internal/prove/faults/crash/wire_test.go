package crash

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is a proxy before PostgreSQL that counts what its clients ask. At the
// message that it is armed for it acts, and passes nothing on any more: neither
// the message, if it acts when that is sent, nor, if it acts when it is answered,
// the answer.
type wire struct {
	url      string
	listener net.Listener
	all      sync.WaitGroup

	mu       sync.Mutex
	armed    bool
	dead     bool // acted: nothing passes
	left     int
	answered bool
	act      func()
	counted  int
	sent     []byte // the message at which it acted
	conns    []net.Conn
}

// cancelRequest is the code of a message that would end the server's work.
const cancelRequest = 80877102

func newWire(t *testing.T, address string) *wire {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	target := u.Host
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u.Host = l.Addr().String()
	w := &wire{url: u.String(), listener: l}
	w.all.Go(func() { w.accept(target) })
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		w.all.Wait()
	})
	return w
}

// arm lets it act after so many messages more.
func (w *wire) arm(left int, answered bool, act func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.dead, w.left, w.answered, w.act, w.counted, w.sent = true, false, left, answered, act, 0, nil
}

// disarm lets everything pass again; it returns how many messages were counted,
// and that at which it acted.
func (w *wire) disarm() (counted int, sent []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.dead = false, false
	return w.counted, w.sent
}

func (w *wire) accept(target string) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, client, server)
		w.mu.Unlock()
		w.all.Go(func() { w.pass(client, server) })
	}
}

// pass hands messages to the server and answers back. A message is what the
// client writes at once: the driver writes together what it wants answered together.
func (w *wire) pass(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	doomed := make(chan func(), 1) // the answer that comes next is swallowed
	w.all.Go(func() {
		defer client.Close()
		w.answers(client, server, doomed)
	})
	first := make([]byte, 8)
	if _, err := io.ReadFull(client, first); err != nil || binary.BigEndian.Uint32(first[4:]) == cancelRequest {
		return
	}
	if _, err := server.Write(first); err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		act, now, dead := w.count(buf[:n])
		switch {
		case now:
			act()
			return
		case act != nil:
			doomed <- act
		case dead:
			return
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) answers(client, server net.Conn, doomed <-chan func()) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		select {
		case act := <-doomed:
			act()
			return
		default:
		}
		if w.isDead() {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) isDead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// count tells what to do at this message, and whether before it is passed on.
func (w *wire) count(message []byte) (act func(), now, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || w.dead {
		return nil, false, w.dead
	}
	w.counted++
	if w.left--; w.left >= 0 {
		return nil, false, false
	}
	w.dead, w.sent = true, bytes.Clone(message)
	return w.act, !w.answered, true
}
