// Command account is a user administration by invitation: accounts are invited,
// accepted, locked after wrong passwords, unlocked, deactivated and deleted, and
// nothing but these events moves them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "account:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("account", flag.ContinueOnError)
	db := flags.String("db", "account.db", "SQLite `file`, or a postgres:// URL")
	listen := flags.String("listen", "127.0.0.1:8082", "`address`")
	password := flags.String("password", "correct horse", "of adam, the first administrator, where there is nobody yet")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	app, err := newApp(ctx, config{
		db:     *db,
		rounds: 600_000, // OWASP's Password Storage Cheat Sheet, PBKDF2 with HMAC-SHA256
		tell:   func(to, text string) { fmt.Printf("to %s: %s\n", to, text) },
	})
	if err != nil {
		return err
	}
	defer app.Close()
	if err := errors.Join(app.seed(ctx, *password), app.send(ctx)); err != nil {
		return err
	}

	server := &http.Server{Handler: app, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Printf("http://%s, administrator adam@example.org\n", listener.Addr())
	drained := make(chan error, 1)
	go func() {
		<-ctx.Done()
		drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		drained <- server.Shutdown(drain)
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-drained
}

// seed makes the first administrator where there is nobody yet. He passes the
// gate like everybody: he is created, invited, and accepts.
func (a *app) seed(ctx context.Context, password string) error {
	var n int
	if err := a.db.QueryRowContext(ctx, `SELECT count(*) FROM users`).Scan(&n); err != nil || n > 0 {
		return err
	}
	adam := interlock.Actor{ID: "adam", Roles: []string{"admin"}}
	u := user{ID: adam.ID, Email: "adam@example.org", Name: "Adam", Role: "admin"}
	if _, err := a.create(ctx, adam, u); err != nil {
		return err
	}
	if err := a.fire(ctx, adam, u.ID, "invite"); err != nil {
		return err
	}
	if err := a.setPassword(ctx, adam, u.ID, password); err != nil {
		return err
	}
	err := a.fire(ctx, adam, u.ID, "activate")
	return err
}
