package readme

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"convoso-archiver/fetcher/convosotest"
	"convoso-archiver/manifest"
)

// nothing is the preparation for most command-line mistakes.
func nothing(*world) {}

// situations are those of docs/errors.md by heading, each with its preparation.
func situations() map[string]func(w *world) {
	return map[string]func(w *world){
		"A command is misspelt":              nothing,
		"A flag is misspelt":                 nothing,
		"A value is missing":                 nothing,
		"A value is not a number":            nothing,
		"An unexpected word":                 nothing,
		"No time range":                      nothing,
		"Two time ranges":                    nothing,
		"The start is after the end":         nothing,
		"A date does not exist":              nothing,
		"Minutes or months":                  nothing,
		"The time zone is unknown":           nothing,
		"No destination":                     nothing,
		"The destination is not supported":   nothing,
		"A field of the template is unknown": nothing,
		"The configuration file is missing":  nothing,
		"A key of the configuration is misspelt": func(w *world) {
			w.write("nightly.yaml", "dest: archive\nlast: 7d\nwrokers: 3\n")
		},
		"The configuration is not YAML": func(w *world) { w.write("nightly.yaml", "dest: archive\n\tlast: 7d\n") },
		"No token":                      func(w *world) { w.set("CONVOSO_AUTH_TOKEN=") },
		"The token file is missing":     func(w *world) { w.set("CONVOSO_AUTH_TOKEN=") },
		"The address of the API is not https": func(w *world) {
			w.set("CONVOSO_ARCHIVER_API_URL=")
		},
		"No home folder":                            func(w *world) { w.set("HOME=", "XDG_STATE_HOME=") },
		"The state folder cannot be created":        func(w *world) { w.write("state", "") },
		"The folder of the metrics file is missing": nothing,

		"The API refuses the token":        func(w *world) { w.set("CONVOSO_AUTH_TOKEN=wrong-token") },
		"The API does not know a campaign": nothing,
		"The API cannot be reached":        func(w *world) { w.set("CONVOSO_ARCHIVER_API_URL=http://127.0.0.1:1/v1") },
		"The API answers with a web page": func(w *world) {
			w.vendor(convosotest.Config{APIRules: []convosotest.APIRule{{Fault: convosotest.APIHTML}}})
		},
		"The API ignores a filter": func(w *world) {
			w.vendor(convosotest.Config{Listing: convosotest.Listing{Ignore: []string{"campaign_id"}}})
		},
		"The API asks to wait for hours": func(w *world) {
			w.vendor(convosotest.Config{APIRules: []convosotest.APIRule{{Fault: convosotest.APILimitHours}}})
		},
		"The media host cannot be reached": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 1, MediaOrigin: "http://127.0.0.1:1"})
			w.set("CONVOSO_ARCHIVER_ALLOW_HOST=http://127.0.0.1:1")
		},
		"The media host delivers nothing": func(w *world) {
			w.vendor(convosotest.Config{Days: 3, CallsPerDay: 60, RecordedShare: 1, MediaDown: convosotest.FaultForbidden})
		},
		"Links lead to a host that is not allowed": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 1})
			w.set("CONVOSO_ARCHIVER_ALLOW_HOST=")
		},
		"The vendor no longer has a recording": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 1, MediaFaults: map[convosotest.Fault]int{convosotest.FaultNotFound: 1}})
		},
		"The vendor sends a page instead of audio": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 1, MediaFaults: map[convosotest.Fault]int{convosotest.FaultHTML: 1}})
		},
		"The clocks differ": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 1, ClockSkew: 2 * time.Hour})
		},
		"The time zone is not the account's": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 40, RecordedShare: 1})
		},

		"The destination is a file":         func(w *world) { w.write("archive", "") },
		"The destination cannot be written": func(w *world) { w.sh("mkdir archive && chmod 500 archive"); w.bind() },
		"The disk is full": func(w *world) {
			w.vendor(convosotest.Config{CallsPerDay: 20, RecordedShare: 0.05, BigRecordings: []int64{2 << 20}})
			w.mount("archive")
		},
		"A folder in the destination is a link": func(w *world) {
			w.archive()
			w.sh("mv archive/calls elsewhere && ln -s ../elsewhere archive/calls")
		},
		"The disk is not mounted": func(w *world) {
			w.sh("convoso-archiver archive --dest archive --start-time 2025-05-01 --end-time 2025-05-01 --quiet && rm -r archive && mkdir archive")
		},
		"The manifest is lost":               func(w *world) { w.archive(); w.sh("rm -r archive/manifest") },
		"Another run has locked the archive": func(w *world) { w.archive(); w.hold() },
		"The archive has another time zone":  func(w *world) { w.archive() },
		"The archive has another API address": func(w *world) {
			w.archive()
			w.vendor(convosotest.Config{})
		},
		"The archive belongs to another account": func(w *world) {
			w.archive()
			w.replace("archive/manifest/archive.json", `"100200"`, `"900900"`)
		},
		"A later version wrote the archive": func(w *world) {
			w.archive()
			w.replace("archive/manifest/archive.json", `"v":2`, `"v":9`)
		},

		"S3 cannot be reached":       func(w *world) { w.set("AWS_ENDPOINT_URL_S3=http://127.0.0.1:1") },
		"S3 refuses the credentials": func(w *world) { w.set("AWS_SECRET_ACCESS_KEY=wrong-secret") },
		"No credentials for S3":      func(w *world) { w.set("AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=") },
		"The bucket is missing":      nothing,
		"No region":                  func(w *world) { w.set("AWS_REGION=", "AWS_ENDPOINT_URL_S3=") },

		"There is no archive":                nothing,
		"A line of the manifest is damaged":  func(w *world) { w.archive(); w.spoilLine("manifest", "recording") },
		"A line of the call rows is damaged": func(w *world) { w.archive(); w.spoilLine("calls", "call") },
		"A line of the manifest was changed": func(w *world) {
			w.archive()
			w.sh(`sed -i '0,/"size":/s//"size":9/' archive/manifest/2025-05-01/2*.jsonl`)
		},
		"A recording is missing": func(w *world) { w.archive(); w.sh("rm $(ls archive/*.mp3 | head -1)") },
		"A recording was changed": func(w *world) {
			w.archive()
			w.sh("printf x | dd of=$(ls archive/*.mp3 | head -1) bs=1 seek=2000 conv=notrunc 2>/dev/null")
		},
		"A length cannot be read":                    func(w *world) { w.archive() },
		"The folder for copies is in the archive":    func(w *world) { w.archive() },
		"The folder for an export is in the archive": func(w *world) { w.archive() },
		"The result cannot be written":               func(w *world) { w.archive() },

		"No login":           func(w *world) { w.archive() },
		"The port is in use": func(w *world) { w.archive(); w.takePort() },
		"A line of the users file is wrong": func(w *world) {
			w.archive()
			w.write("users", "anna:$2y$10$0IvFNOVLrNyMYnLDJTNdX.zS5o9jXzDfXqzRkUEqbOTxCIaVH3SSG:listen,admin\n")
		},
		"No key for seals":      func(w *world) { w.archive() },
		"No allowed signers":    func(w *world) { w.archive() },
		"No retention is noted": func(w *world) { w.archive() },
		"Nothing to rebuild":    func(w *world) { w.sh("mkdir archive") },
		"No image":              nothing,
	}
}

