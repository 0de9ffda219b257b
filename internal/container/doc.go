// Package container tests the container image that make image writes: make test-image has
// it loaded and run by podman and runc, without any right that they can take away.
package container
