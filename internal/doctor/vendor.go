// Looks at API and media host.

package doctor

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"slices"
	"time"

	"convoso-archiver/archiver"
	"convoso-archiver/archiver/audio"
	"convoso-archiver/fetcher"
)

// API is what the vendor's API showed.
type API struct {
	Steps                   // of the first request; Err is that of the first page
	Skew      time.Duration // the machine's clock minus the API's
	SkewKnown bool
	Days      int // that were looked at, the last ones
	Calls     int // of a page of these days
	Recorded  int // recordings of the page
	Filtered  error
	Account   string        // "" where too few links tell
	ZoneGap   time.Duration // of the times in file names and the calls' dates; see [archiver.ZoneGap]
	GapKnown  bool
	ZoneFits  string // a common zone in which there is no gap, "" for none

	links []fetcher.Secret // of recordings, the newest of the page first
}

// enough is how many recordings tell the account and the zone.
const enough = 20

// LookAtAPI asks the API for a page of the last day's calls, of more days where these have few recordings, and
// for one with the filter, if there is any.
func LookAtAPI(ctx context.Context, client *fetcher.Client, zone *time.Location, filter fetcher.Filter) (seen API) {
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	noted := &steps{}
	asking := noted.context(ctx)
	last := fetcher.Wall(time.Now().Add(-5*time.Minute), zone)
	for _, days := range []int{1, 7, 60} {
		page, err := client.Look(asking, lastDays(last, days), fetcher.Filter{}, 0)
		if days == 1 {
			seen.Steps = noted.ended(err)
		}
		if err != nil {
			break
		}
		asking = ctx
		seen.Days, seen.Calls = days, len(page.Calls)
		seen.take(page.Calls, zone)
		if seen.Recorded >= enough {
			break
		}
	}
	seen.Skew, seen.SkewKnown = client.ClockSkew()
	if seen.Err == nil && filter != (fetcher.Filter{}) {
		_, seen.Filtered = client.Look(ctx, lastDays(last, seen.Days), filter, 0)
	}
	return seen
}

func lastDays(last time.Time, days int) fetcher.Window {
	return fetcher.Window{From: last.AddDate(0, 0, -days), To: last}
}

// take notes what a page tells.
func (a *API) take(calls []fetcher.Call, zone *time.Location) {
	a.Recorded, a.links = 0, nil
	for _, call := range slices.Backward(calls) {
		a.Recorded += len(call.Recordings)
		for _, recording := range call.Recordings {
			if recording.Link != "" {
				a.links = append(a.links, recording.Link)
			}
		}
	}
	a.Account = cmp.Or(archiver.AccountOf(calls), a.Account)
	a.ZoneFits = ""
	a.ZoneGap, a.GapKnown = archiver.ZoneGap(calls, zone)
	if !a.GapKnown || a.ZoneGap.Abs() <= archiver.ZoneMaxGap {
		return
	}
	for _, name := range []string{
		"America/Los_Angeles", "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "UTC", "Asia/Manila",
	} {
		other, err := time.LoadLocation(name)
		if err != nil {
			continue
		}
		if gap, _ := archiver.ZoneGap(calls, other); gap.Abs() <= archiver.ZoneMaxGap {
			a.ZoneFits = name
			return
		}
	}
}

// Media is what the host of recordings showed.
type Media struct {
	Steps         // of the last link; Err is what came of it
	Asked  int    // links that were asked for; 0 where no recording has one
	Origin string // of the last link, as --allow-host takes it
	Status int    // of the last answer, 0 for none
	Audio  bool   // it began like audio
}

// maxAsked is how many recordings are asked for until one begins like audio: a new one may not be there yet.
const maxAsked = 3

// headSize is how much of a recording is read.
const headSize = 64 << 10

// LookAtMedia asks for the beginning of a recording that the API has listed, and drops it.
func LookAtMedia(ctx context.Context, client *fetcher.Client, api API) (seen Media) {
	ctx, cancel := context.WithTimeout(ctx, mediaTime)
	defer cancel()
	noted := &steps{}
	for i, link := range api.links {
		if i == maxAsked || seen.Audio || ctx.Err() != nil || seen.Asked > 0 && seen.Status == 0 {
			break
		}
		seen.Asked, seen.Origin = i+1, fetcher.LinkOrigin(link)
		var err error
		seen.Status, seen.Audio, err = begin(noted.context(ctx), client, link)
		seen.Steps = noted.ended(err)
	}
	return seen
}

// begin reads the beginning of a recording.
func begin(ctx context.Context, client *fetcher.Client, link fetcher.Secret) (status int, isAudio bool, err error) {
	answer, err := client.Open(ctx, ctx, link, false)
	if err != nil {
		return 0, false, err
	}
	defer answer.Close()
	head, err := io.ReadAll(io.LimitReader(answer, headSize))
	return answer.Status, err == nil && answer.Status == http.StatusOK && audio.IsAudio(head), err
}
