package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/interlock-go/interlock"
)

// HeaderConfig lets a proxy that has found out who asks say so in headers.
// Actor and Peers are required.
//
// They are believed from the listed peers, over connections that [Server.Serve]
// accepted. From everybody else they are refused, and so is, from anybody, a
// header whose name another program could take for one of them (X_User for
// X-User), one that stands there twice, and one beside an Authorization.
type HeaderConfig struct {
	Actor  string // name of the header with the actor's id
	Person string // with the human behind the account; "": none
	Tenant string // with the tenant; "": all are of the default tenant
	Roles  string // with roles, separated by commas; "": none

	// Peers are who may say so: "uid:1000" is a process of that user at a Unix
	// socket (Linux), "name:proxy.internal" a DNS name, or "name:spiffe://…" a
	// URI, in a client certificate that was verified. Nobody is believed for an
	// address: addresses are not proof.
	Peers []string
}

func newHeaderIdentity(cfg *HeaderConfig) (*headerIdentity, error) {
	if cfg == nil {
		return nil, nil
	}
	h := &headerIdentity{HeaderConfig: *cfg}
	return h, h.complete()
}

type headerIdentity struct {
	HeaderConfig
	folded map[string]string // what names look like to programs that fold them → the right name
	uids   []uint32
	names  []string
}

// busyNames have a meaning of their own in HTTP or here.
var busyNames = []string{"Authorization", "Host", "Cookie", "Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Connection",
	"Accept", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via"}

func (h *headerIdentity) complete() error {
	if h.Actor == "" {
		return errors.New("no name of the header with the actor's id")
	}
	h.folded = map[string]string{}
	for _, name := range []*string{&h.Actor, &h.Person, &h.Tenant, &h.Roles} {
		if *name == "" {
			continue
		}
		*name = textproto.CanonicalMIMEHeaderKey(*name)
		switch _, twice := h.folded[folded(*name)]; {
		case strings.ContainsFunc(*name, func(r rune) bool { return r != '-' && (r > '~' || folded(string(r)) == "-") }):
			return fmt.Errorf("header %q: want letters, digits and hyphens", *name)
		case slices.Contains(busyNames, *name):
			return fmt.Errorf("header %s has a meaning of its own: choose another name", *name)
		case twice:
			return fmt.Errorf("header %s stands there twice", *name)
		}
		h.folded[folded(*name)] = *name
	}
	return h.peers()
}

func (h *headerIdentity) peers() error {
	if len(h.Peers) == 0 {
		return errors.New("no peers: say whose headers to believe, as uid:1000 or name:proxy.internal")
	}
	for _, peer := range h.Peers {
		kind, value, _ := strings.Cut(peer, ":")
		uid, err := strconv.ParseUint(value, 10, 32)
		switch {
		case kind == "uid" && err == nil && !knowsPeers:
			return fmt.Errorf("peer %q: this system doesn't tell the user behind a Unix socket, so name: is all there is", peer)
		case kind == "uid" && err == nil:
			h.uids = append(h.uids, uint32(uid))
		case kind == "name" && value != "" && !strings.ContainsAny(value, "* "):
			h.names = append(h.names, value)
		default:
			return fmt.Errorf("peer %q: want uid:NUMBER or name:NAME", peer)
		}
	}
	return nil
}

// folded is a header's name to programs that don't tell its characters apart,
// as CGI and what descends from it.
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		}
		return '-'
	}, name)
}

// look tells whether the request says by headers who asks, and refuses what
// doesn't come from a peer or could be read in two ways.
func (h *headerIdentity) look(r *http.Request) (there bool, err error) {
	for name, values := range r.Header {
		right, ours := h.folded[folded(name)]
		switch {
		case !ours:
			continue
		case name != right:
			return false, credentialError("a header can be taken for " + right + ", and isn't it")
		case len(values) != 1:
			return false, credentialError("the header " + right + " stands there more than once")
		}
		there = true
	}
	switch {
	case !there:
		return false, nil
	case !h.believes(r):
		return false, credentialError("who asks is believed in headers from configured peers only")
	case len(r.Header.Values("Authorization")) > 0:
		return false, credentialError("headers say who asks, and so does Authorization: one of them")
	}
	return true, nil
}

func (h *headerIdentity) believes(r *http.Request) bool {
	if uid, ok := r.Context().Value(peerKey{}).(uint32); ok && slices.Contains(h.uids, uid) {
		return true
	}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return false
	}
	leaf := r.TLS.VerifiedChains[0][0]
	for _, name := range h.names {
		if slices.ContainsFunc(leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
		for _, u := range leaf.URIs {
			if u.String() == name {
				return true
			}
		}
	}
	return false
}

func (h *headerIdentity) actor(r *http.Request) (interlock.Actor, error) {
	actor := interlock.Actor{Tenant: interlock.DefaultTenant, Kind: interlock.User}
	for _, part := range []struct {
		name string
		into *string
	}{{h.Actor, &actor.ID}, {h.Person, &actor.Person}, {h.Tenant, &actor.Tenant}} {
		if part.name == "" {
			continue
		}
		value := r.Header.Get(part.name)
		if !interlock.ValidID(value) || interlock.IsReservedActor(value) {
			return interlock.Actor{}, credentialError("the header " + part.name + " must be there, like [A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
		}
		*part.into = value
	}
	if h.Roles == "" {
		return actor, nil
	}
	for role := range strings.SplitSeq(r.Header.Get(h.Roles), ",") {
		if role = strings.TrimSpace(role); role != "" && !strings.HasPrefix(role, "interlock:") {
			actor.Roles = append(actor.Roles, role)
		}
	}
	return actor, nil
}

type peerKey struct{}

// withPeer notes the user behind a Unix socket, as the kernel says.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if unix, ok := c.(*net.UnixConn); ok {
		if uid, ok := peerUID(unix); ok {
			return context.WithValue(ctx, peerKey{}, uid)
		}
	}
	return ctx
}
