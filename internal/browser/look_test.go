package browser

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// everyPage returns the tested pages.
func everyPage() map[string]string {
	return map[string]string{
		"calls": call("90527000"), "empty": "/calls?agent=nobody", "wrong": "/calls?number=1", "missing": call("90527002"),
		"completeness": "/completeness?month=2025-05&day=2025-05-25", "error": "/nothing",
	}
}

// TestAccessible runs axe-core on every page, in every size and colour.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile("testdata/axe-core/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, "listen,download,audit", nil)
	s.run(command(page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})) // for axe, which sets styles
	for name, path := range everyPage() {
		for _, width := range []int64{1440, 1024, 390} {
			for _, dark := range []bool{false, true} {
				s.size(width, 900, dark)
				s.open(path)
				if path == call("90527000") {
					s.until(`wave.dataset.drawn === "true"`)
				}
				s.shoot(fmt.Sprintf("%s-%d-%v", name, width, dark))
				s.run(chromedp.Evaluate[chromedp.Void](string(axe)))
				found := s.eval(`axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then((r) =>
					r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.map((n) => n.target + " " + n.failureSummary).join("; ")).join("\n"))`)
				if found != "" {
					t.Errorf("%s, %d wide, dark %v:\n%s", name, width, dark, found)
				}
				if wide := s.eval(`Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)`); wide != "0" {
					t.Errorf("%s, %d wide: it is %s too wide", name, width, wide)
				}
			}
		}
	}
}

// TestNothingMoves measures the layout shift of every page while it loads and while a call is opened.
func TestNothingMoves(t *testing.T) {
	s := serve(t, "listen,download,audit", nil)
	script := `window.shifted = 0; new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) window.shifted += e.value; })
		.observe({type: "layout-shift", buffered: true});`
	s.run(command(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
	for name, path := range everyPage() {
		for _, width := range []int64{1440, 390} {
			s.size(width, 900, false)
			s.open(path)
			if path == call("90527000") {
				s.until(`wave.dataset.drawn === "true"`)
			}
			s.eval(`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))`)
			shifted, err := strconv.ParseFloat(s.eval(`window.shifted`), 64)
			if err != nil || shifted >= 0.02 {
				t.Errorf("%s, %d wide: the layout shifts by %.3f", name, width, shifted)
			}
		}
	}
	s.wantQuiet()
}

// TestMasked reads pages as a user who may not see numbers.
func TestMasked(t *testing.T) {
	s := serve(t, "listen", nil)
	for _, path := range []string{"/calls", call("90527000"), call("90527001"), "/completeness"} {
		s.open(path)
		if text := s.eval(`document.documentElement.outerHTML`); strings.Contains(text, "550867") || strings.Contains(text, "(550) 867") {
			t.Errorf("%s shows a number", path)
		}
	}
	s.open(call("90527000"))
	s.want(`document.querySelector("#details .number").textContent`, "•••5300")
	s.want(`document.querySelectorAll("#zip, .download, input[name=call]").length`, "0")
	answer := s.eval(`fetch("/zip", {method: "POST", body: new URLSearchParams({call: "2025-05-27/90527000"})}).then((r) => r.status)`)
	if answer != "403" {
		t.Errorf("a ZIP without the right: status %s", answer)
	}
	s.want(`fetch(document.querySelector(".plays").dataset.audio + "?download=1").then((r) => r.status)`, "403")
}
