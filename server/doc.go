// Package server is the HTTP API of an [interlock.Gate]: machines, instances,
// events, menus, history, actors. The document that it keeps to is served at
// /openapi.json; every route of its tests is checked against that document.
//
// [New] makes a [Server], [Server.Serve] answers on a listener until its context
// ends, [JWT] and [DemoIdentity] tell who asks, [NewMetrics] counts.
package server
