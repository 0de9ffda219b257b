// Package e2e holds the tests that run the built binary: against the simulator,
// with real files, real signals and a real S3 server.
package e2e
