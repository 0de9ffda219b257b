package archiver

import (
	"time"

	"convoso-archiver/manifest"
)

// notFoundRows: the source says that it does not have the recording.
func notFoundRows() []judgeRow {
	one := func(r recordingFacts, change func(*facts)) func(*facts) {
		return func(f *facts) {
			r.Stored = no
			f.Recordings = []recordingFacts{r}
			f.Hosts["media"] = well
			f.Delivered = yes
			change(f)
		}
	}
	once := waiting("a", causeNotFound, 0, 1)
	const (
		reason   = "the vendor cannot find the audio"
		tooShort = "the media host has delivered audio older than --purge-after: raise --purge-after"
	)
	host := func(h hostFacts) func(*facts) { return func(f *facts) { f.Hosts["media"] = h } }
	both := func(changes ...func(*facts)) func(*facts) {
		return func(f *facts) {
			for _, c := range changes {
				c(f)
			}
		}
	}
	return []judgeRow{
		{"not found once", one(once, func(*facts) {}), "open", reason, ""},
		{"not found in two attempts", one(twice("a", 24*hour), func(*facts) {}), "close a=lost", "", ""},
		{"not found in two attempts within a day", one(twice("a", 24*hour-time.Second), func(*facts) {}), "open", reason, ""},
		{"not found in two attempts by links of one listing", one(func() recordingFacts {
			r := twice("a", 25*hour)
			r.State.NotFounds = 1
			return r
		}(), func(*facts) {}), "open", reason, ""},
		{"not found in two attempts, on a day not settled", one(twice("a", 25*hour), func(f *facts) { f.End = f.Now }), "open", reason, ""},
		{"not found in two attempts, by clocks that disagree", one(twice("a", 25*hour), func(f *facts) { f.Trusted = false }), "open", reason, ""},
		{"not found in two attempts, not asked in this run", one(func() recordingFacts {
			r := twice("a", 25*hour)
			r.Refused = false
			return r
		}(), func(*facts) {}), "open", reason, ""},
		{"not found in two attempts: a media witness is needed", one(twice("a", 25*hour), host(hostFacts{Good: 4, AnyGood: 4, Ever: true})), "open [media media]", reason, ""},
		{"not found in two attempts: an earlier witness says nothing", one(twice("a", 25*hour), host(hostFacts{Good: 5, AnyGood: 5, Ever: true, Witness: yes})), "open [media media]", reason, ""},
		{"not found in two attempts, and the witness failed", one(twice("a", 25*hour), host(hostFacts{Ever: true, Witness: no})), "open", reason, ""},
		{"not found in two attempts, and no witness can be had", one(twice("a", 25*hour), host(hostFacts{Witness: unknowable})), "open", reason, ""},
		{"not found in two attempts: the store is searched", one(twice("a", 25*hour), func(f *facts) { f.Recordings[0].Stored = unasked }), "open [search a]", reason, ""},
		{"not found in two attempts, and it stands in the store", one(twice("a", 25*hour), func(f *facts) { f.Recordings[0].Stored = yes }), "close a=archived", "", ""},
		{"not found in two attempts, and the store cannot tell", one(twice("a", 25*hour), func(f *facts) { f.Recordings[0].Stored = unknowable }), "open", reason, ""},
		{"not found in two attempts, of a filtered listing", one(twice("a", 25*hour), func(f *facts) { f.Filter = "campaign_id=7" }), "close a=lost", "", ""},
		{"two are not found: the witness is asked for once", one(twice("a", 25*hour), func(f *facts) {
			f.Recordings = append(f.Recordings, twice("b", 25*hour))
			f.Hosts["media"] = hostFacts{}
		}), "open [media media]", reason, ""},
		{"expired, not found once", one(once, expired), "close a=lost", "", ""},
		{"just not expired, not found once", one(once, func(f *facts) { f.End = f.Now.Add(-155 * dayLength) }), "open", reason, ""},
		{"expired: a media witness is needed", one(once, both(expired, host(hostFacts{}))), "open [media media]", reason, ""},
		{"expired: the greatest age is needed", one(once, both(expired, func(f *facts) { f.Delivered = unasked })), "open [delivered]", reason, ""},
		{"expired, and the ledger cannot tell the greatest age", one(once, both(expired, func(f *facts) { f.Delivered = unknowable })), "open", reason, ""},
		{"expired, and the host delivered older audio", one(once, both(expired, host(hostFacts{Good: 6, Ever: true, Oldest: 157 * dayLength}))), "open", reason, tooShort},
		{"two expired, and the host delivered older audio", one(once, both(expired, host(hostFacts{Good: 6, Ever: true, Oldest: 157 * dayLength}), func(f *facts) {
			f.Recordings = append(f.Recordings, once)
		})), "open", reason, tooShort},
		{"expired, and another host delivered older audio", one(once, both(expired, func(f *facts) {
			f.Hosts["other"] = hostFacts{Good: 6, Ever: true, Oldest: 157 * dayLength}
		})), "close a=lost", "", ""},
		{"expired, and the host delivered audio as old", one(once, both(expired, host(hostFacts{Good: 6, Ever: true, Oldest: 156 * dayLength}))), "close a=lost", "", ""},
		{"expired, and the host delivered audio seconds older", one(once, both(expired, host(hostFacts{Good: 6, Ever: true, Oldest: 156*dayLength + 4*time.Second}))), "close a=lost", "", ""},
		{"expired, not found in two attempts, and the host delivered older audio", one(twice("a", 24*hour), both(expired, host(hostFacts{Good: 6, Ever: true, Oldest: 157 * dayLength}))), "close a=lost", "", ""},
		{"expired, no witness can exist, not found once", one(once, both(expired, host(hostFacts{Witness: unknowable}))), "open", reason, ""},
		{"expired, no witness can exist, not found in two attempts", one(twice("a", 24*hour), both(expired, host(hostFacts{Witness: unknowable}))), "close a=lost", "", ""},
		{"expired, the witness failed, not found in two attempts", one(twice("a", 24*hour), both(expired, host(hostFacts{Witness: no}))), "open", reason, ""},
	}
}

