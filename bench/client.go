package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// site is a handler at an address of its own on this computer.
type site struct {
	addr  string
	close func() error
}

func newSite(handler http.Handler) (*site, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	return &site{l.Addr().String(), func() error {
		err := srv.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}}, nil
}

// client keeps one connection and spends as little as it can on it, so that what
// is measured is the server: both share this computer's processors.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	body bytes.Buffer
}

func dial(ctx context.Context, addr string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, r: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// post is a whole request, to be sent as it stands.
func post(path, user, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: bench\r\nX-User: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, user, len(body), body)
}

// send asks and reads the whole answer; anything but 200 is an error.
func (c *client) send(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	fine := bytes.HasPrefix(line, []byte("HTTP/1.1 200 "))
	status := string(line)
	length, chunked := 0, false
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(n)); err != nil {
				return nil, err
			}
		}
		chunked = chunked || bytes.Equal(line, []byte("Transfer-Encoding: chunked"))
	}
	c.body.Reset()
	if chunked {
		err = c.chunks()
	} else {
		_, err = io.CopyN(&c.body, c.r, int64(length))
	}
	if err == nil && !fine {
		err = fmt.Errorf("%s: %s", bytes.TrimSpace([]byte(status)), c.body.Bytes())
	}
	return c.body.Bytes(), err
}

// chunks reads a body in chunks (RFC 9112, 7.1); no trailers are sent here.
func (c *client) chunks() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(&c.body, c.r, n); err != nil {
			return err
		}
		if _, err := c.r.Discard(2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}

// visitors are clients of a site that each send their own requests in turn.
type visitors struct {
	addr     string
	requests [][][]byte // by client
	clients  []*client
	sent     []int
}

// visiting makes one client for each list of requests.
func visiting(s *site, requests [][][]byte) *visitors {
	return &visitors{s.addr, requests, make([]*client, len(requests)), make([]int, len(requests))}
}

func (v *visitors) op(ctx context.Context, who int) error {
	if v.clients[who] == nil {
		c, err := dial(ctx, v.addr)
		if err != nil {
			return err
		}
		v.clients[who] = c
	}
	own := v.requests[who]
	_, err := v.clients[who].send(own[v.sent[who]%len(own)])
	v.sent[who]++
	return err
}

func (v *visitors) close() {
	for _, c := range v.clients {
		if c != nil {
			c.conn.Close()
		}
	}
}
