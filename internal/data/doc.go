// Package data holds tests that run the library over definitions, event logs
// and expectations that others wrote. They need a folder of such data, named
// by INTERLOCK_DATA, and are built with the tag "data" only.
package data