// giveUpRows: any other failure, and a missing link.
func giveUpRows() []judgeRow {
	one := func(r recordingFacts, change func(*facts)) func(*facts) {
		return func(f *facts) {
			f.End = f.Now.Add(-30 * dayLength)
			r.Stored = no
			f.Recordings = []recordingFacts{r}
			f.Hosts["media"] = well
			f.Rows = yes
			change(f)
		}
	}
	failed := waiting("a", causeStatus, 14*dayLength, 3)
	link := waiting("a", causeNoLink, 14*dayLength, 3)
	silent := hostFacts{AnyGood: 6}
	return []judgeRow{
		{"failed for two weeks", one(failed, func(*facts) {}), "close a=failed", "", ""},
		{"failed for less", one(waiting("a", causeStatus, 14*dayLength-time.Second, 3), func(*facts) {}), "open", "bad_status", ""},
		{"failed in two runs", one(waiting("a", causeStatus, 15*dayLength, 2), func(*facts) {}), "open", "bad_status", ""},
		{"failed, not asked in this run", one(func() recordingFacts {
			r := failed
			r.Refused = false
			return r
		}(), func(*facts) {}), "open", "bad_status", ""},
		{"failed: a media witness is needed", one(failed, func(f *facts) { f.Hosts["media"] = hostFacts{} }), "open [media media]", "bad_status", ""},
		{"failed, and the witness failed", one(failed, func(f *facts) { f.Hosts["media"] = hostFacts{Witness: no} }), "open", "bad_status", ""},
		{"failed on a day not settled", one(failed, func(f *facts) { f.End = f.Now }), "open", "bad_status", ""},
		{"failed at a host that never delivered: is that so?", one(failed, func(f *facts) { f.Hosts["media"] = silent }), "open [delivered]", "bad_status", ""},
		{"failed at a host that never delivered, another one does", one(failed, func(f *facts) {
			f.Hosts["media"], f.Delivered = silent, yes
		}), "close a=failed", "", ""},
		{"failed at a host that delivered before, another one does", one(failed, func(f *facts) {
			f.Hosts["media"], f.Delivered = hostFacts{AnyGood: 6, Ever: true}, yes
		}), "open [media media]", "bad_status", ""},
		{"failed at a host that never delivered, another one did before", one(failed, func(f *facts) {
			f.Hosts["media"], f.Delivered = hostFacts{AnyGood: 5}, yes
		}), "open [media media]", "bad_status", ""},
		{"not found at a host that never delivered, within two weeks", one(twice("a", 25*hour), func(f *facts) {
			f.Hosts["media"], f.Delivered = silent, yes
		}), "open [media media]", "cannot find", ""},
		{"no link for two weeks", one(link, func(*facts) {}), "close a=pending", "", ""},
		{"no link: an API witness is needed", one(link, func(f *facts) { f.Rows = unasked }), "open [rows]", "no link yet", ""},
		{"no link, and the API shows no other call", one(link, func(f *facts) { f.Rows = no }), "open", "nothing is given up", ""},
		{"no link, for less", one(waiting("a", causeNoLink, 13*dayLength, 3), func(*facts) {}), "open", "no link yet", ""},
		{"no link, in two runs", one(waiting("a", causeNoLink, 15*dayLength, 2), func(*facts) {}), "open", "no link yet", ""},
		{"a host that is not allowed: an API witness is needed", one(waiting("a", causeHost, 14*dayLength, 3), func(f *facts) { f.Rows = unasked }), "open [rows]", causeHost, ""},
		{"neither id nor file name nor link: the store is searched", one(waiting("a", causeNameless, 14*dayLength, 3), func(f *facts) { f.Recordings[0].Stored = unasked }), "open [search a]", "no id, no file name", ""},
		{"an outcome of a later version is left alone", one(func() recordingFacts {
			r := failed
			r.State.Outcome, r.State.Final, r.Refused = "archived_twice", true, false
			return r
		}(), func(*facts) {}), "close", "", ""},
		{"a host that is not allowed", one(waiting("a", causeHost, 14*dayLength, 3), func(*facts) {}), "close a=pending", "", ""},
		{"neither id nor file name nor link", one(waiting("a", causeNameless, 14*dayLength, 3), func(*facts) {}), "close a=lost", "", ""},
		{"neither id nor file name nor link, for less", one(waiting("a", causeNameless, dayLength, 3), func(*facts) {}), "open", "no id, no file name", ""},
		{"given up before", one(func() recordingFacts {
			r := failed
			r.State.Final = true
			return r
		}(), func(*facts) {}), "close", "", ""},
		{"of an older version, tried after the time to give up", one(func() recordingFacts {
			r := waiting("a", causeStatus, 14*dayLength, 1)
			r.State.Old, r.Refused = true, false
			return r
		}(), func(*facts) {}), "close", "", ""},
		{"of an older version, not tried since", one(func() recordingFacts {
			r := waiting("a", causeStatus, 15*dayLength, 1)
			r.State.Old, r.Refused, r.State.Time = true, false, r.State.FirstSeen
			return r
		}(), func(*facts) {}), "open", "bad_status", ""},
	}
}

