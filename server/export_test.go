package server

import (
	"cmp"
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

// Limit sets what a connection may take; 0: as it is.
func (s *Server) Limit(readHeader, read, idle time.Duration) {
	l := &s.limits
	l.readHeader, l.read, l.idle = cmp.Or(readHeader, l.readHeader), cmp.Or(read, l.read), cmp.Or(idle, l.idle)
}

// Handle adds a route, such as one that panics.
func (s *Server) Handle(path string, h func(*gin.Context)) { s.engine.GET(path, h) }

// Waiting are the requests that wait for a place.
func (s *Server) Waiting() int { return int(s.places.waiting.Load()) }
