// Moderation is a site about theme parks whose users propose parks, rides and
// photos, and whose moderators decide. It keeps its own tables, users and
// status columns; Interlock is the gate that every change of a status passes.
//
//	go run ./examples/moderation -db moderation.db
//
// The README beside it is a tour with curl.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8083", "`address`")
	name := flag.String("db", "moderation.db", "SQLite `file`, or a postgres:// URL")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *name); err != nil {
		fmt.Fprintln(os.Stderr, "moderation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, listen, name string) (err error) {
	gin.SetMode(gin.ReleaseMode)
	db, err := open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	a, err := newApp(db, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.gate.Close(context.WithoutCancel(ctx))) }()

	server := &http.Server{Addr: listen, Handler: a, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	fmt.Fprintln(os.Stderr, "listening on http://"+listen)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(ctx)
	}
}
