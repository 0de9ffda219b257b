// Package container tests the container image that make image writes: make test-image loads and
// runs it with podman and runc, without any right that they can remove.
package container
