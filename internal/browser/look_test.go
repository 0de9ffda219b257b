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
		"calls": call("90527000"), "list": "/calls", "empty": "/calls?agent=nobody", "wrong": "/calls?number=1", "missing": call("90527002"),
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

// TestEverythingFits compares boxes at common widths, with the longest values of a list: no table is wider than its card, only names are
// cut, no cards or controls overlap, the player is complete, and the buttons of the search are beside a field.
func TestEverythingFits(t *testing.T) {
	s := serve(t, "listen,download,audit", nil)
	const lengthen = `document.querySelectorAll(".list tbody tr").forEach((row) => {
		const long = {Agent: "Maria Magdalena van der Berg", Campaign: "5051 Outbound renewals of the second half", Status: "Scheduled a call back",
			Length: "1:02:03", Number: "+1 (550) 867-5359", Recording: "2 of 12 recordings"};
		row.querySelectorAll("[data-label]").forEach((cell) => { cell.textContent = long[cell.dataset.label]; });
	}), document.querySelectorAll("#at, #of").forEach((time) => { time.textContent = "1:02:03"; })`
	const look = `(() => {
		const said = [], box = (e) => e.getBoundingClientRect(), hidden = (e) => box(e).width <= 1;
		const shown = (e) => e.checkVisibility() && !hidden(e) && !e.closest(".vh") && !(e.closest("thead") && hidden(e.closest("thead")));
		const name = (e) => e.tagName + " " + e.id + " " + e.className + " " + e.textContent.trim().slice(0, 20);
		for (const table of [...document.querySelectorAll("table")].filter(shown)) {
			const card = box(table.closest("section"));
			for (const e of [table, ...table.querySelectorAll("td, th")].filter(shown)) {
				if (box(e).right > card.right + 0.5 || box(e).left < card.left - 0.5) said.push("it leaves its card: " + name(e));
				if (e !== table && !e.matches("td.name") && e.scrollWidth > e.clientWidth) said.push("it is cut: " + name(e));
				if (e.matches("td.name") && box(e).width < 72) said.push("it is " + box(e).width + " wide: " + name(e));
			}
		}
		const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
		const main = "main a, main button, main input, main select, main label, main h2";
		for (const list of [all("#search, main > section, .columns > section"), all(main), all("#player button, #player select, #player label, #player p")]) {
			list.forEach((a, i) => list.slice(i + 1).forEach((b) => {
				if (a.contains(b) || b.contains(a)) return;
				const wide = Math.min(box(a).right, box(b).right) - Math.max(box(a).left, box(b).left);
				const high = Math.min(box(a).bottom, box(b).bottom) - Math.max(box(a).top, box(b).top);
				if (wide > 1 && high > 1) said.push(name(a) + " overlaps " + name(b));
			}));
		}
		for (const e of all("#player button, #player select, #player label, #player p")) {
			if (box(e).right > innerWidth || box(e).bottom > innerHeight || e.scrollWidth > e.clientWidth + 1) said.push("it is cut: " + name(e));
		}
		for (const e of all("td[data-label=Campaign]")) { // the id in front, behind which the name is cut
			const id = document.createRange();
			id.setStart(e.firstChild, 0), id.setEnd(e.firstChild, 4);
			if (box(id).right > box(e).right - 20) said.push("the id of a campaign is cut: " + name(e));
		}
		for (const e of all(".facts dd")) if (e.textContent === "America/Los_Angeles" && box(e).height > 30) said.push("a word is broken: " + name(e));
		const go = document.querySelector(".go");
		if (go && innerWidth > 760 && !all("#search > .fields > .field").some((f) => box(f).top < box(go).bottom && box(f).bottom > box(go).top)) said.push("the buttons are alone");
		return said.slice(0, 10).join("\n");
	})()`
	for _, width := range []int64{375, 800, 1024, 1280, 1366, 1440, 1920} {
		s.size(width, 900, false)
		for name, path := range everyPage() {
			s.open(path)
			s.eval(lengthen)
			s.shoot(fmt.Sprintf("fit-%s-%d", name, width))
			if said := s.eval(look); said != "" {
				t.Errorf("%s, %d wide:\n%s", name, width, said)
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
