//go:build data

package data

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/interlock-go/interlock"
)

// play executes a row's steps; an error says where Interlock departs from it.
func play(t *testing.T, row behaviour) error {
	t.Helper()
	s, err := start(t, row, newScripted(), nil)
	if err != nil {
		return fmt.Errorf("not started: %w", err)
	}
	for i := range row.Steps {
		if err := s.play(t.Context(), i, &row.Steps[i]); err != nil {
			return fmt.Errorf("step %d (%s %s): %w", i+1, row.Steps[i].Op, row.Steps[i].Event, err)
		}
	}
	return nil
}

// actor is whom the step speaks of; every step has its own, since grants stay.
func (s *stage) actor(ctx context.Context, i int, st *step) (interlock.Actor, error) {
	a := interlock.Actor{ID: fmt.Sprintf("actor%d", i), Claims: map[string]any{}}
	switch st.Actor {
	case "sally":
		a.ID, a.Roles = "sally", []string{"direct_manager"}
	case "betty":
		a.ID, a.Roles = "betty", []string{"manager"}
	}
	if st.Granted != nil && *st.Granted {
		a.Roles = append(a.Roles, "granted")
	}
	if st.User == nil {
		return a, nil
	}
	a.Roles = append(a.Roles, st.User.Permissions...)
	a.Claims["staff"] = st.User.Staff
	for _, permission := range st.User.ObjectPermissions["this"] {
		scope := interlock.Scope{Machine: machineName, ID: instanceID}
		if _, err := s.gate.Grant(ctx, interlock.SystemActor("", "setup"), a.ID, permission+"_post", scope); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (s *stage) play(ctx context.Context, i int, st *step) error {
	s.rules.mu.Lock()
	s.rules.step = st
	s.rules.mu.Unlock()
	actor, err := s.actor(ctx, i, st)
	if err != nil {
		return err
	}
	if st.State != "" {
		if err := s.setTo(ctx, st.State); err != nil {
			return err
		}
	}
	if st.Facts != nil {
		if _, err := s.gate.EditFacts(ctx, interlock.SystemActor("", "setup"), interlock.FactsRequest{Machine: machineName, ID: instanceID, Patch: st.Facts}); err != nil {
			return err
		}
	}
	switch st.Op {
	case "force_state", "load_twice", "refresh":
		return nil
	case "fire":
		return s.playFire(ctx, actor, st)
	case "can":
		return s.playCan(ctx, actor, st)
	case "permitted":
		got, err := s.permitted(ctx, actor)
		if err != nil {
			return err
		}
		return same(texts(st.Expect), got)
	case "store_read_fails":
		s.store.reads = true
		return nil
	case "store_write_fails":
		s.store.writes = true
		return nil
	case "explain":
		_, err := s.fire(ctx, actor, st.Event)
		if got := outcome(err); got != "denied:graph" {
			return fmt.Errorf("got %s", got)
		}
		return nil
	}
	return fmt.Errorf("no such step")
}

func (s *stage) playFire(ctx context.Context, actor interlock.Actor, st *step) error {
	s.observed, s.seen = nil, nil
	_, err := s.fire(ctx, actor, st.Event)
	if got := outcome(err); !sameOutcome(st.Result, got) {
		return fmt.Errorf("want %s, got %s: %w", st.Result, got, err)
	}
	s.store.reads, s.store.writes = false, false
	if at, err := s.state(ctx); err != nil || st.StateAfter != "" && at != st.StateAfter {
		return fmt.Errorf("want state %s, got %s, %w", st.StateAfter, at, err)
	}
	if st.MessageContains != "" && !strings.Contains(err.Error(), st.MessageContains) {
		return fmt.Errorf("the message doesn't name %s: %w", st.MessageContains, err)
	}
	if st.FailureHook > 0 && st.FailureHook != len(s.told()) {
		return fmt.Errorf("want %d observation of the refusal, got %d", st.FailureHook, len(s.told()))
	}
	if st.PreHookState != "" {
		if len(s.seen) != 2 || s.seen[0].state != st.PreHookState || s.seen[1].state != st.PostHookState {
			return fmt.Errorf("hooks saw %+v", s.seen)
		}
	}
	return nil
}

// told are the refusals of Fire that the observer was told of.
func (s *stage) told() []interlock.Observation {
	return slices.DeleteFunc(slices.Clone(s.observed), func(o interlock.Observation) bool { return o.Op != "fire" || o.Stage == "" })
}

func (s *stage) playCan(ctx context.Context, actor interlock.Actor, st *step) error {
	var events []string
	if st.CheckConditions != nil && !*st.CheckConditions {
		at, err := s.state(ctx)
		if err != nil {
			return err
		}
		events = s.legal(at)
	} else {
		var err error
		if events, err = s.permitted(ctx, actor); err != nil {
			return err
		}
	}
	if got := slices.Contains(events, st.Event); got != (st.Expect == true) {
		return fmt.Errorf("want %v, got %v (%v)", st.Expect, got, events)
	}
	return nil
}

func same(want, got []string) error {
	a, b := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	if !slices.Equal(a, b) {
		return fmt.Errorf("want %v, got %v", want, got)
	}
	return nil
}

func texts(list any) []string {
	var out []string
	for _, v := range list.([]any) {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
