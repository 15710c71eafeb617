// Package crash proves what is promised of a gate whose process dies, pauses or
// loses its power at any point between a request and its answer, and of one whose
// handlers, transactions and connections fail there.
package crash
