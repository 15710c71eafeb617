package middleware

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// TestDoIsOneTransaction: the application's own write, the transition and the
// answer stand and fall together.
func TestDoIsOneTransaction(t *testing.T) {
	a := newApp(t, nil)
	require.NoError(t, a.store.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE letters (id TEXT PRIMARY KEY)`)
		return err
	}))
	outcome, calls := "ok", 0
	a.router.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, p any) { c.AbortWithStatusJSON(500, gin.H{"recovered": p}) }))
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.POST("/send", Do(a.il, "send", func(ctx context.Context, tx *sql.Tx, tr interlock.Transition) (any, error) {
		calls++
		if _, err := tx.ExecContext(ctx, `INSERT INTO letters VALUES (?)`, tr.ID); err != nil {
			return nil, err
		}
		switch outcome {
		case "problem":
			return nil, &Problem{Status: 402, Code: "no_stamps", Title: "No stamps"}
		case "error":
			return nil, errSecret
		case "panic":
			panic("printer on fire")
		case "unencodable":
			return func() {}, nil
		}
		return nil, nil
	}))
	docs.POST("/touch", Do(a.il, "touch", func(context.Context, int, interlock.Transition) (any, error) { return nil, nil }))
	require.NoError(t, a.il.Validate())
	letters := func() (n int) {
		require.NoError(t, a.store.DB().QueryRow(`SELECT count(*) FROM letters`).Scan(&n))
		return n
	}

	outcome = "problem"
	is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 402, "no_stamps")
	outcome = "error"
	w := a.ask("POST", "/docs/d1/send", "ann writer", "")
	is(t, w, 500, "internal")
	assert.NotContains(t, w.Body.String(), "10.0.0.7")
	assert.Contains(t, a.log.String(), "10.0.0.7")
	outcome = "panic"
	assert.JSONEq(t, `{"recovered":"printer on fire"}`, a.ask("POST", "/docs/d1/send", "ann writer", "").Body.String())
	is(t, a.ask("POST", "/docs/d1/touch", "ann writer", ""), 500, "internal") // another transaction's type
	assert.Equal(t, "draft", a.state())
	assert.Zero(t, letters())
	assert.Equal(t, 3, calls)

	is(t, a.ask("POST", "/docs/d1/send", "ann reader", ""), 403, "denied")
	is(t, a.ask("POST", "/docs/d1/send?dry_run=true", "ann writer", ""), 200, "")
	assert.Equal(t, 3, calls, "refused and dry runs don't reach the handler")

	outcome = "unencodable"
	body := is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 200, "")
	assert.Equal(t, "sent", body["state"], "what has happened is not denied")
	assert.Contains(t, a.log.String(), "could not represent")
	assert.Equal(t, 1, letters())
}

func TestRepresent(t *testing.T) {
	var fail error
	a := mounted(t, func(cfg *Config) {
		cfg.Represent = func(c *gin.Context, i interlock.Instance) (any, error) {
			if c.Query("raw") != "" {
				c.String(200, "as I like it")
			}
			return gin.H{"doc": i.ID, "status": i.State}, fail
		}
	})
	assert.JSONEq(t, `{"doc":"d1","status":"draft"}`, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`).Body.String())
	assert.Equal(t, "as I like it", a.ask("POST", "/docs/d1/actions?raw=1", "ann writer", `{"event":"touch"}`).Body.String())
	assert.Contains(t, a.ask("POST", "/docs/d1/actions?dry_run=true", "ann writer", `{"event":"send"}`).Body.String(), `"state":"sent"`)
	fail = errSecret
	body := is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 200, "")
	assert.Equal(t, "sent", body["state"])
	assert.Contains(t, a.log.String(), "10.0.0.7")
}

func TestErrorHandlerReplacesTheBodyOnly(t *testing.T) {
	a := mounted(t, func(cfg *Config) {
		cfg.ErrorHandler = func(_ *gin.Context, p *Problem, err error) any {
			var no *interlock.Refusal
			return gin.H{"error": p.Code, "refusal": errors.As(err, &no)}
		}
	})
	w := a.ask("POST", "/docs/d1/send", "ann reader", "")
	assert.Equal(t, 403, w.Code)
	assert.JSONEq(t, `{"error":"denied","refusal":true}`, w.Body.String())
	assert.Equal(t, "draft", a.state())
}

