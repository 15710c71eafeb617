// Package walk takes random walks through the gate, beside a model of it that is
// written naively in the test: whatever the walk did so far, both answer alike.
package walk
