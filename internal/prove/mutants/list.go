package main

import "slices"

// all are the mutants: predicates of the commit, what leaves history, then what the gate does around
// them, then its cache, its policies, and what comes in from outside.
func all() []mutant {
	return slices.Concat(predicates(), locks(), together(), sharing(), checkpoints(), archiving(), stores(), protocol(), deciding(), caching(), ready(), framed(), weighing(), ruling(), incoming())
}

// Shorthands for one edit, and for the suites that most mutants are tried on.

func one(file, old, changed string) edits { return edits{{file, old, changed}} }

func (e edits) and(file, old, changed string) edits { return append(e, edit{file, old, changed}) }

func onSQLite(m mutant, run string) mutant {
	m.packages, m.run = []string{"./store/sqlite"}, run
	return m
}

func onPostgres(m mutant, run string) mutant {
	m.packages, m.run = []string{"./store/postgres"}, run
	return m
}

func onGate(m mutant, run string) mutant {
	m.packages, m.run = []string{"."}, run
	return m
}

func onPackage(m mutant, pkg, run string) mutant {
	m.packages, m.run = []string{pkg}, run
	return m
}
