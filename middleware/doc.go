// Package middleware mounts an [interlock.Gate] in a Gin application: who asks,
// the routes that pass the gate, and one place that turns errors into
// problem+json (RFC 9457).
//
// The package reads bodies, parameters and ids strictly. What comes before it is
// the application's, which should set what Gin and net/http leave open:
//
//	r.RedirectTrailingSlash = false  // a second path for each address
//	r.HandleMethodNotAllowed = true  // 405 with Allow, not 404
//	r.UseRawPath = true              // an encoded slash reaches no other route: the id is refused here
//	srv := &http.Server{Handler: r, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
//		WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10} // r.Run sets none of these
package middleware