func TestSkipper(t *testing.T) {
	a := newApp(t, func(cfg *Config) { cfg.Skipper = func(*gin.Context) bool { return true } })
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	public := func(c *gin.Context) {
		_, known := ActorFrom(c)
		c.JSON(200, gin.H{"known": known})
	}
	docs.GET("", public)
	docs.GET("/checked", a.il.Check("touch"), public)
	docs.GET("/actions", a.il.Available())
	docs.PUT("", a.il.Check("touch"), public)
	docs.POST("/send", a.il.FireEvent("send"))
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	assert.JSONEq(t, `{"known":false}`, a.ask("GET", "/docs/d1", "", "").Body.String())
	assert.JSONEq(t, `{"known":false}`, a.ask("GET", "/docs/d1/checked", "", "").Body.String())
	is(t, a.ask("GET", "/docs/d1/actions", "", ""), 401, "unauthenticated")
	is(t, a.ask("GET", "/docs/d1/actions", "ann writer", ""), 200, "")
	is(t, a.ask("PUT", "/docs/d1", "", ""), 401, "unauthenticated")
	is(t, a.ask("PUT", "/docs/d1", "ann reader", ""), 403, "denied")
	is(t, a.ask("POST", "/docs/d1/send", "", ""), 401, "unauthenticated")
}

func TestIdentify(t *testing.T) {
	asked := 0
	a := newApp(t, func(cfg *Config) {
		cfg.Actor = func(c *gin.Context) (interlock.Actor, error) {
			asked++
			switch c.GetHeader("X-User") {
			case "answers":
				c.Redirect(302, "/login")
			case "aborts":
				c.Abort()
			}
			return whoIs(c)
		}
	})
	a.router.GET("/me", a.il.Identify(), func(c *gin.Context) {
		one, ok1 := ActorFrom(c)
		two, ok2 := ActorFrom(c.Request.Context())
		assert.True(t, ok1 && ok2)
		assert.Equal(t, one, two)
		c.String(200, one.ID)
	})
	docs := a.il.Group(a.router.Group("/docs/:id", a.il.Identify()), "doc")
	docs.GET("/actions", a.il.Available())
	require.NoError(t, a.il.Validate())

	assert.Equal(t, "ann", a.ask("GET", "/me", "ann writer", "").Body.String())
	is(t, a.ask("GET", "/me", "", ""), 401, "unauthenticated")
	assert.Equal(t, 302, a.ask("GET", "/me", "answers", "").Code)
	is(t, a.ask("GET", "/me", "aborts", ""), 401, "unauthenticated")
	asked = 0
	is(t, a.ask("GET", "/docs/d1/actions", "ann writer", ""), 200, "")
	assert.Equal(t, 1, asked, "once a request")
	_, ok := ActorFrom(t.Context())
	assert.False(t, ok)
}

func TestMachineBySlugAndParam(t *testing.T) {
	a := newApp(t, func(cfg *Config) {
		cfg.Param, cfg.MaxBody, cfg.ProblemBase = "doc", 30, "https://example.org/problems#"
	})
	docs := a.il.Group(a.router.Group("/docs"), "doc")
	one := docs.Group("/:doc")
	one.Use(func(c *gin.Context) { c.Header("X-Used", "yes") })
	one.Handle("PATCH", "/send/", a.il.FireEvent("send"))
	one.HEAD("/actions", a.il.Available())
	one.DELETE("/cache", a.il.Ungated("it drops a thumbnail"), func(c *gin.Context) { c.Status(204) })
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	body := is(t, a.ask("PATCH", "/docs/d1/send/", "ann reader", ""), 403, "denied")
	assert.Equal(t, "https://example.org/problems#denied", body["type"])
	is(t, a.ask("PATCH", "/docs/d1/send/", "ann writer", `{"note":"`+strings.Repeat("x", 30)+`"}`), 413, "too_large")
	w := a.ask("PATCH", "/docs/d1/send/", "ann writer", `{"note":"x"}`)
	is(t, w, 200, "")
	assert.Equal(t, "yes", w.Header().Get("X-Used"))
	assert.Equal(t, 204, a.ask("DELETE", "/docs/d1/cache", "ann reader", "").Code)
	assert.Equal(t, 401, a.ask("DELETE", "/docs/d1/cache", "", "").Code)
	assert.Equal(t, 200, a.ask("HEAD", "/docs/d1/actions", "ann reader", "").Code)
}
