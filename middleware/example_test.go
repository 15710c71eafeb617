package middleware_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/store/sqlite"
)

// whoIs stands for the host's own login: here the name is the token, and every
// employee may lend up to 50,000.
func whoIs(c *gin.Context) (interlock.Actor, error) {
	name, ok := strings.CutPrefix(c.GetHeader("Authorization"), "Bearer demo-")
	if !ok {
		return interlock.Actor{}, fmt.Errorf("no bearer token")
	}
	return interlock.Actor{ID: name, Roles: []string{"employee"}}, nil
}

// book is the application's own write: in the transaction of the approval.
func book(ctx context.Context, tx *sql.Tx, loan, transition string) (any, error) {
	_, err := tx.ExecContext(ctx, `INSERT INTO payouts (loan, transition) VALUES (?, ?)`, loan, transition)
	return gin.H{"loan": loan, "paid": true}, err
}

// A Gin application with a table of its own mounts the gate.
func Example() {
	gin.SetMode(gin.ReleaseMode)
	ctx := context.Background()

	// The application's own table and column stay.
	store, err := sqlite.Open(":memory:", sqlite.Table("loan", "loans", "id", "status", "amount"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	err = store.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.Exec(`CREATE TABLE loans (id TEXT PRIMARY KEY, status TEXT NOT NULL, amount INTEGER NOT NULL);
			CREATE TABLE payouts (loan TEXT NOT NULL, transition TEXT NOT NULL);
			INSERT INTO loans VALUES ('L-7', 'created', 20000)`)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}

	machines, err := fsm.LoadDir("../examples/loan")
	if err != nil {
		log.Fatal(err)
	}
	g, err := interlock.New(interlock.Config{Machines: machines, Policy: policies.Dir("../examples/loan/policies"), Store: store})
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close(ctx)
	for _, name := range []string{"erin", "evan"} {
		if _, err := g.SetActor(ctx, interlock.SystemActor("", "setup"), name, map[string]any{"limit": 50000}, nil); err != nil {
			log.Fatal(err)
		}
	}

	r := gin.New()
	il := middleware.New(g, middleware.Config{Actor: whoIs})
	loans := il.Group(r.Group("/loans/:id"), "loan") // knows its routes
	loans.GET("/actions", il.Available())
	loans.POST("/actions", il.Fire())
	loans.POST("/approve", middleware.Do(il, "approve", func(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
		return book(ctx, tx, t.Instance, t.ID)
	}))
	if err := il.Validate(r.Routes()...); err != nil {
		log.Fatal(err)
	}

	server := httptest.NewServer(r)
	defer server.Close()
	post := func(name, path, body string) {
		req, _ := http.NewRequest("POST", server.URL+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer demo-"+name)
		req.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		_, _ = b.ReadFrom(res.Body)
		fmt.Println(res.StatusCode, says(b.String()))
	}

	post("erin", "/loans/L-7/approve", ``)
	for _, event := range []string{"submit", "review", "verify"} {
		post("erin", "/loans/L-7/actions", `{"event": "`+event+`"}`)
	}
	post("erin", "/loans/L-7/approve", ``)
	post("evan", "/loans/L-7/approve", ``)

	var status string
	var payouts int
	err = store.DB().QueryRow(`SELECT status, (SELECT count(*) FROM payouts) FROM loans WHERE id = 'L-7'`).Scan(&status, &payouts)
	fmt.Println(status, payouts, err)
	// Output:
	// 409 illegal_event ["submit","override"]
	// 200 submitted
	// 200 reviewed
	// 200 verified
	// 403 denied [{"code":"four_eyes","message":"Somebody else must approve what you verified"}]
	// 200 {"loan":"L-7","paid":true}
	// approved 1 <nil>
}

// Refusals name their kind by an address, /problems/ and the kind, which the
// application serves.
func ExampleProblems() {
	r := gin.New()
	r.GET("/problems/:code", func(c *gin.Context) {
		for _, p := range middleware.Problems() {
			if p.Type == c.Param("code") {
				c.String(http.StatusOK, "%s (%d)", p.Title, p.Status)
				return
			}
		}
		c.Status(http.StatusNotFound)
	})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/problems/denied", nil))
	fmt.Println(w.Body)
	// Output: Not allowed (403)
}
