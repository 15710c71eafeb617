package faults

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/interlock-go/interlock/internal/prove/faults/load"
)

// The columns of a value, as rediscache writes them: whoever may write to Redis
// may know them, too.
const (
	versionAt = len("IL1:")
	expiresAt = versionAt + 20
	headEnd   = expiresAt + 15 + 20 + 15
)

// entries are all values by their keys.
func (r *redisWorld) entries(ctx context.Context) (map[string]string, error) {
	keys, err := r.admin.Keys(ctx, "*").Result()
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	values, err := r.admin.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for i, v := range values {
		if text, ok := v.(string); ok && len(text) >= headEnd {
			all[keys[i]] = text
		}
	}
	return all, nil
}

// put overwrites without asking for versions.
func (r *redisWorld) put(ctx context.Context, all map[string]string) error {
	if len(all) == 0 {
		return nil
	}
	_, err := r.admin.Pipelined(ctx, func(p redis.Pipeliner) error {
		for k, v := range all {
			p.Set(ctx, k, v, time.Minute)
		}
		return nil
	})
	return err
}

// spoil rewrites every entry, again and again. change is told which pass it is,
// and what stood there in the pass before; "" leaves the entry alone.
func (r *redisWorld) spoil(change func(pass int, value, before string) string) fault {
	pass, before := 0, map[string]string{}
	return repeated(func() error {
		ctx := context.Background()
		all, err := r.entries(ctx)
		if err != nil {
			return err
		}
		pass++
		spoilt := map[string]string{}
		for k, v := range all {
			if x := change(pass, v, before[k]); x != "" {
				spoilt[k] = x
			}
		}
		before = all
		r.spoilt.Add(int64(len(spoilt)))
		return r.put(ctx, spoilt)
	})
}

// expires sets how long an entry says that it holds.
func expires(value string, at time.Time) string {
	return value[:expiresAt] + fmt.Sprintf("%015d", at.UnixMilli()) + value[expiresAt+15:]
}

// poison keeps the version of an entry and writes other content under it. In half
// of the passes every actor is a manager or nobody, and the instances are as they
// are; in the others it is the instances that stand somewhere else.
func poison(pass int, value, _ string) string {
	head, key, payload, ok := split(value)
	if !ok {
		return ""
	}
	kind := rand.IntN(2)
	var body map[string]any
	dec := json.NewDecoder(strings.NewReader(payload))
	if dec.Decode(&body) != nil {
		return ""
	}
	seal := payload[dec.InputOffset():]
	inst, ok := body["instance"].(map[string]any)
	if ok != (pass%20 < 10) {
		return ""
	}
	if ok {
		inst["state"] = []string{"verified", "created"}[kind]
		inst["facts"] = map[string]any{"amount": kind}
		inst["entered"] = map[string]any{"verified": []string{"nobody"}}
		inst["did"] = map[string]any{}
	} else {
		body["grants"] = []any{}
		if kind == 0 {
			body["grants"] = manager()
			body["attrs"] = map[string]any{"limit": 1 << 40}
		}
	}
	b, err := json.Marshal(body)
	if err != nil {
		return ""
	}
	return expires(head, time.Now().Add(time.Minute)) + key + string(b) + seal
}

func manager() []any {
	return []any{map[string]any{"role": "manager", "scope": "tenant", "since": "2026-01-01T00:00:00Z", "by": "root"}}
}

// split takes a value apart: its head, its length and key, and the payload.
func split(value string) (head, key, payload string, ok bool) {
	rest := value[headEnd:]
	if len(rest) < 8 {
		return "", "", "", false // a floor
	}
	n := 8 + int(binary.BigEndian.Uint64([]byte(rest[:8])))
	if n > len(rest) {
		return "", "", "", false
	}
	return value[:headEnd], rest[:n], rest[n:], true
}

// promote makes an entry of an actor whom the store doesn't know: a stranger, who
// is said to be a manager.
func (r *redisWorld) promote(ctx context.Context) error {
	all, err := r.entries(ctx)
	if err != nil {
		return err
	}
	for key, value := range all {
		at := strings.Index(key, "5:actor")
		if at < 0 {
			continue
		}
		name := key[:at] + fmt.Sprintf("5:actor7:default0:%d:%s", len(load.Stranger), load.Stranger)
		b, err := json.Marshal(map[string]any{"tenant": "default", "id": load.Stranger, "person": load.Stranger, "active": true, "grants": manager(), "version": 7})
		if err != nil {
			return err
		}
		head := value[:versionAt] + fmt.Sprintf("%020d", 7) + value[expiresAt:headEnd]
		body := string(binary.BigEndian.AppendUint64(nil, uint64(len(name)))) + name + string(b)
		return r.admin.Set(ctx, name, expires(head, time.Now().Add(time.Minute))+body, time.Minute).Err()
	}
	return nil
}
