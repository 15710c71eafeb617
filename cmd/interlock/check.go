package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

const leastCursorKey = 32

// mostMemory in MiB, 1 TiB, keeps the bytes within an int.
const mostMemory = 1 << 20

// check refuses what is incomplete or unsafe: a server that can't tell who asks
// doesn't start. All that is wrong is said at once.
func (c *config) check() error {
	var wrong []error
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if c.Machines == "" {
		add("machines is missing: set it in the file or as INTERLOCK_MACHINES")
	} else if _, err := fsm.LoadDir(c.Machines); err != nil {
		add("machines: %w", err)
	}
	if c.Policies != "" {
		if _, err := os.Stat(c.Policies); err != nil {
			add("policies: %w", err)
		}
	}
	if c.Memory < 0 || c.Memory > mostMemory {
		add("sqlite_memory %d: want MiB between 0 (none) and %d", c.Memory, mostMemory)
	}
	if c.Log != "json" && c.Log != "text" {
		add("log %q: want json or text", c.Log)
	}
	if c.CursorKey != "" && len(c.CursorKey) < leastCursorKey {
		add("cursor_key has %d bytes: want %d or more, made by chance", len(c.CursorKey), leastCursorKey)
	}
	if c.Admin != "" && (!interlock.ValidID(c.Admin) || interlock.IsReservedActor(c.Admin)) {
		add("bootstrap_admin %q: want an id like [A-Za-z0-9][A-Za-z0-9._~-]{0,127}, and none of an API key or an operator", c.Admin)
	}
	wrong = append(wrong, c.checkAddresses(), c.checkTLS(), c.checkIdentity(), c.checkHeaders())
	wrong = append(wrong, c.Checkpoints.check()...)
	return errors.Join(wrong...)
}

func (c *config) checkAddresses() error {
	var wrong []error
	if path, isUnix := strings.CutPrefix(c.Listen, "unix:"); isUnix {
		if !filepath.IsAbs(path) {
			wrong = append(wrong, fmt.Errorf("listen %q: want unix: and a path from the root", c.Listen))
		}
	} else if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		wrong = append(wrong, fmt.Errorf("listen %q: want HOST:PORT or unix:/PATH", c.Listen))
	}
	if c.Metrics == "" {
		return errors.Join(wrong...)
	}
	host, _, err := net.SplitHostPort(c.Metrics)
	switch {
	case err != nil:
		wrong = append(wrong, fmt.Errorf("metrics %q: want HOST:PORT", c.Metrics))
	case !loopback(host) && !c.Public:
		wrong = append(wrong, fmt.Errorf("metrics %q: others can reach that address and anybody may read it; use one on loopback, or say metrics_public: true", c.Metrics))
	}
	return errors.Join(wrong...)
}

// loopback tells addresses that only this machine reaches; no host is every one of them.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *config) checkTLS() error {
	t := c.TLS
	switch {
	case t == tlsConfig{}:
		return nil
	case t.Cert == "" || t.Key == "":
		return errors.New("tls: cert and key belong together, and client_ca needs both")
	case strings.HasPrefix(c.Listen, "unix:"):
		return errors.New("tls: listen is a Unix socket, which nobody listens in on; leave tls out")
	}
	info, err := os.Stat(t.Key)
	if err != nil {
		return fmt.Errorf("tls.key: %w", err)
	}
	if info.Mode().Perm()&0o004 != 0 {
		return fmt.Errorf("tls.key %s: everybody may read it: chmod 600", t.Key)
	}
	_, err = openCertificate(t)
	return err
}

func (c *config) checkIdentity() error {
	var wrong []error
	if c.JWT.given() || len(c.Issuers) == 0 && c.Headers.Actor == "" {
		wrong = append(wrong, c.JWT.check("jwt", "INTERLOCK_JWT_"))
	}
	for i := range c.Issuers {
		wrong = append(wrong, c.Issuers[i].check(fmt.Sprintf("issuers[%d]", i), ""))
	}
	seen := map[string]bool{}
	for _, j := range c.issuers() {
		if j.Issuer != "" && seen[j.Issuer] {
			wrong = append(wrong, fmt.Errorf("jwt: issuer %s stands there twice", j.Issuer))
		}
		seen[j.Issuer] = true
	}
	return errors.Join(wrong...)
}

func (j *jwtConfig) given() bool {
	return j.Issuer != "" || j.Audience != "" || j.Keys != "" || j.KeysURL != ""
}

func (j *jwtConfig) check(at, variable string) error {
	var wrong []error
	need := func(value, key, what string) {
		if value != "" {
			return
		}
		how := "set it in the file"
		if variable != "" {
			how += " or as " + variable + strings.ToUpper(key)
		}
		wrong = append(wrong, fmt.Errorf("%s.%s%s is missing: %s", at, key, what, how))
	}
	need(j.Issuer, "issuer", "")
	need(j.Audience, "audience", "")
	need(j.Keys+j.KeysURL, "keys_url", " (or keys, a file with a JSON Web Key Set)")
	if len(j.Algorithms) == 0 {
		wrong = append(wrong, fmt.Errorf("%s.algorithms is empty: list what the issuer signs with, such as ES256", at))
	}
	if j.Keys != "" && j.KeysURL != "" {
		wrong = append(wrong, fmt.Errorf("%s.keys and %s.keys_url are both there: leave one out", at, at))
	}
	if len(wrong) > 0 {
		return errors.Join(wrong...)
	}
	if err := j.issuer(nil).Check(); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// checkHeaders: what a header says is believed of a peer that has proved who he
// is, which nobody does over plain TCP.
func (c *config) checkHeaders() error {
	h := c.Headers
	if h.Actor == "" {
		if h.Person != "" || h.Tenant != "" || h.Roles != "" || len(h.Peers) > 0 {
			return errors.New("headers.actor is missing: name the header with the actor's id, or leave headers out")
		}
		return nil
	}
	of := func(kind string) bool {
		return slices.ContainsFunc(h.Peers, func(p string) bool { return strings.HasPrefix(p, kind) })
	}
	onUnix := strings.HasPrefix(c.Listen, "unix:")
	switch {
	case len(h.Peers) == 0:
		return errors.New("headers.peers is empty: say whose headers to believe, as uid:NUMBER or name:NAME; without it everybody could say he is anybody")
	case !onUnix && c.TLS.ClientCA == "":
		return errors.New("headers over plain TCP: anybody who reaches the address could say he is anybody; use listen: unix:/PATH with uid: peers, or tls with client_ca and name: peers")
	case of("uid:") && !onUnix:
		return errors.New("headers.peers: uid: tells processes at a Unix socket; listen isn't one")
	case of("name:") && c.TLS.ClientCA == "":
		return errors.New("headers.peers: name: tells client certificates; tls.client_ca is missing")
	}
	return nil
}

// kept refuses a file with secrets that everybody on the machine can read.
func (c *config) kept(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o004 != 0 && slices.ContainsFunc(c.secrets(), secret.hidden) {
		return fmt.Errorf("%s holds secrets, and everybody may read it: chmod 600, or give them as variables", path)
	}
	return nil
}
