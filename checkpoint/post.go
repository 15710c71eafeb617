package checkpoint

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const postTimeout = 15 * time.Second

// CheckURL refuses an address to which notes are not posted: it must be https,
// or http on this host.
func CheckURL(target string) error {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Host == "":
		return fmt.Errorf("checkpoint url: want https://HOST/PATH")
	case u.User != nil:
		return fmt.Errorf("checkpoint url: a password doesn't belong into it: it would stand in logs")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback()):
		return nil
	}
	return fmt.Errorf("checkpoint url %s://%s: want https", u.Scheme, u.Host)
}

// Post gives a signed note to somebody else, who then knows that it was there:
// POST, text/plain, 15 seconds at most. Only an answer of 2xx is success;
// redirects are not followed.
func Post(ctx context.Context, target string, signed []byte) error {
	if err := CheckURL(target); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(signed))
	if err != nil {
		return fmt.Errorf("post the checkpoint: %w", err)
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	client := http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("post the checkpoint: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("post the checkpoint: %s answered %s", req.URL.Host, resp.Status)
	}
	return nil
}
