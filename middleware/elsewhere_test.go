package middleware

import (
	"context"
	"database/sql"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock"
)

func says(text string) func(context.Context, *sql.Tx, interlock.Transition) (any, error) {
	return func(_ context.Context, _ *sql.Tx, t interlock.Transition) (any, error) {
		return gin.H{"did": text, "event": t.Event}, nil
	}
}

// TestNothingWalksAroundDo: whatever fires an event, the side effects that hang
// on it happen, wherever and in whichever order the routes are declared.
func TestNothingWalksAroundDo(t *testing.T) {
	a := newApp(t, nil)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.POST("/actions", a.il.Fire())
	docs.Group("/office").POST("/touch", Do(a.il, "touch", says("one")))
	a.il.Group(a.router.Group("/desk/:id"), "doc").PUT("/touch", Do(a.il, "touch", says("two")))
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	for _, query := range []string{"", "?dry_run=true"} {
		body := is(t, a.ask("POST", "/docs/d1/actions"+query, "ann writer", `{"event":"touch"}`), 409, "other_route")
		assert.Equal(t, "touch is done at POST /docs/:id/office/touch, PUT /desk/:id/touch", body["detail"])
		assert.Equal(t, "/problems/other-route", body["type"])
	}
	i, err := a.gate.Get(t.Context(), interlock.SystemActor("", "t"), interlock.Ref{Machine: "doc", ID: "d1"})
	require.NoError(t, err)
	assert.EqualValues(t, 1, i.Version)
	assert.Equal(t, "one", is(t, a.ask("POST", "/docs/d1/office/touch", "ann writer", ""), 200, "")["did"])
	assert.Equal(t, "two", is(t, a.ask("PUT", "/desk/d1/touch", "ann writer", ""), 200, "")["did"])
	a.il.firing = append(a.il.firing, firing{machine: "letter", event: "send", does: true, at: "POST /letters/:id/send"})
	is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"send"}`), 200, "")
}

// A Do of all events does those that no other does by name.
func TestDoOfAllEvents(t *testing.T) {
	a := newApp(t, nil)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.POST("/actions", Do(a.il, "", says("all")))
	docs.POST("/send", Do(a.il, "send", says("send")))
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	body := is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"send"}`), 409, "other_route")
	assert.Equal(t, "send is done at POST /docs/:id/send", body["detail"])
	assert.Equal(t, "all", is(t, a.ask("POST", "/docs/d1/actions", "ann writer", `{"event":"touch"}`), 200, "")["did"])
	assert.Equal(t, "send", is(t, a.ask("POST", "/docs/d1/send", "ann writer", ""), 200, "")["did"])
}

// Routes that could only ever be refused are told at start, and refuse.
func TestFiringPastDoIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		declare func(il *Interlock, docs *Group)
		body    string
		wrong   string
	}{
		"Fire, then Do of all": {func(il *Interlock, docs *Group) {
			docs.POST("/x", il.Fire())
			docs.POST("/do", Do(il, "", says("")))
		}, `{"event":"send"}`, "POST /docs/:id/x: it fires past what Do does besides at POST /docs/:id/do; take one of them"},
		"Do of all, then Fire": {func(il *Interlock, docs *Group) {
			docs.POST("/do", Do(il, "", says("")))
			docs.POST("/x", il.Fire())
		}, `{"event":"send"}`, "POST /docs/:id/x: it fires past what Do"},
		"FireEvent beside Do of all": {func(il *Interlock, docs *Group) {
			docs.POST("/do", Do(il, "", says("")))
			docs.POST("/x", il.FireEvent("send"))
		}, "", "POST /docs/:id/x: it fires past what Do"},
		"FireEvent beside Do of it": {func(il *Interlock, docs *Group) {
			docs.POST("/x", il.FireEvent("send"))
			docs.POST("/do", Do(il, "send", says("")))
		}, "", "POST /docs/:id/x: it fires past what Do"},
		"FireEvent beside Do of another": {func(il *Interlock, docs *Group) {
			docs.POST("/x", il.FireEvent("send"))
			docs.POST("/do", Do(il, "touch", says("")))
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, nil)
			test.declare(a.il, a.il.Group(a.router.Group("/docs/:id"), "doc"))
			err := a.il.Validate(a.router.Routes()...)
			w := a.ask("POST", "/docs/d1/x", "ann writer", test.body)
			if test.wrong == "" {
				require.NoError(t, err)
				is(t, w, 200, "")
				return
			}
			require.ErrorContains(t, err, test.wrong)
			assert.Equal(t, "send is done at POST /docs/:id/do", is(t, w, 409, "other_route")["detail"])
			assert.Equal(t, "draft", a.state())
		})
	}
}

func TestGated(t *testing.T) {
	a := newApp(t, nil)
	docs := a.il.Group(a.router.Group("/docs/:id"), "doc")
	docs.POST("/form", a.il.Gated("its answer is a page"), func(c *gin.Context) {
		who, _ := ActorFrom(c)
		_, err := a.gate.Fire(c.Request.Context(), who, interlock.Request{Machine: "doc", ID: c.Param("id"), Event: "send"})
		if err != nil {
			WriteProblem(c, err)
			return
		}
		c.String(200, "<p>sent")
	})
	require.NoError(t, a.il.Validate(a.router.Routes()...))
	is(t, a.ask("POST", "/docs/d1/form", "", ""), 401, "unauthenticated")
	is(t, a.ask("POST", "/docs/d1/form", "ann reader", ""), 403, "denied")
	assert.Equal(t, "<p>sent", a.ask("POST", "/docs/d1/form", "ann writer", "").Body.String())
	assert.Equal(t, "sent", a.state())
}
