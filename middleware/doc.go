// Package middleware mounts an [interlock.Gate] in a Gin application: who asks,
// the routes that pass the gate, and one place that turns errors into
// problem+json (RFC 9457).
package middleware
