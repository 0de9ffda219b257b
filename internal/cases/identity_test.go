package cases

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// identity covers which recordings are the same, and the limits of file names: cases 8, 11, 17, 18
// and 53.
func identity() []example {
	all := sharedIDs()
	all = append(all, inProgress()...)
	all = append(all, keptIdentities()...)
	return append(all, oddNames()...)
}

// sharedIDs: recordings that share an id, or have none, are different if file name or link differ.
func sharedIDs() []example {
	const one, two = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	at := func(minute int) string { return fmt.Sprintf("%s 09:%02d:00", ago(5), minute) }
	var all []example
	for _, c := range []struct {
		name   string
		rows   func(v *vendor)
		stored int
	}{
		{"id 0 on two calls", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(0, one).with("filename", "100200_1_5555550100_7_5051_1_1-in-1.mp3"))
			v.call(101, at(1), v.recordingAt(0, two).with("filename", "100200_1_5555550199_8_5051_2_1-in-2.mp3"))
		}, 2},
		{"one id with two links in one call", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(7, one).with("filename", "seg.mp3"), v.recordingAt(7, two).with("filename", "seg.mp3"))
		}, 2},
		{"id 0 as a number", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(0, one).with("recording_id", 0, "filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt(0, two).with("recording_id", 0, "filename", "b.mp3"))
		}, 2},
		{"an empty id on two calls", func(v *vendor) {
			v.call(100, at(0), v.recordingAt("", one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt("", two).with("filename", "b.mp3"))
		}, 2},
		{"no id on two calls with one file name", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(nil, one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt(nil, two).with("filename", "a.mp3"))
		}, 2},
		{"the id null as text", func(v *vendor) {
			v.call(100, at(0), v.recordingAt("null", one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt("null", two).with("filename", "b.mp3"))
		}, 2},
		{"a usual id on two calls with two files", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(77001, one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt(77001, two).with("filename", "b.mp3"))
		}, 2},
		{"a usual id on two calls with two links", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(77001, one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt(77001, two).with("filename", "a.mp3"))
		}, 2},
		{"one id with two file names in one call", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(7, one).with("filename", "1.mp3"), v.recordingAt(7, two).with("filename", "2.mp3"))
		}, 2},
		{"three segments without ids in one call", func(v *vendor) {
			v.call(100, at(0), v.recordingAt(nil, one).with("filename", "s.mp3"), v.recordingAt(nil, two).with("filename", "s.mp3"),
				v.recordingAt(nil, "cccccccccccccccccccccccccccccccc").with("filename", "s.mp3"))
		}, 3},
		{"one recording under two calls", func(v *vendor) { // the same in all: it is stored once
			v.call(100, at(0), v.recordingAt(77001, one).with("filename", "a.mp3"))
			v.call(101, at(1), v.recordingAt(77001, one).with("filename", "a.mp3"))
		}, 1},
	} {
		all = append(all, example{"8 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 500, 2)
			c.rows(v)
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
			if n := len(a.audio()); n != c.stored+2 {
				t.Errorf("%d recordings are stored, want %d", n, c.stored+2)
			}
			v.forget()
			a.run("--relist").want(0)
			if n := len(v.requests("media")); n > 0 {
				t.Errorf("%d recordings were asked for again", n)
			}
		}})
	}
	return append(all, example{"8 id 0 on two days", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(6), 500, 2)
		v.call(100, ago(6)+" 20:00:00", v.recordingAt(0, one).with("filename", "a.mp3"))
		v.call(101, ago(5)+" 20:00:00", v.recordingAt(0, two).with("filename", "b.mp3"))
		a := onDisk(t, v, ago(6), ago(5))
		a.run().want(0)
		a.isClosed(ago(6), ago(5))
		a.holds(v.bodies()...)
	}})
}

