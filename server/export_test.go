package server

import "github.com/gin-gonic/gin"

// Routes are "METHOD /path" of everything that the engine answers.
func (s *Server) Routes() []string {
	var out []string
	for _, r := range s.engine.Routes() {
		out = append(out, r.Method+" "+r.Path)
	}
	return out
}

// Handle adds a route, such as one that panics.
func (s *Server) Handle(path string, h func(*gin.Context)) { s.engine.GET(path, h) }