// damagedRows: archived recordings that are damaged.
func damagedRows() []judgeRow {
	one := func(r recordingFacts, change func(*facts)) func(*facts) {
		return func(f *facts) {
			r.State.Outcome = manifest.Damaged
			f.Recordings = []recordingFacts{r}
			f.Hosts["media"] = well
			change(f)
		}
	}
	return []judgeRow{
		{"damaged, not found in two attempts", one(twice("a", 24*hour), func(*facts) {}), "close a=damaged", "", ""},
		{"damaged, not found in two attempts: a media witness is needed", one(twice("a", 24*hour), func(f *facts) { f.Hosts["media"] = hostFacts{} }), "open [media media]", "waiting recordings", ""},
		{"damaged, not found in two attempts, and the witness failed", one(twice("a", 24*hour), func(f *facts) { f.Hosts["media"] = hostFacts{Witness: no} }), "open", "waiting recordings", ""},
		{"damaged, expired, not found in two attempts, and no witness can exist", one(twice("a", 24*hour), func(f *facts) {
			expired(f)
			f.Hosts["media"] = hostFacts{Witness: unknowable}
		}), "open", "waiting recordings", ""},
		{"damaged, not found once", one(waiting("a", causeNotFound, 0, 1), func(*facts) {}), "open", "waiting recordings", ""},
		{"damaged, expired, not found once", one(waiting("a", causeNotFound, 0, 1), func(f *facts) {
			expired(f)
			f.Delivered = yes
		}), "open", "waiting recordings", ""},
		{"damaged, failed for two weeks", one(waiting("a", causeStatus, 15*dayLength, 3), func(f *facts) { f.End = f.Now.Add(-30 * dayLength) }), "open", "waiting recordings", ""},
		{"damaged, of an older version", one(func() recordingFacts {
			r := waiting("a", causeStatus, 15*dayLength, 3)
			r.State.Old, r.Refused = true, false
			return r
		}(), func(*facts) {}), "open", "waiting recordings", ""},
		{"damaged and final", one(func() recordingFacts {
			r := twice("a", 24*hour)
			r.State.Final = true
			return r
		}(), func(*facts) {}), "close", "", ""},
	}
}
