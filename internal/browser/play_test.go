package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"convoso-archiver/internal/web"
	"convoso-archiver/internal/web/webtest"
)

const whole = 2*webtest.Sound + webtest.Silence // seconds

// number returns the value of an expression.
func (s *site) number(expression string) float64 {
	s.t.Helper()
	n, err := strconv.ParseFloat(s.eval(expression), 64)
	if err != nil {
		s.t.Fatalf("%s: %v", expression, err)
	}
	return n
}

// clickAt clicks at a part of an element's width.
func (s *site) clickAt(id string, part float64) {
	s.t.Helper()
	box := fmt.Sprintf(`document.getElementById(%q).getBoundingClientRect()`, id)
	x, y := s.number(box+".left")+part*s.number(box+".width"), s.number(box+".top")+s.number(box+".height")/2
	s.run(chromedp.MouseClickXY(x, y))
}

func (s *site) click(selector string) {
	s.t.Helper()
	s.until(`document.querySelector(` + strconv.Quote(selector) + `)`)
	s.eval(`document.querySelector(` + strconv.Quote(selector) + `).scrollIntoView({block: "center"})`)
	box := `document.querySelector(` + strconv.Quote(selector) + `).getBoundingClientRect()`
	s.run(chromedp.MouseClickXY(s.number(box+".left+"+box+".width/2"), s.number(box+".top+"+box+".height/2")))
}

// TestSearchAndPlay finds a call by the form, plays it to its end, and returns to it by the address.
func TestSearchAndPlay(t *testing.T) {
	s := serve(t, "listen,download", nil)
	s.open("/")
	s.want(`document.querySelectorAll("tbody tr").length`, "50")
	s.want(`document.querySelectorAll("audio").length + audio.preload`, "1none")
	s.run(chromedp.SendKeys("#f-number", "5304"+kb.Enter))
	s.until(`location.search === "?number=5304" && document.readyState === "complete"`)
	s.want(`document.querySelectorAll("tbody tr").length`, "2")
	s.want(`audio.paused`, "true")
	s.click(`tr[data-ref="2025-05-27/90527004"] a.opens`)
	s.until(`document.querySelector("#details .call")?.dataset.ref === "2025-05-27/90527004"`)
	s.want(`new URL(location.href).searchParams.get("call")`, "2025-05-27/90527004")
	s.want(`new URL(location.href).searchParams.get("number")`, "5304")
	s.until(`wave.dataset.drawn === "true"`)
	s.want(`audio.paused`, "true") // nothing plays automatically
	s.eval(`speed.value = "2", speed.dispatchEvent(new Event("change"))`)
	s.click("#play")
	s.until(`!audio.paused && audio.currentTime > 0`)
	s.want(`audio.playbackRate + " " + audio.preservesPitch`, "2 true")
	s.until(`audio.ended`)
	if of := s.number(`audio.duration`); of < whole-0.1 || of > whole+0.1 {
		t.Errorf("it is %v s long", of)
	}
	s.until(`said.textContent === "The end."`)
	s.want(`document.getElementById("at").textContent + document.getElementById("of").textContent`, "0:070:07")
	s.open(call("90527004") + "&t=5")
	s.want(`document.getElementById("at").textContent`, "0:05")
	s.click("#play")
	s.until(`audio.currentTime >= 5`)
	s.wantQuiet()
}

// TestSeek moves by click, key and button.
func TestSeek(t *testing.T) {
	s := serve(t, "listen", nil)
	s.open(call("90527000"))
	s.until(`wave.dataset.drawn === "true"`)
	near := func(expression string, second float64) {
		t.Helper()
		s.until(fmt.Sprintf("Math.abs(%s - %v) < 0.8", expression, second))
	}
	s.clickAt("wave", 0.5)
	s.want(`document.getElementById("at").textContent`, "0:03")
	s.click("#play")
	s.until(`!audio.paused && audio.currentTime >= 3`)
	s.click("#play")
	s.until(`audio.paused`)
	s.clickAt("wave", 0.2)
	near("audio.currentTime", 0.2*whole)
	s.press(kb.ArrowRight) // the position has the focus: ten seconds, bounded by the end
	near("audio.currentTime", whole)
	s.press(kb.ArrowLeft)
	near("audio.currentTime", 0)
	s.want(`document.activeElement.id + " " + seek.getAttribute("aria-valuetext")`, "seek 0:00 of 0:07")
	s.click("#ahead")
	near("audio.currentTime", whole)
	s.click("#back")
	near("audio.currentTime", 0)
	s.until(`!new URL(location.href).searchParams.has("t")`)
	s.clickAt("wave", 0.5)
	s.until(`new URL(location.href).searchParams.get("t") === "3"`)
	s.wantQuiet()
}

