package lent_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/interlock-go/interlock/internal/lent"
)

// A mark that went on to hooks and handlers would lend to whoever asks from there.
func TestTheMarkGoesNoFurther(t *testing.T) {
	ctx := t.Context()
	inner, is := lent.Of(lent.To(ctx))
	require.True(t, is)
	require.Equal(t, ctx, inner)
	inner, is = lent.Of(ctx)
	require.False(t, is)
	require.Equal(t, ctx, inner)
	child, cancel := context.WithCancel(lent.To(ctx))
	defer cancel()
	_, is = lent.Of(child)
	require.False(t, is)
}
