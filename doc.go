package interlock
