package middleware

import (
	"context"
	"database/sql"
	"net/http/httptest"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

// creator is newApp with both ways to create: with the id in the body, and in the path.
func creator(t *testing.T, change func(*Config)) *app {
	t.Helper()
	a := newApp(t, change)
	docs := a.il.Group(a.router.Group("/docs"), "doc")
	docs.POST("", a.il.Create())
	docs.GET("/:id", func(c *gin.Context) { c.Status(200) })
	a.il.Group(a.router.Group("/put/:id"), "doc").PUT("", a.il.Create())
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	return a
}

func TestCreate(t *testing.T) {
	a := creator(t, nil)
	w := a.ask("POST", "/docs?dry_run=true", "ann writer", `{"id":"d7"}`)
	assert.Equal(t, "d7", is(t, w, 200, "")["id"])
	assert.Empty(t, w.Header().Get("Location")+w.Header().Get("Interlock-Transition")+w.Header().Get("Interlock-Sequence"))

	w = a.ask("POST", "/docs", "ann writer", `{"id":"d7","facts":{"pages":9},"note":"by post"}`)
	body := is(t, w, 201, "")
	assert.Equal(t, "d7", body["id"])
	assert.Equal(t, "draft", body["state"])
	assert.EqualValues(t, 1, body["version"])
	assert.Equal(t, map[string]any{"pages": 9.0}, body["facts"])
	assert.Equal(t, "/docs/d7", w.Header().Get("Location"))
	assert.Equal(t, "1", w.Header().Get("Interlock-Sequence"))
	assert.NotEmpty(t, w.Header().Get("Interlock-Transition"))
	rows, err := a.gate.History(t.Context(), interlock.SystemActor("", "t"), interlock.Ref{Machine: "doc", ID: "d7"}, 0, 9)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	assert.Equal(t, "by post", rows[0].Note)

	w = a.ask("POST", "/docs", "ann writer", "")
	made := is(t, w, 201, "")["id"].(string)
	assert.Len(t, made, 36)
	assert.Equal(t, "/docs/"+made, w.Header().Get("Location"))

	w = a.ask("PUT", "/put/d8", "ann writer", "")
	assert.Equal(t, "d8", is(t, w, 201, "")["id"])
	assert.Empty(t, w.Header().Get("Location"), "nobody reads there")
}

func TestCreateRefuses(t *testing.T) {
	a := creator(t, nil)
	for _, test := range []struct {
		name, method, path, user, body string
		status                         int
		code                           string
	}{
		{"nobody", "POST", "/docs", "", `{}`, 401, "unauthenticated"},
		{"role", "POST", "/docs", "ann reader", `{}`, 403, "denied"},
		{"exists", "POST", "/docs", "ann writer", `{"id":"d1"}`, 409, "exists"},
		{"bad id", "POST", "/docs", "ann writer", `{"id":"-"}`, 400, "id_invalid"},
		{"empty id", "POST", "/docs", "ann writer", `{"id":""}`, 400, "id_invalid"},
		{"id of another type", "POST", "/docs", "ann writer", `{"id":7}`, 400, "malformed"},
		{"bad id in the path", "PUT", "/put/-x", "ann writer", "", 400, "id_invalid"},
		{"id in path and body", "PUT", "/put/d9", "ann writer", `{"id":"d9"}`, 400, "malformed"},
		{"mass assignment", "POST", "/docs", "ann writer", `{"id":"d9","state":"done"}`, 400, "malformed"},
		{"twice", "POST", "/docs", "ann writer", `{"id":"d9","id":"d8"}`, 400, "malformed"},
		{"facts", "POST", "/docs", "ann writer", `{"id":"d9","facts":{"pages":"nine"}}`, 422, "facts_invalid"},
		{"dry run misspelt", "POST", "/docs?dry_run=yes", "ann writer", `{"id":"d9"}`, 400, "malformed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is(t, a.ask(test.method, test.path, test.user, test.body), test.status, test.code)
		})
	}
	for _, header := range []string{"If-Match", "If-None-Match"} {
		w := a.ask("POST", "/docs", "ann writer", `{"id":"d9"}`, header, `"x"`)
		assert.Contains(t, is(t, w, 400, "malformed")["detail"], "If-None-Match")
	}
	w := a.ask("POST", "/docs", "ann writer", `{"id":"d9"}`, "If-None-Match", "*")
	is(t, w, 201, "")
	assert.NotEmpty(t, w.Header().Get("ETag"))
	is(t, a.ask("POST", "/docs", "ann writer", `{"id":"d9"}`, "If-None-Match", "*"), 412, "precondition_failed")
	p := is(t, a.ask("POST", "/docs", "ann writer", `{"facts":[]}`), 400, "malformed")
	assert.Equal(t, "/facts", p["errors"].([]any)[0].(map[string]any)["pointer"])
}