// inProgress: a call of a settled day whose row still looks like that of a running call.
func inProgress() []example {
	var all []example
	for _, c := range []struct {
		name   string
		change func(row)
	}{
		{"call_length null", func(r row) { r["call_length"] = nil }},
		{"call_length null as text", func(r row) { r["call_length"] = "null" }},
		{"call_length empty", func(r row) { r["call_length"] = "" }},
		{"status INCALL", func(r row) { r.with("status", "INCALL", "term_reason", "") }},
		{"term_reason NONE", func(r row) { r.with("term_reason", "NONE", "call_length", "0") }},
	} {
		all = append(all, example{"17 " + c.name, func(t testing.TB) {
			v := newVendor(t)
			v.fill(ago(5), 100, 3)
			running := v.call(200, ago(5)+" 12:00:00", v.recording(200).without())
			c.change(running)
			a := onDisk(t, v, ago(5), ago(5))
			a.run().want(3)
			a.isOpen(ago(5))
			if l := a.day(ago(5)).state("200"); l.Outcome != "pending" {
				t.Errorf("noted is %+v", l)
			}
			v.change(func() { running.with("call_length", "9", "recording", []row{v.recording(200)}) })
			a.run().want(0)
			a.isClosed(ago(5))
			a.holds(v.bodies()...)
		}})
	}
	return append(all, example{"17 neither id nor file name nor link", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(5), 100, 3)
		v.call(200, ago(5)+" 12:00:00", row{"src": nil, "type": "mp3", "new": "yes", "recording_id": nil, "filename": nil, "public_url": nil}).with("call_length", nil)
		a := onDisk(t, v, ago(5), ago(5))
		a.run().want(3)
		a.isOpen(ago(5))
		a.holds(v.bodies()...)
	}}, example{"17 of a day that has not settled", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(1), 100, 3)
		v.call(200, ago(1)+" 12:00:00", v.recording(200).without()).with("call_length", nil)
		a := onDisk(t, v, ago(1), ago(1))
		a.run().want(0)
		a.isOpen(ago(1))
		if l := a.day(ago(1)).state("200"); l.Outcome != "" {
			t.Errorf("noted is %+v", l)
		}
	}})
}

