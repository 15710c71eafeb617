package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/server"
)

// who tells who asks, by all that is configured.
type who struct {
	identify func(*http.Request) (interlock.Actor, error) // nil: only headers and API keys tell
	purge    func(context.Context) error
	close    func()
}

func (c *config) identity(ctx context.Context, log *slog.Logger) (*who, error) {
	w := &who{purge: func(context.Context) error { return nil }, close: func() {}}
	var issuers []server.JWTConfig
	if c.JWT.given() {
		issuers = append(issuers, c.JWT.issuer(log))
	}
	for i := range c.Issuers {
		issuers = append(issuers, c.Issuers[i].issuer(log))
	}
	if len(issuers) > 0 {
		tokens, err := server.OpenTokens(ctx, issuers...)
		if err != nil {
			return nil, err
		}
		w.identify, w.purge, w.close = tokens.Identify, tokens.Purge, tokens.Close
	}
	return w, nil
}

// headers are nil where no proxy says who asks.
func (c *config) headers() *server.HeaderConfig {
	h := c.Headers
	if h.Actor == "" {
		return nil
	}
	return &server.HeaderConfig{Actor: h.Actor, Person: h.Person, Tenant: h.Tenant, Roles: h.Roles, Peers: h.Peers}
}

func (j *jwtConfig) issuer(log *slog.Logger) server.JWTConfig {
	return server.JWTConfig{
		Issuer: j.Issuer, Audience: j.Audience, Algorithms: j.Algorithms, KeyFile: j.Keys, KeyURL: j.KeysURL, MaxStale: j.MaxStale, Types: j.Types,
		ServiceTypes: j.ServiceTypes, ServiceClaim: j.ServiceClaim, ServiceValue: j.ServiceValue, BehalfClaim: j.BehalfClaim,
		TenantClaim: j.TenantClaim, PersonClaim: j.PersonClaim, RolesClaim: j.RolesClaim,
		Leeway: j.Leeway, MaxLifetime: j.MaxLifetime, Remember: j.Remember, Logger: log,
	}
}
