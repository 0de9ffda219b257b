// Examines API and media host.

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

// API has the facts about the vendor's API.
type API struct {
	Steps                   // of the first request; Err is that of the first page
	Skew      time.Duration // the machine's clock minus the API's
	SkewKnown bool
	Days      int // number of listed days, the last ones
	Calls     int // on a page of these days
	Recorded  int // recordings on the page
	Filtered  error
	Account   string        // "" if there are too few links
	ZoneGap   time.Duration // between the times in file names and the calls' dates; see [archiver.ZoneGap]
	GapKnown  bool
	ZoneFits  string // a common zone without a gap, "" for none

	links []fetcher.Secret // of recordings, the newest first
}

// enough is the number of recordings that determine the account and the zone.
const enough = 20

// LookAtAPI requests a page of the last day's calls, of more days if there are few recordings, and one with
// the filter, if any.
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

// take adds the facts from a page.
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

// Media has the facts about the host of recordings.
type Media struct {
	Steps         // of the last link; Err is its error
	Asked  int    // requested links; 0 if no recording has one
	Origin string // of the last link, as a value of --allow-host
	Status int    // of the last answer, 0 for none
	Audio  bool   // the body started like audio
}

// maxAsked is the maximum number of requested recordings until one starts like audio: a new one may not
// exist yet.
const maxAsked = 3

// headSize is the number of bytes read of a recording.
const headSize = 64 << 10

// LookAtMedia requests the start of a listed recording, and discards it.
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

// begin reads the start of a recording.
func begin(ctx context.Context, client *fetcher.Client, link fetcher.Secret) (status int, isAudio bool, err error) {
	answer, err := client.Open(ctx, ctx, link, false)
	if err != nil {
		return 0, false, err
	}
	defer answer.Close()
	head, err := io.ReadAll(io.LimitReader(answer, headSize))
	return answer.Status, err == nil && answer.Status == http.StatusOK && audio.IsAudio(head), err
}
