package load

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/interlock-go/interlock/internal/prove/fixture"
)

// Op is one request and what came of it.
type Op struct {
	Kind                     string // write, read, menu, stranger, grant, revoke, granted, revoked
	Phase                    int    // Before, During or After; what overlaps the fault is During
	Actor, ID, Event, Token  string
	Began, Ended             time.Time
	Status                   int    // 0: no answer
	Code                     string // of a problem
	RetryAfter               bool
	Transition, State, Cause string
	Version                  int64
	Reasons                  []string
}

// Took is how long the client waited.
func (o *Op) Took() time.Duration { return o.Ended.Sub(o.Began) }

// Unknown tells that the client can't know whether it was done.
func (o *Op) Unknown() bool { return o.Status == 0 || o.Code == "outcome_unknown" }

// Client asks one server.
type Client struct {
	URL  string
	HTTP *http.Client
}

// NewClient has connections of its own, and waits long: how long the server
// takes is what is measured.
func NewClient(url string) *Client {
	return &Client{url, &http.Client{Timeout: 40 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
}

// Close ends the client's connections.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// Fire asks for an event.
func (c *Client) Fire(o *Op, to string) {
	body := map[string]any{"event": o.Event, "note": o.Token}
	if to != "" {
		body["to"] = to
	}
	c.ask(o, http.MethodPost, "/v1/machines/"+fixture.Machine+"/instances/"+o.ID+"/events", body)
}

// Read reads the instance.
func (c *Client) Read(o *Op) {
	c.ask(o, http.MethodGet, "/v1/machines/"+fixture.Machine+"/instances/"+o.ID, nil)
}

// Menu reads what the actor may do.
func (c *Client) Menu(o *Op) {
	c.ask(o, http.MethodGet, "/v1/machines/"+fixture.Machine+"/instances/"+o.ID+"/events", nil)
}

// Role grants (PUT) or revokes (DELETE) a role of o.ID.
func (c *Client) Role(o *Op, method, role string) {
	c.ask(o, method, "/v1/actors/"+o.ID+"/roles/"+role, nil)
}

func (c *Client) ask(o *Op, method, path string, body any) {
	var sent io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			panic(err) // a map of texts
		}
		sent = bytes.NewReader(b)
	}
	req, err := http.NewRequest(method, c.URL+path, sent)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.Actor)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	o.Began = time.Now()
	resp, err := c.HTTP.Do(req)
	o.Ended = time.Now()
	if err != nil {
		o.Cause = err.Error()
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	o.Ended = time.Now()
	if err != nil {
		o.Cause = err.Error()
		return
	}
	o.Status = resp.StatusCode
	o.RetryAfter = resp.Header.Get("Retry-After") != ""
	o.Transition = resp.Header.Get("Interlock-Transition")
	var answer struct {
		State, Code string
		Version     int64
		Reasons     []struct{ Code string }
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		o.Code = "no JSON: " + err.Error()
		return
	}
	o.Code, o.State, o.Version = answer.Code, answer.State, answer.Version
	for _, r := range answer.Reasons {
		o.Reasons = append(o.Reasons, r.Code)
	}
}
