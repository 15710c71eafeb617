// Package lent is how the parts of this module that answer over HTTP ask the gate
// without a copy of their own: what they are answered is written to the wire at
// once, and then forgotten.
package lent

import "context"

type marked struct{ context.Context }

// To returns a context with which the gate may be asked by whoever neither changes
// nor keeps what he is answered. The answer may share memory with rows that are
// kept for everybody, and an instance in it holds only what goes over the wire: of
// who did what, it says nothing that can be relied on.
//
// Only the context itself says so, and none that is made from it: what the gate
// passes on, to hooks and handlers, says it no more.
func To(ctx context.Context) context.Context { return marked{ctx} }

// Of tells whether ctx is one of [To], and returns the one that it was made from.
func Of(ctx context.Context) (context.Context, bool) {
	if m, ok := ctx.(marked); ok {
		return m.Context, true
	}
	return ctx, false
}
