package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/redis/go-redis/v9"
)

// naive is what one would put together by hand: Gin, the case and the actor as
// JSON in Redis, a map for the graph, OPA with Go input, four statements in a
// transaction. It has no hash chain, no idempotency, and trusts its cache.
type naive struct {
	redis *redis.Client
	keys  string // prefix
	deny  rego.PreparedEvalQuery
	moves map[[2]string]string // state, event → state
	store transitionStore
}

// transitionStore is the four statements: read and lock the case, move it, add a
// row of history and a message.
type transitionStore interface {
	move(ctx context.Context, m transition) error
}

type transition struct {
	id, event, from, to, actor, note string
	version                          int64
	at                               time.Time
}

var errMoved = errors.New("the case has moved")

func newNaive(ctx context.Context, client *redis.Client, keys string, store transitionStore) (*naive, error) {
	compiler, err := deskCompiler()
	if err != nil {
		return nil, err
	}
	client = client.WithTimeout(10 * time.Second) // it has no other place to read from: waiting beats failing
	n := &naive{redis: client, keys: keys, moves: map[[2]string]string{}, store: store}
	if n.deny, err = rego.New(rego.Query(denyOf(deskMachines[0])), rego.Compiler(compiler)).PrepareForEval(ctx); err != nil {
		return nil, err
	}
	m, err := deskMachine(deskMachines[0])
	if err != nil {
		return nil, err
	}
	for _, e := range m.Edges() {
		n.moves[[2]string{m.State(e.From).Name, m.Event(e.Event).Name}] = m.State(e.To).Name
	}
	return n, nil
}

// populate puts cases and actors into the cache, as the policy reads them.
func (n *naive) populate(ctx context.Context, actors, ids []string) error {
	sample := samples()[0]
	doc, err := document(sample.input())
	if err != nil {
		return err
	}
	for kind, list := range map[string][]string{"actor": actors, "case": ids} {
		for _, id := range list {
			value, _ := doc[map[string]string{"actor": "actor", "case": "instance"}[kind]].(map[string]any)
			value["id"], value["person"], value["version"] = id, id, 1
			if err := n.put(ctx, kind, id, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *naive) put(ctx context.Context, kind, id string, value map[string]any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return n.redis.Set(ctx, n.keys+kind+":"+id, b, 0).Err()
}

func (n *naive) get(ctx context.Context, kind, id string) (out map[string]any, err error) {
	b, err := n.redis.Get(ctx, n.keys+kind+":"+id).Bytes()
	if err != nil {
		return nil, err
	}
	return out, json.Unmarshal(b, &out)
}

// handler serves POST /cases/:id/events, which decides only with ?dry_run=true.
func (n *naive) handler() http.Handler {
	r := gin.New()
	r.POST("/cases/:id/events", n.fire)
	return r
}

func (n *naive) fire(c *gin.Context) {
	var asked struct {
		Event string `json:"event"`
		Note  string `json:"note"`
	}
	if err := c.ShouldBindJSON(&asked); err != nil {
		c.JSON(http.StatusBadRequest, gin.H{"error": err.Error()})
		return
	}
	ctx, id, user := c.Request.Context(), c.Param("id"), c.GetHeader("X-User")
	instance, err := n.get(ctx, "case", id)
	actor, err2 := n.get(ctx, "actor", user)
	if err := errors.Join(err, err2); err != nil {
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": err.Error()})
		return
	}
	from, _ := instance["state"].(string)
	to, legal := n.moves[[2]string{from, asked.Event}]
	if !legal {
		c.JSON(http.StatusConflict, gin.H{"error": "not legal from " + from})
		return
	}
	v, err := denials(n.deny.Eval(ctx, rego.EvalInput(map[string]any{"machine": deskMachines[0], "event": asked.Event, "note": asked.Note,
		"instance": instance, "actor": actor, "transition": map[string]any{"from": from, "to": to}})))
	switch {
	case err != nil:
		c.JSON(http.StatusServiceUnavailable, gin.H{"error": err.Error()})
		return
	case !v.allowed:
		c.JSON(http.StatusForbidden, gin.H{"reasons": v.reasons})
		return
	}
	if c.Query("dry_run") != "true" {
		version, _ := instance["version"].(float64)
		err := n.store.move(ctx, transition{id: id, event: asked.Event, from: from, to: to, actor: user, note: asked.Note, version: int64(version), at: time.Now().UTC()})
		if err != nil {
			c.JSON(http.StatusConflict, gin.H{"error": err.Error()})
			return
		}
		instance["version"], instance["state"] = version+1, to
		if err := n.put(ctx, "case", id, instance); err != nil {
			c.JSON(http.StatusServiceUnavailable, gin.H{"error": err.Error()})
			return
		}
	}
	c.JSON(http.StatusOK, instance)
}

// The four statements, after the one that locks.
const (
	naiveTables = `CREATE TABLE cases (id TEXT PRIMARY KEY, state TEXT NOT NULL, version BIGINT NOT NULL);
CREATE TABLE case_history (id TEXT PRIMARY KEY, case_id TEXT NOT NULL, seq BIGINT NOT NULL, event TEXT NOT NULL, from_state TEXT NOT NULL, to_state TEXT NOT NULL, actor TEXT NOT NULL, note TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE case_outbox (id TEXT PRIMARY KEY, message TEXT NOT NULL);`
	naiveRow     = `INSERT INTO cases (id, state, version) VALUES ($1, $2, 1)`
	naiveRead    = `SELECT state, version FROM cases WHERE id = $1`
	naiveMove    = `UPDATE cases SET state = $2, version = version + 1 WHERE id = $1`
	naiveHistory = `INSERT INTO case_history (id, case_id, seq, event, from_state, to_state, actor, note, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	naiveOutbox  = `INSERT INTO case_outbox (id, message) VALUES ($1, $2)`
)

// rows are what the last two statements write.
func (m *transition) rows() (history, outbox []any) {
	id, at := m.id+"/"+strconv.FormatInt(m.version+1, 10), m.at.Format(time.RFC3339Nano)
	message, _ := json.Marshal(map[string]any{"id": id, "case": m.id, "event": m.event, "from": m.from, "to": m.to, "actor": m.actor, "at": at}) // of strings: it always goes
	return []any{id, m.id, m.version + 1, m.event, m.from, m.to, m.actor, m.note, at}, []any{id, string(message)}
}