func TestSkipSilence(t *testing.T) {
	s := serve(t, "listen", nil)
	s.open(call("90527000"))
	s.until(`wave.dataset.drawn === "true"`)
	s.click("#silence")
	s.eval(`window.heard = 0, window.last = 0, audio.addEventListener("timeupdate", () => {
		const at = audio.currentTime; if (at > last && at - last < 0.7) heard += at - last; last = at; })`)
	s.click("#play")
	s.until(`audio.ended`)
	if heard := s.number(`heard`); heard > whole-webtest.Silence+1.5 {
		t.Errorf("%.1f s were heard, with silence of %d s", heard, webtest.Silence)
	}
	s.wantQuiet()
}

// TestNext goes from recording to recording, and opens one that browsers do not play, and a call without one.
func TestNext(t *testing.T) {
	s := serve(t, "listen,download", nil)
	s.open("/calls?start-time=2025-05-27&end-time=2025-05-27&sort=time&limit=20")
	open := func(id string) {
		t.Helper()
		s.until(`document.querySelector("#details .call")?.dataset.ref === "2025-05-27/` + id + `"`)
		s.want(`document.querySelector("tr.open").dataset.ref + document.querySelector("tr.open").getAttribute("aria-current")`, "2025-05-27/"+id+"true")
	}
	s.click("#next")
	open("90527000")
	s.click("#next")
	open("90527001")
	s.want(`document.querySelectorAll("#details .plays").length`, "2")
	s.until(`wave.dataset.drawn === "true"`)
	s.eval(`delete wave.dataset.drawn`)
	s.click(`#details .recordings li:nth-child(2) .plays`)
	s.until(`!audio.paused && audio.src.endsWith("705270011")`)
	s.click("#next")
	open("90527003")
	s.want(`audio.paused`, "true")
	s.until(`said.textContent.includes("Browsers do not play recordings of this kind")`)
	s.click("#previous")
	open("90527001")
	s.click(`tr[data-ref="2025-05-27/90527002"]`)
	open("90527002")
	s.want(`now.textContent`, "This call has no recording to play.")
	s.want(`document.getElementById("play").disabled`, "true")
	s.until(`details.textContent.includes("The vendor has not delivered it yet (HTTP status 404); the next run tries again.")`)
	s.click(".close")
	s.until(`document.getElementById("details").textContent.includes("No call is selected")`)
	s.want(`new URL(location.href).searchParams.has("call")`, "false")
	s.run(chromedp.NavigateBack())
	open("90527002")
}

// TestZIP downloads a selection like a user.
func TestZIP(t *testing.T) {
	s := serve(t, "listen,download", nil)
	folder := t.TempDir()
	s.run(command(cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: folder}))
	s.open("/calls?id=90527000,90527001,90527004")
	s.want(`zip.disabled`, "true")
	s.click(`#all`)
	s.want(`chosen.textContent + zip.disabled`, "3 selectedfalse")
	s.click(`tr[data-ref="2025-05-27/90527004"] input`)
	s.want(`chosen.textContent + document.getElementById("all").indeterminate`, "2 selectedtrue")
	s.click(`#zip`)
	var body []byte
	for end := time.Now().Add(30 * time.Second); len(body) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		body, _ = os.ReadFile(filepath.Join(folder, "recordings.zip")) // it exists once it is complete
	}
	for _, part := range []string{"PK", "index.csv", "sha256sums.txt", "705270000.wav", "705270010.wav", "705270011.wav", string(shared.world.Recordings["705270011"].Body)} {
		if !strings.Contains(string(body), part) {
			t.Errorf("the ZIP of %d bytes lacks %.40q", len(body), part)
		}
	}
	if strings.Contains(string(body), "705270040") {
		t.Error("the ZIP holds what is not selected")
	}
	s.click(`a.opens`)
	s.until(`document.querySelector(".download")`)
	s.press("d")
	name := filepath.Join(folder, "2025-05-27_092004_705270040.wav")
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if body, _ = os.ReadFile(name); len(body) > 0 {
			break
		}
	}
	if string(body) != string(shared.world.Recordings["705270040"].Body) {
		t.Errorf("a download of %d bytes", len(body))
	}
	s.wantQuiet()
}

