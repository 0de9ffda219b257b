package cases

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// store covers objects that may be adopted as recordings, and answers of a store: cases 2a, 2b, 2c,
// 3 and 37.
func store() []example {
	all := adopted()
	all = append(all, keysInUse()...)
	all = append(all, unconditional()...)
	return append(all, notImplemented()...)
}

// usualKey is the key of the recording with a usual id.
func usualKey(id int) string { return fmt.Sprintf("100200_1_%s_7_5051_%d_1-in-1.mp3", phone, id) }

// adopted: a recording is missing at the source, and its key is taken. The object is adopted only if it
// is one complete recording; otherwise the recording is lost after two answers a day apart, because no
// newer recording can prove that its host works.
func adopted() []example {
	whole := mp3("whole", 20)
	var all []example
	for _, c := range []struct {
		name  string
		body  []byte
		whole bool
	}{
		{"JSON", []byte(`{"success":false}`), false},
		{"a page", []byte("<!DOCTYPE html><html>not found</html>"), false},
		{"nothing", nil, false},
		{"an MP3 that is cut", whole[:len(whole)-200], false},
		{"a WAV that is cut", wav(8000, -1, -1)[:9000], false},
		{"a WAV of a header alone", wav(0, 16036, 16000), false},
		{"two bytes like an MP3's", []byte("\xff\xe3"), false},
		{"noughts", make([]byte, 11520), false},
		{"a whole MP3", whole, true}, // as left by a killed run
		{"a whole WAV", wav(8000, -1, -1), true},
	} {
		all = append(all, example{"2a " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(160), 100, 1)
			v.Bodies[tokenOf(100)] = nil
			a := onDisk(t, v, ago(160), ago(160))
			a.put(usualKey(100), c.body)
			if c.whole {
				a.run().want(0, 3) // it may be searched at once, or before it is lost
				a.age(25 * time.Hour)
				a.run().want(0)
				a.isClosed(ago(160))
				a.holds(c.body)
				return
			}
			a.run().want(3)
			a.isOpen(ago(160))
			a.age(25 * time.Hour)
			a.run().want(3) // it is lost in this run
			a.isClosed(ago(160))
			if l := a.day(ago(160)).state("100"); l.Outcome != "lost" {
				t.Errorf("noted is %+v", l)
			}
			if body, there := a.audio()[usualKey(100)]; !there || string(body) != string(c.body) {
				t.Error("what stood there is gone or another")
			}
			a.verify().saysNot("damaged: ")
		}})
	}
	return all
}

// keysInUse: names that are not unique, and a recording missing at the source. It never gets the file
// of another one, in this run, in flight, or in any day.
func keysInUse() []example {
	template := []string{"--path-template", "leads/{{.lead_id}}.mp3", "--order", "asc", "--purge-after", "7d"}
	old := now.AddDate(0, 0, -8).Format(time.DateTime)
	young := now.AddDate(0, 0, -7).Add(5 * time.Minute).Format(time.DateTime) // by a little
	days := func(t testing.TB, v *vendor) *archive {
		return onDisk(t, v, old[:10], young[:10], template...)
	}
	// empty removes the lines of a day, like a fault.
	empty := func(a *archive, day string) {
		for name := range a.tree() {
			if strings.HasPrefix(name, "manifest/") && dayOf(name) == day {
				a.remove(name)
			}
		}
	}
	return []example{{"2b the same lead twice on one day", func(t testing.TB) {
		v := newVendor(t)
		const n = 40
		for i := range n {
			v.call(10000+i, old, v.recording(10000+i)).with("lead_id", fmt.Sprint(i))
			v.Bodies[tokenOf(10000+i)] = nil
			v.call(20000+i, old, v.recording(20000+i)).with("lead_id", fmt.Sprint(i))
		}
		a := days(t, v)
		a.to = old[:10]
		a.run()
		a.age(25 * time.Hour)
		a.run()
		a.holds(v.bodies()...)
	}}, {"2c the notes of the later day are gone", func(t testing.TB) {
		v := newVendor(t)
		v.call(100, old, v.recording(100))
		v.call(200, young, v.recording(200))
		v.Bodies[tokenOf(100)] = nil
		a := days(t, v)
		a.from = young[:10]
		a.run().want(0)
		empty(a, young[:10])
		v.Media = func(_ http.ResponseWriter, r *http.Request) {
			if r.PathValue("token") == tokenOf(200) { // 100 is answered first, before 200 is noted
				time.Sleep(500 * time.Millisecond)
			}
		}
		a.from = old[:10]
		a.run().want(3) // 100 is lost
		a.isClosed(old[:10], young[:10])
		a.holds(v.bodies()...)
		if l := a.day(old[:10]).state("100"); l.Outcome != "lost" {
			t.Errorf("noted is %+v", l)
		}
	}}, {"2c the later day is closed and not asked for", func(t testing.TB) {
		v := newVendor(t)
		v.call(100, old, v.recording(100))
		v.call(200, young, v.recording(200))
		v.Bodies[tokenOf(100)] = nil
		a := days(t, v)
		a.from = young[:10]
		a.run().want(0)
		a.from, a.to = old[:10], old[:10]
		a.run().want(3)
		a.isClosed(old[:10])
		a.holds(v.bodies()...)
		if l := a.day(old[:10]).state("100"); l.Outcome != "lost" {
			t.Errorf("noted is %+v", l)
		}
	}}, {"2c the other one has another file name now", func(t testing.TB) {
		// The file of 200 has the key of 100; 200 is noted, under the former key of its file.
		v := newVendor(t)
		v.call(200, young, v.recording(200).with("filename", "call.mp3"))
		v.call(100, old, v.recording(100).with("filename", "call.mp3"))
		v.Bodies[tokenOf(100)] = nil
		a := onDisk(t, v, young[:10], young[:10], "--purge-after", "7d")
		a.run().want(0)
		v.change(func() { v.rowOf("200")[0].with("filename", "other.mp3") })
		a.from = old[:10]
		a.run("--relist").want(3)
		a.holds(v.bodies()...)
	}}}
}

