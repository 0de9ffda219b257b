package fetcher_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"convoso-archiver/fetcher"
)

// TestFirstAnswerComesAlone lists several days in parallel, like a run: a wrong token costs one
// request, even without a rate limit, and a correct one delays nothing.
func TestFirstAnswerComesAlone(t *testing.T) {
	for name, code := range map[string]int{"refused": 5001, "well": 0} {
		t.Run(name, func(t *testing.T) {
			var requests, atOnce, most atomic.Int64
			client, _ := clientOn(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				if n := atOnce.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(20 * time.Millisecond)
				atOnce.Add(-1)
				if code != 0 {
					fmt.Fprintf(w, `{"success":false,"code":%d,"text":"no"}`, code)
					return
				}
				answer(w, 0)
			}, nil)
			var group sync.WaitGroup
			for day := range 8 {
				group.Go(func() {
					_, err := list(t, client, someDay.AddDays(day), fetcher.Filter{})
					refused, is := errors.AsType[*fetcher.APIError](err)
					if code != 0 && (!is || !refused.Refused()) || code == 0 && err != nil {
						t.Errorf("day %d: %v", day, err)
					}
				})
			}
			group.Wait()
			if code != 0 && requests.Load() != 1 {
				t.Errorf("%d requests", requests.Load())
			}
			if code == 0 && most.Load() < 2 {
				t.Error("the days were listed one by one")
			}
		})
	}
}
