package server_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/sqlite"
)

// A whole server: one machine, SQLite in memory, the users of a demonstration.
func Example() {
	door, err := fsm.Parse("door.yaml", []byte(`
machine: door
initial: closed
create: {requires: [anyone]}
states: {closed: {}, open: {}}
events:
  open:  {from: closed, to: open, requires: [keeper]}
  close: {from: open, to: closed, requires: [anyone]}
`))
	if err != nil {
		log.Fatal(err)
	}
	st, err := sqlite.Open(":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	gate, err := interlock.New(interlock.Config{Machines: []*fsm.Machine{door}, Store: st})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = gate.Close(context.Background()) }()
	s, err := server.New(server.Config{Gate: gate, Identity: server.DemoIdentity(map[string]interlock.Actor{
		"kim": {ID: "kim", Roles: []string{"keeper"}},
		"lee": {ID: "lee"},
	})})
	if err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // an example
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()

	post := func(user, path, body string) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.Addr().String()+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer demo-"+user)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		_, state, _ := strings.Cut(string(answer), `"state":"`)
		state, _, _ = strings.Cut(state, `"`)
		fmt.Println(strings.TrimSpace(fmt.Sprint(user, " ", body, " ", resp.StatusCode, " ", state)))
	}
	post("lee", "/v1/machines/door/instances", `{"id":"front"}`)
	post("lee", "/v1/machines/door/instances/front/events", `{"event":"open"}`)
	post("kim", "/v1/machines/door/instances/front/events", `{"event":"open"}`)
	post("kim", "/v1/machines/door/instances/front/events", `{"event":"open"}`)
	stop()
	fmt.Println(<-ended)
	// Output:
	// lee {"id":"front"} 201 closed
	// lee {"event":"open"} 403
	// kim {"event":"open"} 200 open
	// kim {"event":"open"} 409 open
	// <nil>
}