// unconditional: a store that ignores If-None-Match would permit overwriting a recording.
func unconditional() []example {
	// sameName is two days with a recording of one file name each.
	sameName := func(t testing.TB) (*vendor, *s3, *archive) {
		v := newVendor(t)
		v.call(100, ago(5)+" 09:00:00", v.recording(100).with("filename", "call.mp3"))
		v.call(200, ago(4)+" 09:00:00", v.recording(200).with("filename", "call.mp3"))
		server := newS3(t, ignore)
		a := onS3(t, v, server, ago(5), ago(5))
		return v, server, a
	}
	intact := func(t testing.TB, v *vendor, server *s3, a *archive) {
		t.Helper()
		for _, name := range server.overwritten {
			if !strings.Contains(name, "/manifest/") && strings.Contains(name, "call") && strings.HasSuffix(name, ".mp3") {
				t.Errorf("%s was overwritten", name)
			}
		}
		if body := a.audio()["call.mp3"]; string(body) != string(v.Bodies[tokenOf(100)].([]byte)) {
			t.Error("call.mp3 is not the first recording any more")
		}
	}
	const flag = "--s3-no-conditional-writes"
	return []example{{"3 a run without the flag after one with it", func(t testing.TB) {
		v, server, a := sameName(t)
		a.run(flag).want(0)
		if text := string(a.tree()["manifest/archive.json"]); !strings.Contains(text, `"conditional_writes":false`) {
			t.Errorf("archive.json does not note how the archive is written: %s", text)
		}
		a.from, a.to = ago(4), ago(4)
		a.run().want(1).says(flag)
		intact(t, v, server, a)
		a.run(flag).want(0)
		intact(t, v, server, a)
		a.holds(v.bodies()...)
	}}, {"3 a first run without the flag", func(t testing.TB) {
		_, _, a := sameName(t)
		a.run().want(1).says(flag)
		if n := len(a.audio()); n > 1 { // the object of the proof may exist
			t.Errorf("%d objects were written", n)
		}
	}}, {"3 a store that ignores conditions since the last run", func(t testing.TB) {
		v, server, a := sameName(t)
		server.conditions = honour
		a.run().want(0)
		server.change(func() { server.conditions = ignore })
		a.from, a.to = ago(4), ago(4)
		a.run().want(1).says(flag)
		intact(t, v, server, a)
	}}, {"3 the same with many days between", func(t testing.TB) {
		v, server, a := sameName(t)
		v.fill(ago(9), 500, 3)
		server.conditions = honour
		a.from = ago(9)
		a.run().want(0)
		server.change(func() { server.conditions = ignore })
		a.from, a.to = ago(4), ago(4)
		a.state = t.TempDir() // no state of an older proof
		a.run().want(1).says(flag)
		intact(t, v, server, a)
	}}, {"3 two days in one run with the flag", func(t testing.TB) {
		v, server, a := sameName(t)
		a.to = ago(4)
		a.run(flag).want(0)
		a.holds(v.bodies()...)
		if len(server.overwritten) > 0 && slices.ContainsFunc(server.overwritten, func(name string) bool { return strings.HasSuffix(name, ".mp3") }) {
			t.Errorf("overwritten: %v", server.overwritten)
		}
	}}, {"3 a store that honours conditions, without and with the flag", func(t testing.TB) {
		v, server, a := sameName(t)
		server.conditions = honour
		a.run().want(0)
		a.from, a.to = ago(4), ago(4)
		a.run(flag).want(0)
		intact(t, v, server, a)
		a.holds(v.bodies()...)
	}}}
}

// notImplemented: a store that answers 501 to a condition, like Backblaze B2. The hint names the flag
// with which the run succeeds.
func notImplemented() []example {
	world := func(t testing.TB) (*vendor, *archive) {
		v := newVendor(t)
		v.fill(ago(5), 100, 5)
		return v, onS3(t, v, newS3(t, refuse), ago(5), ago(5))
	}
	return []example{{"37 501 to If-None-Match", func(t testing.TB) {
		v, a := world(t)
		a.run().want(1).says("--s3-no-conditional-writes")
		if n := len(v.requests("media")); n > 0 {
			t.Errorf("%d recordings were downloaded for nothing", n)
		}
	}}, {"37 501 and the flag", func(t testing.TB) {
		v, a := world(t)
		a.run("--s3-no-conditional-writes").want(0)
		a.isClosed(ago(5))
		a.holds(v.bodies()...)
		a.run("--s3-no-conditional-writes").want(0)
	}}, {"37 501 and the flag, a day that is closed later", func(t testing.TB) {
		v, a := world(t)
		v.Media = func(w http.ResponseWriter, r *http.Request) {
			if r.PathValue("token") == tokenOf(102) {
				reply(404, "text/plain", "gone")(w, r)
			}
		}
		a.run("--s3-no-conditional-writes").want(3)
		v.change(func() { v.Media = nil })
		a.run("--s3-no-conditional-writes").want(0)
		a.isClosed(ago(5))
		a.holds(v.bodies()...)
	}}}
}