func TestCreateRepresents(t *testing.T) {
	a := creator(t, func(cfg *Config) {
		cfg.Represent = func(_ *gin.Context, i interlock.Instance) (any, error) { return gin.H{"doc": i.ID}, nil }
	})
	w := a.ask("POST", "/docs", "ann writer", `{"id":"d7"}`)
	is(t, w, 201, "")
	assert.JSONEq(t, `{"doc":"d7"}`, w.Body.String())
}

type letter struct {
	Recipient string `json:"recipient"`
	Stamps    int    `json:"stamps"`
}

// TestCreateWithIsOneTransaction: the application's row, the instance and the
// answer stand and fall together.
func TestCreateWithIsOneTransaction(t *testing.T) {
	a := newApp(t, nil)
	require.NoError(t, a.store.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE letters (id TEXT PRIMARY KEY, recipient TEXT NOT NULL)`)
		return err
	}))
	docs := a.il.Group(a.router.Group("/docs"), "doc")
	docs.POST("", CreateWith(a.il, func(ctx context.Context, tx *sql.Tx, tr interlock.Transition, l letter) (any, error) {
		_, err := tx.ExecContext(ctx, `INSERT INTO letters VALUES (?, ?) ON CONFLICT DO NOTHING`, tr.Instance, l.Recipient)
		if err == nil && l.Stamps < 1 {
			err = &Problem{Status: 402, Code: "no_stamps"}
		}
		return gin.H{"to": l.Recipient, "state": tr.To}, err
	}))
	docs.GET("/:id", func(c *gin.Context) { c.Status(200) })
	docs.POST("/map", CreateWith(a.il, func(_ context.Context, _ *sql.Tx, _ interlock.Transition, m map[string]any) (any, error) {
		return m, nil
	}))
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	letters := func() (n int) {
		require.NoError(t, a.store.DB().QueryRow(`SELECT count(*) FROM letters`).Scan(&n))
		return n
	}
	post := func(user, body string) *httptest.ResponseRecorder { return a.ask("POST", "/docs", user, body) }

	is(t, post("ann writer", `{"id":"d7","recipient":"bo"}`), 402, "no_stamps")
	is(t, post("ann reader", `{"id":"d7","recipient":"bo","stamps":1}`), 403, "denied")
	is(t, post("ann writer", `{"id":"d1","recipient":"bo","stamps":1}`), 409, "exists")
	is(t, post("ann writer", `{"id":"d7","recipient":"bo","stamps":1,"facts":{"pages":"x"}}`), 422, "facts_invalid")
	is(t, post("ann writer", `{"id":"d7","recipient":"bo","stamps":1,"state":"done"}`), 400, "malformed")
	p := is(t, post("ann writer", `{"id":"d7","recipient":"bo","stamps":"1"}`), 400, "malformed")
	assert.Equal(t, map[string]any{"pointer": "/stamps", "message": "is a string; want a whole number"}, p["errors"].([]any)[0])
	is(t, a.ask("POST", "/docs?dry_run=true", "ann writer", `{"recipient":"bo","stamps":1}`), 400, "malformed")
	assert.Zero(t, letters())

	w := post("ann writer", `{"id":"d7","recipient":"bo","stamps":1,"facts":{"pages":2}}`)
	is(t, w, 201, "")
	assert.JSONEq(t, `{"to":"bo","state":"draft"}`, w.Body.String())
	assert.Equal(t, "/docs/d7", w.Header().Get("Location"))
	assert.Equal(t, 1, letters())
	i, err := a.gate.Get(t.Context(), interlock.SystemActor("", "t"), interlock.Ref{Machine: "doc", ID: "d7"})
	require.NoError(t, err)
	assert.Contains(t, i.Facts, "pages")

	w = a.ask("POST", "/docs/map", "ann writer", `{"id":"d8","copies":9007199254740993}`)
	is(t, w, 201, "")
	assert.JSONEq(t, `{"copies":9007199254740993}`, w.Body.String())
}
