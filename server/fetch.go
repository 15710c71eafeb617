package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	fetchTimeout  = 10 * time.Second
	firstFetches  = 3 // at start
	firstPause    = time.Second
	maxInterval   = 5 * time.Minute // between two fetches
	minInterval   = 30 * time.Second
	retryInterval = 5 * time.Second // after a failure; doubled each time
)

// published is a key set as it was fetched, and how long its publisher means it
// to be kept; 0: not said.
type published struct {
	body   []byte
	maxAge time.Duration
}

// fetcher gets a key set over https, or over http from this machine itself. It
// follows no redirect: the keys are those of the address that was configured.
func fetcher(raw string) (func(context.Context) (published, error), error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("key URL: want https://HOST/PATH")
	case u.User != nil || u.Fragment != "":
		return nil, errors.New("key URL: no user, password or fragment belongs there")
	case u.Scheme == "http" && !loopbackName(u.Hostname()):
		return nil, fmt.Errorf("key URL %s: http is allowed on loopback only: whoever stands between could give you keys of his own; use https", u.Redacted())
	}
	transport := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: fetchTimeout / 2}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    fetchTimeout / 2,
		ResponseHeaderTimeout:  fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // the limit is of what is read
		DisableKeepAlives:      true, // one request in minutes
	}
	client := &http.Client{Transport: transport, Timeout: fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context) (published, error) { return get(ctx, client, u.String()) }, nil
}

func loopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

func get(ctx context.Context, client *http.Client, target string) (published, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return published{}, fmt.Errorf("key URL: %w", err)
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	req.Header.Set("User-Agent", "interlock")
	resp, err := client.Do(req)
	if err != nil {
		return published{}, fmt.Errorf("key URL: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return published{}, fmt.Errorf("key URL %s: the answer is %s; want 200, and redirects aren't followed", target, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return published{}, fmt.Errorf("key URL %s: %w", target, err)
	}
	if len(body) > maxKeySet {
		return published{}, fmt.Errorf("key URL %s: larger than 1 MiB", target)
	}
	return published{body: body, maxAge: maxAge(resp.Header)}, nil
}

// maxAge reads Cache-Control (RFC 9111, 5.2.2).
func maxAge(h http.Header) time.Duration {
	for item := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		if strings.EqualFold(name, "no-cache") || strings.EqualFold(name, "no-store") {
			return minInterval
		}
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil && strings.EqualFold(name, "max-age") {
			return max(minInterval, time.Duration(seconds)*time.Second)
		}
	}
	return 0
}

// firstFetch tries a few times: issuer and server may be starting together.
func (k *keys) firstFetch(ctx context.Context) (err error) {
	for try := range firstFetches {
		if try > 0 {
			select {
			case <-ctx.Done():
				return err
			case <-time.After(time.Duration(try) * firstPause):
			}
		}
		if _, err = k.refetch(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// keepFresh fetches again in time, or when an unknown kid asks for it, until ctx ends.
func (k *keys) keepFresh(ctx context.Context) {
	wait := jittered(maxInterval)
	for failed := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-k.wake:
		case <-time.After(wait):
		}
		got, err := k.refetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = jittered(min(maxInterval, retryInterval<<min(failed, 8)))
			failed++
			k.log.Error("key set not fetched, the former keys stay until they are too old", "error", err, "retry_in", wait)
		default:
			wait, failed = jittered(got), 0
		}
	}
}

// refetch fetches and puts in place, one at a time, and tells when to come again.
func (k *keys) refetch(ctx context.Context) (time.Duration, error) {
	k.one.Lock()
	defer k.one.Unlock()
	k.mu.Lock()
	k.asked = k.now()
	purges := k.purges
	k.mu.Unlock()
	got, err := k.fetch(ctx)
	if err != nil {
		return 0, err
	}
	known, err := parseKeys(got.body, k.allowed, true)
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.purges != purges {
		return 0, errors.New("the keys were purged while they were fetched")
	}
	k.use(known, sha256.Sum256(got.body))
	k.fetched = k.now()
	if got.maxAge == 0 {
		return maxInterval, nil
	}
	return min(maxInterval, got.maxAge), nil
}

// jittered is up to a tenth less, so that many servers don't ask at once.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }
