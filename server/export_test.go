package server

import (
	"time"

	"github.com/gin-gonic/gin"
)

// Routes are "METHOD /path" of everything that the engine answers.
func (s *Server) Routes() []string {
	var out []string
	for _, r := range s.engine.Routes() {
		out = append(out, r.Method+" "+r.Path)
	}
	return out
}

// Limit shortens what a connection may take.
func (s *Server) Limit(readHeader, read, idle time.Duration) {
	s.limits.readHeader, s.limits.read, s.limits.idle = readHeader, read, idle
}

// Handle adds a route, such as one that panics.
func (s *Server) Handle(path string, h func(*gin.Context)) { s.engine.GET(path, h) }

// Waiting are the requests that wait for a place.
func (s *Server) Waiting() int { return int(s.places.waiting.Load()) }
