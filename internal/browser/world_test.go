// Package browser tests the page of serve in a real browser, Debian's Chromium: make test-browser runs it. It is a
// separate module, so that the program does not depend on the browser driver.
package browser

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	cdpnetwork "github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"convoso-archiver/archiver"
	"convoso-archiver/internal/web"
	"convoso-archiver/internal/web/webtest"
	"convoso-archiver/manifest/report"
	"convoso-archiver/search"
)

// shared is the archive that all tests read, and the browser that they share.
var shared struct {
	folder  string
	world   *webtest.World
	browser context.Context
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "browser-")
		if err == nil {
			defer os.RemoveAll(folder)
			shared.folder = filepath.Join(folder, "archive")
			shared.world, err = webtest.Make(context.Background(), archiver.Location{Folder: shared.folder})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
			chromedp.Flag("mute-audio", true), chromedp.WSURLReadTimeout(2*time.Minute))
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		defer stop()
		browser, end := chromedp.NewContext(allocator)
		defer end()
		if err := chromedp.Do(browser); err != nil {
			fmt.Fprintln(os.Stderr, "start chromium:", err)
			return 1
		}
		shared.browser = browser
		return m.Run()
	}())
}

// site is a page in its own tab.
type site struct {
	t   *testing.T
	ctx context.Context
	url string

	mu   sync.Mutex
	said []string // errors of the page's console
}

// serve starts a server and a tab.
func serve(t *testing.T, rights string, change func(*web.Config)) *site {
	t.Helper()
	opened, err := archiver.Open(t.Context(), archiver.Location{Folder: shared.folder}, archiver.Read, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation(webtest.Zone)
	if err != nil {
		t.Fatal(err)
	}
	everybody, err := web.ParseRights(rights)
	if err != nil {
		t.Fatal(err)
	}
	c := web.Config{
		Archive: search.New(opened.Ledger, zone), Ledger: opened.Ledger, Audio: opened.Store, Logger: slog.New(slog.DiscardHandler), Everybody: everybody,
		Rules: report.Options{Settle: 48 * time.Hour, PurgeAfter: 155 * 24 * time.Hour, GiveUp: 14 * 24 * time.Hour},
	}
	if change != nil {
		change(&c)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(c, listener.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(ctx, listener, nil) }()
	tab, closeTab := chromedp.NewContext(shared.browser)
	tab, cancel := context.WithTimeout(tab, 3*time.Minute)
	s := &site{t: t, ctx: tab, url: "http://" + listener.Addr().String()}
	t.Cleanup(func() {
		cancel()
		closeTab()
		stop()
		<-ended
		_ = opened.Close(context.Background())
	})
	s.run(command(cdpnetwork.Enable, cdpnetwork.EnableParams{}), command(runtime.Enable, cdp.Empty{}))
	listen(tab, runtime.ExceptionThrown, func(e runtime.EventExceptionThrown) { s.hear(e.ExceptionDetails.Text) })
	listen(tab, runtime.ConsoleAPICalled, func(e runtime.EventConsoleAPICalled) {
		if e.Type == runtime.ConsoleAPICalledTypeError {
			s.hear("an error in its console")
		}
	})
	listen(tab, log.EntryAdded, func(e log.EventEntryAdded) {
		if strings.Contains(e.Entry.Text, "Content Security Policy") {
			s.hear(e.Entry.Text)
		}
	})
	listen(tab, cdpnetwork.RequestWillBeSent, func(e cdpnetwork.EventRequestWillBeSent) {
		if !strings.HasPrefix(e.Request.URL, s.url) && strings.HasPrefix(e.Request.URL, "http") {
			s.hear("it loads " + e.Request.URL)
		}
	})
	s.run(command(log.Enable, cdp.Empty{}))
	s.size(1440, 900, false)
	return s
}

// command is a command of the browser's protocol as an action.
func command[P, R any](c cdp.Command[P, R], p P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, p)
		return chromedp.Void{}, err
	}
}

// listen hears events until the tab is closed.
func listen[E any](ctx context.Context, event cdp.Event[E], hear func(E)) {
	events := cdp.Events(ctx, chromedp.FromContext(ctx).Target, event)
	go func() {
		for e, err := range events {
			if err != nil {
				return
			}
			hear(e)
		}
	}()
}

// hear records problems: blocked content, errors of the script, requests to other hosts.
func (s *site) hear(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, line)
}

func (s *site) wantQuiet() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.said {
		s.t.Errorf("the page says: %s", line)
	}
}

func (s *site) run(actions ...chromedp.Action[chromedp.Void]) {
	s.t.Helper()
	if err := chromedp.Do(s.ctx, actions...); err != nil {
		s.t.Fatal(err)
	}
}

// size sets the size of the window, and light or dark mode.
func (s *site) size(width, height int64, dark bool) {
	s.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	s.run(command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}), command(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 640,
	}))
}

// open loads a page of the site.
func (s *site) open(path string) {
	s.t.Helper()
	s.run(chromedp.Navigate(s.url + path))
	s.until(`document.readyState === "complete"`)
}

// eval returns the value of an expression, as text. It awaits a promise.
func (s *site) eval(expression string) string {
	s.t.Helper()
	value, err := chromedp.Run(s.ctx, chromedp.Evaluate[string]("Promise.resolve("+expression+").then(String)", func(p *runtime.EvaluateParams) {
		yes := true
		p.AwaitPromise, p.UserGesture = &yes, &yes
	}))
	if err != nil {
		s.t.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// until waits until an expression is true.
func (s *site) until(expression string) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if s.eval("Boolean("+expression+")") == "true" {
			return
		}
	}
	const state = `(() => { const a = document.getElementById("audio"), s = document.getElementById("said"); return JSON.stringify(
		a && {at: a.currentTime, of: a.duration, paused: a.paused, src: a.src, ready: a.readyState, error: a.error && a.error.message, said: s.textContent}); })()`
	s.t.Fatalf("it does not come to %s: %s", expression, s.eval(state))
}

func (s *site) want(expression, value string) {
	s.t.Helper()
	if got := s.eval(expression); got != value {
		s.t.Errorf("%s is %q, want %q", expression, got, value)
	}
}

// press sends keys like a keyboard: a key that the page handles writes no letter.
func (s *site) press(keys ...string) {
	s.t.Helper()
	for _, key := range keys {
		for _, r := range key {
			var text string
			for _, k := range kb.Encode(r) {
				if k.Type == kb.KeyChar {
					text = k.Text
				}
			}
			for _, k := range kb.Encode(r) {
				if k.Type == kb.KeyChar {
					continue
				}
				if k.Type == kb.KeyDown {
					k.Text = text
				}
				s.run(command(input.DispatchKeyEvent, *k))
			}
		}
	}
}

// shoot stores a screenshot if SHOTS names a folder.
func (s *site) shoot(name string) {
	s.t.Helper()
	folder := os.Getenv("SHOTS")
	if folder == "" {
		return
	}
	picture, err := chromedp.Run(s.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), picture, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// call is the address of an open call.
func call(id string) string {
	c := shared.world.Calls[id]
	return "/calls?call=" + c.Day + "/" + id
}
