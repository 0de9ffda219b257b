package archiver

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"convoso-archiver/fetcher"
)

// TestLargeDaysInTurn has days with more recordings than fit in the queue: later days stop after one page until the
// first day is listed completely.
func TestLargeDaysInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		time.Sleep(200 * oneDay)
		var days []plannedDay
		for i := range 2 {
			date := w.ago(9 - i)
			days = append(days, plannedDay{date: date, span: date.Window(), whole: true})
			for k := range 3 * maxQueued {
				w.call(fmt.Sprintf("%s %02d:%02d:%02d", date, k/3600, k/60%60, k%60), 1)
			}
		}
		var mu sync.Mutex
		pages := map[fetcher.Date]int{}
		vendor := &hooked{world: w, page: func(r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range days {
				if strings.HasPrefix(r.URL.Query().Get("end_time"), string(p.date.AddDays(1))) { // windows overlap
					pages[p.date]++
				}
			}
			return nil
		}}
		r, end := w.prepare(t, vendor)
		defer end()
		ended := make(chan bool)
		go func() {
			r.workDays(days)
			close(ended)
		}()
		time.Sleep(time.Minute) // because pages wait for the pacer
		synctest.Wait()
		first := r.queue.listing[0].date
		ahead := 0 // pages of later days during the listing of the first day
		for len(r.queue.listing) > 0 && r.queue.listing[0].date == first {
			mu.Lock()
			for date, n := range pages {
				if date != first {
					ahead = max(ahead, n)
				}
			}
			mu.Unlock()
			j, _ := r.queue.take()
			j.day.repay(true)
			time.Sleep(100 * time.Millisecond) // as the vendor allows; pages wait for the pacer
			synctest.Wait()
		}
		if ahead != 1 { // its first page is requested before anything waits
			t.Errorf("%d pages of a day while %s is listed", ahead, first)
		}
		r.stop(errors.New("a signal"))
		r.queue.close()
		go func() {
			for {
				j, ok := r.queue.take()
				if !ok {
					return
				}
				j.day.repay(true)
			}
		}()
		<-ended
	})
}
