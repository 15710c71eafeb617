package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock/store/sqlite"
)

// BenchmarkServe is what requests cost without their connections: of "empty" all is
// the test's own, or Gin's.
func BenchmarkServe(b *testing.B) {
	gin.SetMode(gin.ReleaseMode)
	store, err := sqlite.Open(filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	g, err := deskGate(store, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	b.Cleanup(func() { _ = g.Close(context.WithoutCancel(ctx)) })
	var ids []string
	for i := range 64 {
		ids = append(ids, fmt.Sprintf("case-%d", i))
	}
	if err := populate(ctx, g, []string{"ann"}, ids...); err != nil {
		b.Fatal(err)
	}
	mounted, err := app(g, byFire)
	if err != nil {
		b.Fatal(err)
	}
	whole, err := api(g)
	if err != nil {
		b.Fatal(err)
	}
	var refs []string
	for _, id := range ids {
		refs = append(refs, `{"machine":"loan","id":"`+id+`"}`)
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
		path    string
		bodies  []string
	}{
		{"empty", empty(), "/cases/" + ids[0] + "/events?dry_run=true", []string{`{"event":"approve","note":"as agreed"}`}},
		{"decide", mounted, "/cases/" + ids[0] + "/events?dry_run=true", []string{`{"event":"approve","note":"as agreed"}`}},
		{"server", whole, "/v1/machines/loan/instances/" + ids[0] + "/events?dry_run=true", []string{`{"event":"approve","note":"as agreed"}`}},
		{"batch64", whole, "/v1/available", []string{`{"instances":[` + strings.Join(refs, ",") + `]}`}},
		{"fire", mounted, "/cases/" + ids[0] + "/events", []string{`{"event":"withdraw","note":"as agreed"}`, `{"event":"submit","note":"as agreed"}`}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				body := c.bodies[n%len(c.bodies)]
				n++
				r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-User", "ann")
				w := httptest.NewRecorder()
				c.handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body.String())
				}
			}
		})
	}
}
