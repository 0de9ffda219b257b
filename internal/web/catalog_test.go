package web

import (
	"testing"
	"time"

	"convoso-archiver/internal/web/webtest"
	"convoso-archiver/search"
)

// TestCatalogIsBounded checks the limits on cached days and calls.
func TestCatalogIsBounded(t *testing.T) {
	c := newCatalog(nil)
	now := time.Now()
	for i, test := range []struct {
		day   string
		calls int
		want  int // days kept
	}{{"1", 10, 1}, {"2", 10, 2}, {"3", 10, 3}, {"4", 10, 3}, {"5", keptCalls - 15, 2}, {"6", keptCalls + 1, 2}, {"7", keptCalls, 1}, {"7", 5, 1}} {
		c.keep(test.day, &loadedDay{calls: make([]search.Call, test.calls), at: now.Add(time.Duration(i) * time.Millisecond)})
		if len(c.days) != test.want {
			t.Errorf("after day %s %d days are kept, want %d", test.day, len(c.days), test.want)
		}
	}
}

// TestCatalogForgets checks that a day is read again after a short time, because erased data must
// not be served for long.
func TestCatalogForgets(t *testing.T) {
	s := serve(t, nil)
	c := s.server.catalog
	if _, err := c.day(t.Context(), webtest.OpenDay); err != nil {
		t.Fatal(err)
	}
	first := c.kept(webtest.OpenDay)
	if first == nil {
		t.Fatal("it is not kept")
	}
	first.at = first.at.Add(-keepFor - time.Second)
	if c.kept(webtest.OpenDay) != nil {
		t.Error("it is kept for too long")
	}
	for _, bad := range []string{"", "2025-5-1", "../x", "2025-02-30"} {
		if call, err := c.call(t.Context(), bad, "1"); call != nil || err != nil {
			t.Errorf("%q: %v, %v", bad, call, err)
		}
		if ref, err := c.recording(t.Context(), bad, "1"); ref != nil || err != nil {
			t.Errorf("%q: %v, %v", bad, ref, err)
		}
	}
}