// keptIdentities: the row of a recording changes between two runs. It stays the same recording.
func keptIdentities() []example {
	// Call 109 waits, so that the day stays open and is listed again; its audio comes for the third run.
	world := func(t testing.TB, rows func(*vendor)) (*vendor, *archive) {
		v := newVendor(t)
		v.fill(ago(20), 500, 2)
		rows(v)
		v.call(109, ago(20)+" 15:00:00", v.recordingAt(9, "eeeeeeeeeeeeeeeeeeeeeeee").with("filename", "e.mp3"))
		v.Bodies["eeeeeeeeeeeeeeeeeeeeeeee"] = nil
		return v, onDisk(t, v, ago(20), ago(20))
	}
	late := mp3("e", 20)
	var all []example
	for _, c := range []struct {
		name         string
		rows, change func(v *vendor)
		once         string // the token that must be requested only once
	}{
		{
			"an id is filled in later",
			func(v *vendor) {
				v.call(101, ago(20)+" 09:01:00", v.recordingAt(nil, "bbbbbb").with("filename", "b.mp3"))
			},
			func(v *vendor) { v.rowOf("101")[0].with("recording_id", "8") }, "bbbbbb",
		},
		{
			"an id is taken away later",
			func(v *vendor) {
				v.call(101, ago(20)+" 09:01:00", v.recordingAt(8, "bbbbbb").with("filename", "b.mp3"))
			},
			func(v *vendor) { v.rowOf("101")[0].with("recording_id", nil) }, "bbbbbb",
		},
		{
			"an id of nought is filled in later",
			func(v *vendor) {
				v.call(101, ago(20)+" 09:01:00", v.recordingAt(0, "bbbbbb").with("filename", "b.mp3"))
			},
			func(v *vendor) { v.rowOf("101")[0].with("recording_id", "8") }, "bbbbbb",
		},
		{
			"a second file under a known id",
			func(v *vendor) {
				v.call(100, ago(20)+" 09:00:00", v.recordingAt(7, "aaaaaa").with("filename", "a.mp3"))
			},
			func(v *vendor) {
				v.add2("100", v.recordingAt(7, "cccccc").with("filename", "c.mp3"))
			}, "aaaaaa",
		},
		{
			"a second file under a known id, first in the row",
			func(v *vendor) {
				v.call(100, ago(20)+" 09:00:00", v.recordingAt(7, "aaaaaa").with("filename", "a.mp3"))
			},
			func(v *vendor) {
				r := v.row("100")
				r["recording"] = append([]row{v.recordingAt(7, "cccccc").with("filename", "c.mp3")}, r["recording"].([]row)...)
			}, "aaaaaa",
		},
		{
			"a second file under the id of one that waits",
			func(*vendor) {},
			func(v *vendor) { v.add2("109", v.recordingAt(9, "ffffff").with("filename", "f.mp3")) }, "",
		},
		{
			"a second file without an id, and then with ids for both",
			func(v *vendor) {
				v.call(100, ago(20)+" 09:00:00", v.recordingAt(nil, "aaaaaa").with("filename", "a.mp3"))
			},
			func(v *vendor) {
				v.rowOf("100")[0].with("recording_id", "7")
				v.add2("100", v.recordingAt(7, "cccccc").with("filename", "c.mp3"))
			}, "aaaaaa",
		},
		{
			"the link changes",
			func(v *vendor) {
				v.call(100, ago(20)+" 09:00:00", v.recordingAt(7, "aaaaaa").with("filename", "a.mp3"))
			},
			func(v *vendor) {
				again := v.recordingAt(7, "dddddd")
				v.Bodies["dddddd"] = v.Bodies["aaaaaa"]
				v.rowOf("100")[0].with("public_url", again["public_url"], "src", again["src"])
			}, "aaaaaa",
		},
	} {
		all = append(all, example{"18 " + c.name, func(t testing.TB) {
			v, a := world(t, c.rows)
			a.run().want(3)
			v.change(func() { c.change(v) })
			a.run().want(3)
			a.isOpen(ago(20))
			v.change(func() { v.Bodies["eeeeeeeeeeeeeeeeeeeeeeee"] = late })
			a.run().want(0)
			a.isClosed(ago(20))
			bodies := v.bodies()
			if _, moved := v.Bodies["dddddd"]; moved {
				bodies = v.bodies(tokenOf(500), tokenOf(501), "aaaaaa", "eeeeeeeeeeeeeeeeeeeeeeee")
			}
			a.holds(bodies...)
			if n := a.day(ago(20)).outcomes(); n["lost"] > 0 {
				t.Errorf("written off: %v", n)
			}
			if n := v.asked(c.once); c.once != "" && n != 1 {
				t.Errorf("it was asked for %d times", n)
			}
		}})
	}
	return append(all, example{"18 an id is filled in while it waits", func(t testing.TB) {
		v, a := world(t, func(*vendor) {})
		v.Rows[2].with("recording", []row{v.recordingAt(nil, "eeeeeeeeeeeeeeeeeeeeeeee").with("filename", "e.mp3")})
		a.run().want(3)
		v.change(func() { v.rowOf("109")[0].with("recording_id", "9") })
		a.run().want(3)
		a.age(25 * time.Hour)
		v.change(func() { v.Bodies["eeeeeeeeeeeeeeeeeeeeeeee"] = late })
		a.run().want(0)
		a.isClosed(ago(20))
		a.holds(v.bodies()...)
	}})
}

// row returns the row of a call, rowOf its recordings, and add2 gives it one more. The vendor must be
// locked.
func (v *vendor) row(id string) row {
	for _, r := range v.Rows {
		if r["id"] == id {
			return r
		}
	}
	panic("no call " + id)
}

func (v *vendor) rowOf(id string) []row { return v.row(id)["recording"].([]row) }

func (v *vendor) add2(id string, r row) { v.row(id)["recording"] = append(v.rowOf(id), r) }