// hold locks the archive like a run, until the test ends.
func (w *world) hold() {
	w.t.Helper()
	root, err := os.OpenRoot(filepath.Join(w.dir, "archive"))
	if err != nil {
		w.t.Fatal(err)
	}
	ledger, err := manifest.OpenDir(root, manifest.Options{Run: manifest.NewRunID(time.Now())})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := ledger.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
		_ = root.Close()
	})
}

// replace changes a text in a file.
func (w *world) replace(name, old, replacement string) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil || !strings.Contains(string(text), old) {
		w.t.Fatalf("%s: %v: %s", name, err, text)
	}
	w.write(name, strings.Replace(string(text), old, replacement, 1))
}

// spoilLine makes a line of a kind invalid.
func (w *world) spoilLine(tree, kind string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "archive", tree, "2025-05-01/*-000001.jsonl"))
	if err != nil || len(files) != 1 {
		w.t.Fatal(files, err)
	}
	name, err := filepath.Rel(w.dir, files[0])
	if err != nil {
		w.t.Fatal(err)
	}
	w.replace(name, `"kind":"`+kind+`"`, `"kind":"`+kind)
}

// takePort listens at the address that serve gets from its variable.
func (w *world) takePort() {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = listener.Close() })
	w.set("CONVOSO_ARCHIVER_LISTEN=" + listener.Addr().String())
}
