package s3test

import (
	"strings"
	"testing"
)

// TestPortOfAnother: a server whose port another one took first has not started.
func TestPortOfAnother(t *testing.T) {
	first := Start(t, false)
	second := &Server{Dir: t.TempDir()}
	if second.start(t, Program(t), strings.TrimPrefix(first.Endpoint, "http://"), nil) {
		t.Error("another server's answer counts as its own")
	}
}