// TestKeyboardOnly searches, opens, plays, seeks and closes without a mouse.
func TestKeyboardOnly(t *testing.T) {
	s := serve(t, "listen,download", nil)
	s.open("/calls?start-time=2025-05-27&end-time=2025-05-27&sort=time")
	s.press(kb.Tab)
	s.want(`document.activeElement.className`, "skip")
	if top := s.number(`document.activeElement.getBoundingClientRect().top`); top < 0 {
		t.Error("the skip link is not to be seen")
	}
	s.press("/")
	s.want(`document.activeElement.id`, "f-start-time")
	s.press(kb.Tab, kb.Tab, kb.Tab)
	s.want(`document.activeElement.id`, "f-agent")
	s.press("3001", kb.Enter)
	s.until(`new URL(location.href).searchParams.get("agent") === "3001" && document.readyState === "complete"`)
	s.press("j")
	s.want(`document.activeElement.closest("tr").dataset.ref`, "2025-05-27/90527000")
	s.press("j", "k")
	s.want(`document.activeElement.closest("tr").dataset.ref`, "2025-05-27/90527000")
	outline := s.eval(`getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth`)
	if outline != "solid3px" {
		t.Errorf("the focus is shown by %s", outline)
	}
	s.press(kb.Enter)
	s.until(`document.querySelector("#details .call")?.dataset.ref === "2025-05-27/90527000"`)
	s.eval(`document.activeElement.blur()`)
	s.press(" ")
	s.until(`!audio.paused && audio.currentTime > 0.2`)
	s.press(" ")
	s.until(`audio.paused`)
	s.press(kb.ArrowRight)
	s.until(`audio.currentTime > 6`)
	s.press(kb.ArrowLeft)
	s.until(`audio.currentTime < 1`)
	s.press("n")
	s.until(`document.querySelector("#details .call")?.dataset.ref === "2025-05-27/90527003"`)
	s.press("p")
	s.until(`document.querySelector("#details .call")?.dataset.ref === "2025-05-27/90527000"`)
	s.press("?")
	s.want(`help.open`, "true")
	s.press(kb.Escape)
	s.want(`help.open`, "false")
	// Keys can be switched off, as WCAG 2.1.4 asks.
	s.eval(`keys.click()`)
	s.eval(`document.activeElement.blur()`)
	s.press("?")
	s.want(`help.open`, "false")
	s.eval(`keys.click()`)
	// Every control is reached by Tab, in the order of the page, and has a name.
	s.open(call("90527001") + "&limit=10")
	s.eval(`document.body.focus()`)
	seen := map[string]bool{}
	for range 120 {
		s.press(kb.Tab)
		at := s.eval(`document.activeElement.id || document.activeElement.className || document.activeElement.tagName`)
		seen[at] = true
		if at == "help-open" {
			break
		}
	}
	for _, id := range []string{"f-number", "f-with-recording", "opens", "all", "plays", "button download", "seek", "play", "speed", "silence", "help-open", "next-page"} {
		if !seen[id] {
			t.Errorf("Tab does not come to %s: %v", id, seen)
		}
	}
	s.wantQuiet()
}

// TestPlayIsLogged: an opened call is logged with its waveform, and as played only after Play.
func TestPlayIsLogged(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "log")
	segments, err := web.OpenFolder(folder, "RUN")
	if err != nil {
		t.Fatal(err)
	}
	log := web.OpenAccessLog(segments)
	t.Cleanup(func() { _ = log.Close() })
	lines := func() (said string) {
		files, err := web.NewFolderFiles(folder)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := web.ReadAccess(t.Context(), files, "", "", func(a web.Access) error { said += " " + a.What; return nil }); err != nil {
			t.Fatal(err)
		}
		return said
	}
	s := serve(t, "listen", func(c *web.Config) { c.Log = log })
	s.open(call("90527000"))
	s.until(`wave.dataset.drawn === "true"`)
	s.clickAt("wave", 0.3)
	if got := lines(); got != " details waveform" {
		t.Errorf("before Play the log has%s", got)
	}
	s.click("#play")
	s.until(`audio.ended || !audio.paused && audio.currentTime > 0`)
	if got := lines(); got != " details waveform play" {
		t.Errorf("after Play the log has%s", got)
	}
}

// TestReason gives a reason, and then plays.
func TestReason(t *testing.T) {
	s := serve(t, "listen,download", func(c *web.Config) { c.RequireReason = true })
	s.open(call("90527000"))
	s.click("#play")
	s.until(`said.textContent.includes("Give a reason before you listen.")`)
	s.run(chromedp.SendKeys("#why", "complaint 12"+kb.Enter))
	s.until(`said.textContent === "You may listen now."`)
	s.until(`wave.dataset.drawn === "true"`)
	s.press(" ")
	s.until(`audio.currentTime > 0.5`)
}

// TestWithoutScript opens a call by its link and has the browser's own player, with scripts disabled.
func TestWithoutScript(t *testing.T) {
	s := serve(t, "listen,download", nil)
	s.run(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	s.open("/calls?number=5304")
	s.want(`document.querySelectorAll("tbody tr").length`, "2")
	s.click(`tr[data-ref="2025-05-27/90527004"] a.opens`)
	s.until(`new URL(location.href).searchParams.get("call") === "2025-05-27/90527004" && document.readyState === "complete"`)
	s.want(`document.querySelector("#details h2").textContent`, "Tue 27 May 2025, 09:20:04")
	s.want(`audio.controls + " " + controls.hidden + " " + audio.getAttribute("src")`, "true true /audio/2025-05-27/705270040")
	if height := s.number(`audio.getBoundingClientRect().height`); height < 20 {
		t.Errorf("the player is %v high", height)
	}
	s.click(`.close`)
	s.until(`location.search === "?number=5304" && document.readyState === "complete"`)
	s.wantQuiet()
}