// oddNames: file names in other forms than the vendor's are only names. No message contains a telephone
// number.
func oddNames() []example {
	const other = "4155550123"
	names := map[string]func(i int) string{
		"a number first": func(i int) string { return fmt.Sprintf("%s_20250528_1458%02d_vm.mp3", other, i) },
		"campaign first": func(i int) string { return fmt.Sprintf("5052_%s_202505281458%02d.mp3", other, i) },
		"an epoch first": func(i int) string { return fmt.Sprintf("1748469%03d_%s_Agent.mp3", i, other) },
		"an epoch of years ago": func(i int) string {
			return fmt.Sprintf("106387_11_%s_7_5051_1000000%03d_%d-in-1000000%03d.mp3", other, i, i, i)
		},
		"milliseconds":           func(i int) string { return fmt.Sprintf("%s-1748469536%03d.mp3", other, i) },
		"two numbers like times": func(i int) string { return fmt.Sprintf("1415555%04d_1646555%04d_%d.mp3", i, i, i) },
		"date and time":          func(i int) string { return fmt.Sprintf("20250528-1458%02d_%s.mp3", i, other) },
		"UUIDs":                  func(i int) string { return fmt.Sprintf("6f9619ff-8b86-d011-b42d-00c04fc9%04d.mp3", i) },
		"another account each":   func(i int) string { return fmt.Sprintf("%d_1_%s_7_5051_1_1-in-1.mp3", 300000+i, other) },
	}
	var all []example
	for name, form := range names {
		all = append(all, example{"53 names with " + name, func(t testing.TB) {
			v := newVendor(t)
			v.Opaque = true
			for n, date := range []string{ago(6), ago(5)} {
				for i := range 25 {
					id := (n+1)*1000 + i
					v.call(id, fmt.Sprintf("%s 09:%02d:00", date, i), v.recording(id).with("filename", form(n*50+i)))
				}
			}
			a := onDisk(t, v, ago(6), ago(6))
			a.run().want(0).saysNot("time-zone|" + other)
			a.to = ago(5) // the next night
			a.run().want(0).saysNot("time-zone|" + other)
			a.isClosed(ago(6), ago(5))
			a.holds(v.bodies()...)
		}})
	}
	quiet := func(name, file string) example {
		return example{"11 " + name, func(t testing.TB) {
			v := newVendor(t)
			v.Opaque = true
			days := []string{ago(7), ago(6), ago(5), ago(4), ago(3)}
			for n, date := range days {
				for i := range 30 {
					if id := (n+1)*1000 + i; n != 2 {
						v.call(id, fmt.Sprintf("%s 09:%02d:00", date, i), v.recording(id).with("filename", fmt.Sprintf("106387_11_%s_7_5051_1748469536_%d-in-1748469536.mp3", phone, id)))
					}
				}
			}
			v.call(900, days[2]+" 10:00:00", v.recording(900).with("filename", file))
			a := onDisk(t, v, ago(7), ago(3), "--order", "asc")
			a.run().want(0).saysNot(other)
			a.isClosed(days...)
			a.holds(v.bodies()...)
		}}
	}
	all = append(all,
		quiet("a quiet day of one recording with a number first", other+"_20250528_145838_vm.mp3"),
		quiet("a quiet day of one recording of another form", "vm_"+other+".mp3"),
		quiet("a quiet day of one recording with a name like an account's", "999999_1_"+other+"_7_5051_1_1-in-1.mp3"),
	)
	return append(all, example{"11 links of another account", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(6), 1000, 25)
		a := onDisk(t, v, ago(6), ago(6))
		a.run().want(0)
		v.Account = 100201
		v.fill(ago(5), 2000, 25)
		a.to = ago(5)
		r := a.run().want(2).says("account")
		if strings.Contains(r.stderr+r.stdout, ".mp3") {
			t.Error("a file name is printed")
		}
		if n := len(a.audio()); n != 25 {
			t.Errorf("%d recordings are stored", n)
		}
	}}, example{"11 fewer than 20 links of another account", func(t testing.TB) {
		v := newVendor(t)
		v.fill(ago(6), 1000, 25)
		a := onDisk(t, v, ago(6), ago(6))
		a.run().want(0)
		v.Account = 100201
		v.fill(ago(5), 2000, 12)
		a.to = ago(5)
		a.run().want(0) // they prove nothing
		a.isClosed(ago(5))
	}})
}
