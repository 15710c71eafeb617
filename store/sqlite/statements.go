package sqlite

import (
	"context"
	"database/sql"
	"sync"

	"github.com/interlock-go/interlock/internal/sqlstore"
)

// statements is the readers' pool with its statements prepared, by their text:
// parsing one costs as much as running it. database/sql keeps each on every connection that
// has run it, SQLite itself parses it anew when the schema changes.
type statements struct {
	db *sql.DB

	mu    sync.Mutex
	known map[string]*sql.Stmt
}

// mostStatements is more than the store has; what comes beyond is run as text.
const mostStatements = 256

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, known: map[string]*sql.Stmt{}}
}

// of is nil, nil for what is to be run as text.
func (s *statements) of(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	stmt, full := s.known[query], len(s.known) >= mostStatements
	s.mu.Unlock()
	if stmt != nil || full {
		return stmt, nil
	}
	made, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt = s.known[query]; stmt != nil { // somebody was faster
		return stmt, made.Close()
	}
	s.known[query] = made
	return made, nil
}

// Query runs a prepared statement.
func (s *statements) Query(ctx context.Context, query string, args ...any) (sqlstore.Rows, error) {
	stmt, err := s.of(ctx, query)
	if err != nil {
		return nil, err
	}
	if stmt == nil {
		return sqlstore.SQL(s.db).Query(ctx, query, args...)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return sqlstore.SQLRows(rows), nil
}

// Exec is for writers: readers change nothing.
func (s *statements) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	return sqlstore.SQL(s.db).Exec(ctx, query, args...)
}
