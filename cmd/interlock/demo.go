package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/examples"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/server"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) demo() *cobra.Command {
	var listen, data, redisURL, postgresURL string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the server with the example systems, users and curl lines to paste",
		Long: `Run the server with the account, loan and moderation systems, everything embedded,
in a temporary folder. Its users have no secrets ("Bearer demo-erin"), so it
listens on loopback only.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.runDemo(cmd.Context(), listen, data, redisURL, postgresURL)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&listen, "listen", "127.0.0.1:8080", "address, on loopback")
	fl.StringVar(&data, "data", "", "folder that keeps the data (default: a temporary one, removed at the end)")
	fl.StringVar(&redisURL, "redis", "", "redis:// URL of a cache")
	fl.StringVar(&postgresURL, "postgres", "", "postgres:// URL, instead of SQLite")
	return cmd
}

// demoSystems are the examples of the demonstration: the folders of their
// machines and of their policies.
var demoSystems = []struct{ machines, policies string }{
	{"account", "account/policies"}, {"loan", "loan/policies"}, {"moderation/machines", "moderation/policies"},
}

func (p *program) runDemo(ctx context.Context, listen, data, redisURL, postgresURL string) (err error) {
	if err := onLoopback(listen); err != nil {
		return err
	}
	machines, policy, err := demoDefinitions()
	if err != nil {
		return err
	}
	store := postgresURL
	if store == "" {
		if data == "" {
			if data, err = os.MkdirTemp("", "interlock-demo-"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(data)) }()
		} else if err := os.MkdirAll(data, 0o700); err != nil {
			return fmt.Errorf("--data: %w", err)
		}
		store = "sqlite:" + filepath.Join(data, "interlock.db")
	}
	s := &service{log: slog.New(slog.NewTextHandler(p.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		listen: listen, identity: server.DemoIdentity(demoActors()), machines: machines, policy: policy, store: store, memory: sqlite.DefaultMemory, redis: redisURL}
	s.started = seed
	s.ready = func(addr string) { p.printDemo("http://" + addr) }
	return s.run(ctx)
}

// onLoopback refuses an address that others can reach: the demo's tokens are no secrets.
func onLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen %q: want HOST:PORT", listen)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--listen %q: the demo has users without secrets and listens on loopback only, such as 127.0.0.1:8080", listen)
}

// demoDefinitions are the machines of the examples with their policies.
func demoDefinitions() ([]*fsm.Machine, interlock.Policy, error) {
	files := examples.Files()
	var all []*fsm.Machine
	rego := map[string]string{}
	for _, system := range demoSystems {
		machines, err := fsm.LoadFS(files, system.machines)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, machines...)
		err = fs.WalkDir(files, system.policies, func(name string, d fs.DirEntry, err error) error {
			if err != nil || path.Ext(name) != ".rego" {
				return err
			}
			src, err := fs.ReadFile(files, name)
			rego[name] = string(src)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return all, policies.Sources(rego), nil
}

// demoUser is somebody of the demonstration.
type demoUser struct {
	id, person string
	roles      []string
	limit      int64
	is         string
}

var demoUsers = []demoUser{
	{"erin", "", []string{"employee"}, 50000, "employee, limit 50000"},
	{"evan", "", []string{"employee"}, 50000, "employee, limit 50000"},
	{"erin2", "erin", []string{"employee"}, 50000, "erin's second account, employee"},
	{"mark", "", []string{"manager"}, 500000, "manager, limit 500000"},
	{"mona", "", []string{"MODERATOR", "USER"}, 0, "moderator"},
	{"adam", "", []string{"admin", "ADMIN"}, 0, "administrator"},
	{"uma", "", []string{"USER"}, 0, "user"},
}

func demoActors() map[string]interlock.Actor {
	all := map[string]interlock.Actor{}
	for _, u := range demoUsers {
		all[u.id] = interlock.Actor{ID: u.id, Person: u.person}
	}
	return all
}

// seed gives the users their roles and limits. What is there already stays.
func seed(ctx context.Context, g *interlock.Gate) error {
	system := interlock.SystemActor("", "demo")
	if err := g.Bootstrap(ctx, "", "adam"); err != nil {
		return err
	}
	for _, u := range demoUsers {
		for _, role := range u.roles {
			if _, err := g.Grant(ctx, system, u.id, role, interlock.Scope{}); err != nil {
				return fmt.Errorf("grant %s to %s: %w", role, u.id, err)
			}
		}
		if u.limit == 0 {
			continue
		}
		if _, err := g.SetActor(ctx, system, u.id, map[string]any{"limit": u.limit}, nil); err != nil {
			return fmt.Errorf("limit of %s: %w", u.id, err)
		}
	}
	return nil
}

// printDemo is the first minute with the gate: paste from the top.
func (p *program) printDemo(base string) {
	fmt.Fprintf(p.out, "Interlock serves account, loan and moderation at %s\n\nUsers (Authorization: Bearer demo-<user>):\n", base)
	for _, u := range demoUsers {
		fmt.Fprintf(p.out, "  %-6s %s\n", u.id, u.is)
	}
	call := func(who, method, path, body string) string {
		line := "curl -s"
		if method != "GET" && method != "POST" {
			line += " -X " + method
		}
		line += " -H 'Authorization: Bearer demo-" + who + "'"
		if body != "" {
			line += " -H 'Content-Type: application/json' -d '" + body + "'"
		}
		return "  " + line + " '" + base + path + "'"
	}
	event := func(who, body string) string {
		return call(who, "POST", "/v1/machines/loan/instances/L1/events", body)
	}
	fmt.Fprintln(p.out, "\nPaste, from the top to the bottom:")
	for _, step := range []struct{ what, lines string }{
		{"erin makes a loan and brings it to verification (allowed: 201, then 200 each)", strings.Join([]string{
			call("erin", "POST", "/v1/machines/loan/instances", `{"id":"L1","facts":{"amount":20000}}`),
			event("erin", `{"event":"submit"}`), event("erin", `{"event":"review"}`), event("erin", `{"event":"verify"}`)}, "\n")},
		{"illegal from this state: 409, with what is legal", event("evan", `{"event":"submit"}`)},
		{"refused by policy: 403, with the reason (she verified it herself)", event("erin", `{"event":"approve"}`)},
		{"the menu: what evan can do now, and why not the rest", call("evan", "GET", "/v1/machines/loan/instances/L1/events", "")},
		{"an override by the manager, with a note", event("mark", `{"event":"override","to":"submitted","note":"the income statement is missing"}`)},
		{"who did what", call("evan", "GET", "/v1/machines/loan/instances/L1/history?attempts=true", "")},
	} {
		fmt.Fprintf(p.out, "\n# %s\n%s\n", step.what, step.lines)
	}
	fmt.Fprintf(p.out, "\nThe API: %s/docs and %s/openapi.json   Ctrl-C ends.\n", base, base)
}
