package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/middleware"
)

// An application that mounts the middleware and the server answer one instance
// in one form: who moves from one to the other changes no client.
func TestMiddlewareAnswersTheSame(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	path := w.loan("L1", "1000", "erin submit")
	app := gin.New()
	il := middleware.New(w.gate, middleware.Config{Actor: func(*gin.Context) (interlock.Actor, error) { return users["erin"], nil }})
	loans := il.Group(app.Group("/loans/:id"), "loan")
	loans.GET("/history", il.History())
	loans.POST("/actions", il.Fire())
	ask := func(method, path, body string) string {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		app.ServeHTTP(rec, r)
		require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
		return rec.Body.String()
	}
	require.JSONEq(t, ask("POST", "/loans/L1/actions", `{"event":"review"}`), w.must(200, "erin", "GET", path, "").raw)
	require.JSONEq(t, w.must(200, "erin", "GET", path+"/history", "").raw, ask("GET", "/loans/L1/history", ""))
}
