// Package policies holds the proof that hostile rules are refused: when they are
// loaded, with the place, or soon after their deadline, and never with a yes.
package policies
