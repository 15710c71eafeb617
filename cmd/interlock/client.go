package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// api talks to a running server with the caller's own identity: the tools have
// no way round the gate.
type api struct {
	url, token string
}

func (a *api) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.url, "url", "http://127.0.0.1:8080", "the server")
	cmd.Flags().StringVar(&a.token, "token", "", "bearer token (default: INTERLOCK_TOKEN)")
}

// call returns the answer's body. An answer that is a refusal is a *finding.
func (a *api) call(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	return a.send(ctx, method, path, query, nil)
}

// send is call with a JSON body, where there is one.
func (a *api) send(ctx context.Context, method, path string, query url.Values, in []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	target := strings.TrimSuffix(a.url, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(in))
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if len(in) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	token := a.token
	if token == "" {
		token = os.Getenv("INTERLOCK_TOKEN")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode/100 != 2 {
		err := problemFinding(resp.StatusCode, body)
		if token == "" && resp.StatusCode == http.StatusUnauthorized {
			err.msg += " Give a token: --token, or INTERLOCK_TOKEN."
		}
		return nil, err
	}
	return body, nil
}

func problemFinding(status int, body []byte) *finding {
	var p struct {
		Title   string `json:"title"`
		Detail  string `json:"detail"`
		Code    string `json:"code"`
		Reasons []struct {
			Message string `json:"message"`
		} `json:"reasons"`
		Errors []struct {
			Pointer string `json:"pointer"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &p) != nil || p.Title == "" {
		return &finding{fmt.Sprintf("the server answered %d", status)}
	}
	text := fmt.Sprintf("%d %s", status, p.Title)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	for _, r := range p.Reasons {
		text += "; " + r.Message
	}
	for _, e := range p.Errors {
		text += "; " + e.Pointer + ": " + e.Message
	}
	return &finding{text}
}

func (p *program) explain() *cobra.Command {
	var a api
	var machine, id, event, to string
	var trace, asJSON bool
	cmd := &cobra.Command{
		Use:   "explain --machine NAME --id ID --event EVENT",
		Short: "Ask a running server how it would decide an event, step by step",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q := url.Values{"event": {event}}
			if to != "" {
				q.Set("to", to)
			}
			if trace {
				q.Set("trace", "true")
			}
			body, err := a.call(cmd.Context(), http.MethodGet, "/v1/machines/"+url.PathEscape(machine)+"/instances/"+url.PathEscape(id)+"/explain", q)
			if err != nil {
				return err
			}
			if asJSON {
				_, err := fmt.Fprintln(p.out, string(body))
				return err
			}
			return p.printExplanation(body)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&machine, "machine", "", "machine (required)")
	fl.StringVar(&id, "id", "", "instance (required)")
	fl.StringVar(&event, "event", "", "event (required)")
	fl.StringVar(&to, "to", "", "target, where the event has several")
	fl.BoolVar(&trace, "trace", false, "the policy's evaluation, too")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	a.flags(cmd)
	for _, name := range []string{"machine", "id", "event"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func (p *program) printExplanation(body []byte) error {
	var e struct {
		Allowed bool `json:"allowed"`
		Steps   []struct {
			Stage    string         `json:"stage"`
			OK       bool           `json:"ok"`
			Message  string         `json:"message"`
			Detail   map[string]any `json:"detail"`
			Duration int64          `json:"duration_ns"`
		} `json:"steps"`
		Trace []string `json:"trace"`
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	for _, s := range e.Steps {
		mark := "ok"
		if !s.OK {
			mark = "NO"
		}
		fmt.Fprintf(p.out, "%-2s  %-11s %8s  %s\n", mark, s.Stage, time.Duration(s.Duration).Round(time.Microsecond), printable(s.Message))
		if len(s.Detail) > 0 {
			b, err := json.Marshal(s.Detail)
			if err != nil {
				return err
			}
			fmt.Fprintf(p.out, "                           %s\n", printable(string(b)))
		}
	}
	for _, line := range e.Trace {
		fmt.Fprintln(p.out, printable(line))
	}
	verdict := "allowed"
	if !e.Allowed {
		verdict = "refused"
	}
	_, err := fmt.Fprintln(p.out, verdict)
	return err
}

func (p *program) roles() *cobra.Command {
	cmd := &cobra.Command{Use: "roles", Short: "Show, grant and revoke roles on a running server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(
		p.rolesCall("show ACTOR", "Print an actor with his roles", http.MethodGet, 1),
		p.rolesCall("grant ACTOR ROLE", "Grant a role", http.MethodPut, 2),
		p.rolesCall("revoke ACTOR ROLE", "Revoke a role; answers when nothing commits on it any more", http.MethodDelete, 2),
	)
	return cmd
}

func (p *program) rolesCall(use, short, method string, args int) *cobra.Command {
	var a api
	var scope string
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.ExactArgs(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/v1/actors/" + url.PathEscape(args[0])
			q := url.Values{}
			if len(args) == 2 {
				path += "/roles/" + url.PathEscape(args[1])
				if scope != "" {
					q.Set("scope", scope)
				}
			}
			body, err := a.call(cmd.Context(), method, path, q)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, printable(strings.TrimSpace(string(body))))
			return err
		},
	}
	if args == 2 {
		cmd.Flags().StringVar(&scope, "scope", "", "tenant (default), machine:NAME or instance:NAME/ID")
	}
	a.flags(cmd)
	return cmd
}

func (p *program) health() *cobra.Command {
	var target string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a server whether it is ready; exit 1 when it isn't",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 5*time.Second)
			defer cancel()
			address, err := url.Parse(target)
			if err != nil {
				return fmt.Errorf("--url: %w", err)
			}
			if address.Path == "" || address.Path == "/" {
				address.Path = "/readyz"
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
			if err != nil {
				return fmt.Errorf("--url: %w", err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return &finding{err.Error()}
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return &finding{"not ready: " + resp.Status}
			}
			_, err = fmt.Fprintln(p.out, "ready")
			return err
		},
	}
	cmd.Flags().StringVar(&target, "url", "http://127.0.0.1:8080", "the server, or the whole address to ask where /readyz is elsewhere")
	return cmd
}
