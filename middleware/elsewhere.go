package middleware

import (
	"fmt"
	"strings"
)

// firing is a route that fires events of a machine.
type firing struct {
	machine string
	event   string // "": the request names it
	does    bool   // by Do, with the application's own writes
	at      string // method and path
}

// elsewhere are the routes whose side effects this event must not miss: a Do of
// its name comes before a Do of all events. does is whether a Do asks.
func (il *Interlock) elsewhere(machine, event string, does bool) []string {
	if named := il.doing(machine, event); len(named) > 0 || does {
		return named
	}
	return il.doing(machine, "")
}

func (il *Interlock) doing(machine, event string) []string {
	var at []string
	for _, f := range il.firing {
		if f.does && f.machine == machine && f.event == event {
			at = append(at, f.at)
		}
	}
	return at
}

func (il *Interlock) refuseElsewhere(machine, event string, s spec) error {
	if s.does && s.event != "" {
		return nil // it is here
	}
	if at := il.elsewhere(machine, event, s.does); len(at) > 0 {
		return &Problem{Code: codeOtherRoute, Detail: event + " is done at " + strings.Join(at, ", ")}
	}
	return nil
}

// walksAround are the routes that would never be answered but with that refusal.
func (il *Interlock) walksAround() []error {
	var wrong []error
	for _, f := range il.firing {
		if f.does {
			continue
		}
		if at := il.elsewhere(f.machine, f.event, false); len(at) > 0 {
			wrong = append(wrong, fmt.Errorf("%s: it fires past what Do does besides at %s; take one of them", f.at, strings.Join(at, ", ")))
		}
	}
	return wrong
}
