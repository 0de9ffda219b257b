// The page works without this: it adds the player's own controls, the waveform, keys, and opening a call in place.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const audio = byId("audio");
  const details = byId("details");
  if (!audio || !details) return;

  const largestDecoded = 16e6; // bytes; a longer recording is played without a waveform
  const step = 10; // seconds
  const canvas = byId("canvas"), wave = byId("wave"), seek = byId("seek");
  let current = null; // {day, recording, address, bytes, title, ref}
  let peaks = null; // of the recording, from 0 to 1
  let silent = []; // spans in seconds
  let measured = 0; // length in seconds, of the decoded samples
  let decoding = null; // ends the decoding of another recording
  let wanted = 0; // second to begin at
  let noted = -1; // second that the address holds

  const say = (text) => { byId("said").textContent = text; };
  const clock = (s) => {
    s = Math.max(0, Math.floor(s || 0));
    const two = (n) => String(n).padStart(2, "0");
    return s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${Math.floor(s / 60)}:${two(s % 60)}`;
  };
  const length = () => (Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : measured);

  // The address holds the search, the open call and the second.
  const note = (changes, push) => {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(changes)) {
      if (value) url.searchParams.set(name, value); else url.searchParams.delete(name);
    }
    if (url.href !== location.href) history[push ? "pushState" : "replaceState"](null, "", url);
  };
  const noteSecond = () => {
    const second = Math.floor(position());
    if (current && second !== noted) { noted = second; note({ t: second > 0 ? String(second) : "" }, false); }
  };

  const draw = () => {
    const box = wave.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
    const width = Math.round(box.width * scale), height = Math.round(box.height * scale);
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const rest = style.getPropertyValue("--wave"), done = style.getPropertyValue("--wave-done");
    pen.clearRect(0, 0, width, height);
    const at = length() ? (position() / length()) * width : 0;
    if (!peaks) {
      pen.fillStyle = rest; pen.fillRect(0, height / 2 - scale, width, 2 * scale);
      pen.fillStyle = done; pen.fillRect(0, height / 2 - scale, at, 2 * scale);
    } else {
      const bar = 3 * scale;
      for (let x = 0; x < width; x += bar) {
        const peak = peaks[Math.min(peaks.length - 1, Math.floor((x / width) * peaks.length))];
        const tall = Math.max(scale, peak * (height - 4 * scale));
        pen.fillStyle = x < at ? done : rest;
        pen.fillRect(x, (height - tall) / 2, bar - scale, tall);
      }
    }
    pen.fillStyle = done; pen.fillRect(Math.max(0, at - scale), 0, 2 * scale, height);
  };

  const position = () => (audio.readyState === 0 ? wanted : audio.currentTime);

  const show = () => {
    const at = position(), of = length();
    byId("at").textContent = clock(at);
    byId("of").textContent = of ? clock(of) : "–";
    seek.max = String(Math.floor(of)); seek.value = String(Math.floor(at));
    seek.setAttribute("aria-valuetext", of ? `${clock(at)} of ${clock(of)}` : clock(at));
    byId("play-sign").setAttribute("d", audio.paused ? "M3 1.5v13L14 8z" : "M3 2h4v12H3zM9 2h4v12H9z");
    byId("play-word").textContent = audio.paused ? "Play" : "Pause";
    for (const id of ["play", "back", "ahead"]) byId(id).disabled = !current;
    draw();
  };

  // measure finds the peaks for the waveform, and the spans in which nothing is heard.
  const measure = (sound) => {
    const samples = sound.getChannelData(0), rate = sound.sampleRate;
    const found = new Float32Array(800), per = Math.max(1, Math.ceil(samples.length / found.length));
    let loudest = 0.02;
    for (let i = 0; i < samples.length; i++) {
      const v = Math.abs(samples[i]), n = Math.floor(i / per);
      if (v > found[n]) found[n] = v;
      if (v > loudest) loudest = v;
    }
    peaks = found.map((v) => v / loudest);
    const quiet = 0.01, window_ = Math.floor(rate / 20), shortest = 1, edge = 0.2;
    silent = [];
    let from = -1;
    for (let i = 0; i <= samples.length; i += window_) {
      let sum = 0;
      const end = Math.min(i + window_, samples.length);
      for (let k = i; k < end; k++) sum += samples[k] * samples[k];
      const isQuiet = end > i && Math.sqrt(sum / (end - i)) < quiet;
      if (isQuiet && from < 0) from = i;
      if (!isQuiet && from >= 0 || isQuiet && end === samples.length) {
        const span = [from / rate + edge, end / rate - edge];
        if (span[1] - span[0] > shortest) silent.push(span);
        from = -1;
      }
    }
    measured = sound.duration;
    wave.dataset.drawn = "true";
    show();
  };

  const decode = async (of) => {
    if (!(of.bytes > 0 && of.bytes <= largestDecoded) || typeof OfflineAudioContext === "undefined") return;
    const ending = new AbortController();
    decoding = ending;
    try {
      const answer = await fetch(of.address + "?waveform", { signal: ending.signal, headers: { Accept: "audio/*" } });
      if (!answer.ok) { say(await answer.text()); return; }
      const body = await answer.arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(body);
      if (current === of) measure(sound);
    } catch (err) {
      if (current === of && err.name !== "AbortError") draw(); // it plays without a waveform
    }
  };

  const load = (of, second) => {
    if (decoding) decoding.abort();
    audio.pause();
    current = of; peaks = null; silent = []; measured = 0; wanted = second; noted = -1;
    delete wave.dataset.drawn;
    say("");
    if (!of) { audio.removeAttribute("src"); audio.load(); show(); return; }
    byId("now").textContent = of.title;
    if (audio.getAttribute("src") !== of.address || audio.error) audio.src = of.address;
    const speed = Number(byId("speed").value);
    audio.defaultPlaybackRate = speed; audio.playbackRate = speed; audio.preservesPitch = true;
    show();
    if (!of.locked) decode(of);
  };

  const chosenIn = (button, call) => ({
    day: button.dataset.day, recording: button.dataset.recording, address: button.dataset.audio, bytes: Number(button.dataset.bytes),
    title: call.dataset.title, ref: call.dataset.ref, locked: "reason" in call.dataset,
  });

  // take brings what is open into the player, without playing it.
  const take = (second) => {
    const call = details.querySelector(".call");
    const first = details.querySelector(".plays");
    if (call && first) { load(chosenIn(first, call), second); return; }
    load(null, 0);
    byId("now").textContent = call ? "This call has no recording to play." : "No recording is open.";
  };

  const toggle = () => {
    if (!current) { say("No recording is open."); return; }
    if (audio.paused) audio.play().catch((err) => { if (err.name !== "AbortError") explain(); }); else audio.pause();
  };
  const explain = async () => {
    if (!current || audio.currentTime > 0 && !audio.error) return;
    try {
      const answer = await fetch(current.address, { method: "GET", headers: { Range: "bytes=0-0", Accept: "audio/*" } });
      say(answer.ok ? "The browser cannot play this recording. Download it and play it with another program." : await answer.text());
    } catch { say("The archive does not answer. Try again."); }
  };
  const moveTo = (second) => {
    if (!current) return;
    const to = Math.max(0, length() ? Math.min(second, length()) : second);
    if (audio.readyState === 0) wanted = to; else audio.currentTime = to; // it begins there when it is played
    noteSecond(); // the browser may take long to fetch the place, and says "seeked" then only
    show();
  };

  audio.addEventListener("loadedmetadata", () => {
    if (wanted > 0) audio.currentTime = Math.min(wanted, length());
    wanted = 0; audio.preload = "none"; show();
  });
  audio.addEventListener("timeupdate", () => {
    if (byId("silence").checked && !audio.paused) {
      const span = silent.find(([from, to]) => audio.currentTime >= from && audio.currentTime < to - 0.1);
      if (span) audio.currentTime = span[1];
    }
    if (Math.abs(audio.currentTime - noted) >= 5) noteSecond();
    show();
  });
  for (const event of ["play", "pause", "seeked", "durationchange", "ratechange"]) audio.addEventListener(event, show);
  audio.addEventListener("pause", () => { if (audio.readyState > 0) noteSecond(); });
  audio.addEventListener("play", () => say(""));
  audio.addEventListener("ended", () => say("The end."));
  audio.addEventListener("error", () => { if (current && audio.getAttribute("src")) explain(); });

  byId("play").addEventListener("click", toggle);
  byId("back").addEventListener("click", () => moveTo(position() - step));
  byId("ahead").addEventListener("click", () => moveTo(position() + step));
  byId("speed").addEventListener("change", (event) => { audio.playbackRate = audio.defaultPlaybackRate = Number(event.target.value); });
  seek.addEventListener("input", () => moveTo(Number(seek.value)));
  const seekTo = (event) => {
    const box = wave.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    if (length()) { moveTo(part * length()); return; }
    if (!current || audio.readyState) return;
    audio.addEventListener("loadedmetadata", () => moveTo(part * length()), { once: true });
    audio.preload = "metadata"; audio.load(); // a recording that is too large to be decoded
  };
  wave.addEventListener("pointerdown", (event) => { wave.setPointerCapture(event.pointerId); seekTo(event); seek.focus(); event.preventDefault(); });
  wave.addEventListener("pointermove", (event) => { if (event.buttons && length()) seekTo(event); });
  window.addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // Opening a call in place leaves the list where it is.
  const rows = () => [...document.querySelectorAll("tr[data-ref]")];
  const mark = (ref) => {
    for (const row of rows()) {
      const isOpen = row.dataset.ref === ref;
      row.classList.toggle("open", isOpen);
      if (isOpen) row.setAttribute("aria-current", "true"); else row.removeAttribute("aria-current");
    }
  };
  const address = (ref) => { const at = ref.indexOf("/"); return `/call/${ref.slice(0, at)}/${encodeURIComponent(ref.slice(at + 1))}`; };
  let opening = 0;
  const open = async (ref, options = {}) => {
    const turn = ++opening;
    const slow = setTimeout(() => say("Opening the call …"), 200);
    let text = "";
    try {
      const answer = await fetch(address(ref), { headers: { Accept: "text/html" } });
      if (!answer.ok) { location.assign(rows().find((r) => r.dataset.ref === ref)?.querySelector("a.opens").href || "/calls"); return; }
      text = await answer.text();
    } catch { if (turn === opening) say("The archive does not answer. Try again."); return; } finally { clearTimeout(slow); }
    if (turn !== opening) return;
    details.innerHTML = text;
    details.classList.remove("none");
    details.scrollTop = 0;
    mark(ref);
    if (!options.silent) note({ call: ref, t: options.second ? String(options.second) : "" }, true);
    take(options.second || 0);
    if (getComputedStyle(details).position !== "sticky") details.scrollIntoView({ block: "nearest" });
  };
  const close = () => {
    details.innerHTML = '<p class="quiet">No call is selected. Choose a call from the list.</p>';
    details.classList.add("none");
    mark(""); take(0); note({ call: "", t: "" }, true);
    rows()[0]?.querySelector("a.opens").focus();
  };
  const neighbour = (by) => {
    const playable = rows().filter((row) => "stored" in row.dataset || row.classList.contains("open"));
    const at = playable.findIndex((row) => row.classList.contains("open"));
    const next = at < 0 ? (by > 0 ? playable[0] : playable[playable.length - 1]) : playable[at + by];
    if (!next) { say(by > 0 ? "There is no later one on this page." : "There is no earlier one on this page."); return; }
    next.scrollIntoView({ block: "nearest" });
    next.querySelector("a.opens").focus({ preventScroll: true });
    open(next.dataset.ref);
  };
  byId("next").addEventListener("click", () => neighbour(1));
  byId("previous").addEventListener("click", () => neighbour(-1));

  document.querySelector(".list").addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const row = event.target.closest("tr[data-ref]");
    if (!row || event.target.closest("input, button, .tick")) return;
    event.preventDefault();
    open(row.dataset.ref);
  });
  details.addEventListener("click", (event) => {
    const button = event.target.closest(".plays");
    if (button) {
      const of = chosenIn(button, details.querySelector(".call"));
      if (!current || current.address !== of.address) load(of, 0);
      if (!of.locked) toggle(); else byId("why")?.focus();
      return;
    }
    if (event.target.closest(".close")) { event.preventDefault(); close(); }
  });
  details.addEventListener("submit", async (event) => {
    const form = event.target.closest("form.reason");
    if (!form) return;
    event.preventDefault();
    const call = details.querySelector(".call"), reason = form.elements.reason.value;
    for (const button of details.querySelectorAll(".plays")) { // one reason for all recordings of the call
      const body = new URLSearchParams({ day: button.dataset.day, recording: button.dataset.recording, reason });
      const answer = await fetch("/listen", { method: "POST", body, headers: { Accept: "text/plain" } }).catch(() => null);
      if (!answer || !answer.ok) { say(answer ? await answer.text() : "The archive does not answer. Try again."); return; }
    }
    delete call.dataset.reason;
    form.remove();
    take(Number(byId("player").dataset.second) || 0);
    say("You may listen now.");
    byId("play").focus();
  });
  window.addEventListener("popstate", () => {
    const ref = new URL(location.href).searchParams.get("call");
    if (ref) open(ref, { silent: true, second: Number(new URL(location.href).searchParams.get("t")) || 0 }); else location.reload();
  });

  // The form leaves out what is empty, so that the address is short.
  byId("search").addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData.entries()]) if (!String(value).trim()) event.formData.delete(name);
  });

  // Selection.
  const ticks = () => [...document.querySelectorAll('input[name="call"]')];
  const count = () => {
    const n = ticks().filter((t) => t.checked).length, all = byId("all");
    const chosen = byId("chosen"), zip = byId("zip");
    if (!chosen) return;
    chosen.textContent = n ? `${n} selected` : "";
    zip.disabled = !n;
    if (all) { all.checked = n > 0 && n === ticks().length; all.indeterminate = n > 0 && n < ticks().length; }
  };
  byId("all")?.addEventListener("change", (event) => { for (const t of ticks()) t.checked = event.target.checked; count(); });
  byId("selection").addEventListener("change", count);
  window.addEventListener("pageshow", count);

  // Keys, which can be switched off.
  const help = byId("help"), keys = byId("keys");
  const stored = (() => { try { return localStorage.getItem("keys"); } catch { return null; } })();
  keys.checked = stored !== "off";
  keys.addEventListener("change", () => { try { localStorage.setItem("keys", keys.checked ? "on" : "off"); } catch { /* it holds for this page */ } });
  byId("help-open").addEventListener("click", () => help.showModal());
  const line = (by) => {
    const all = rows();
    const focused = all.findIndex((row) => row.contains(document.activeElement));
    const at = focused >= 0 ? focused + by : Math.max(0, all.findIndex((row) => row.classList.contains("open")));
    const row = all[Math.min(all.length - 1, Math.max(0, at))];
    row?.querySelector("a.opens").focus();
  };
  const actions = {
    " ": toggle, ArrowLeft: () => byId("back").click(), ArrowRight: () => byId("ahead").click(), j: () => line(1), k: () => line(-1),
    n: () => neighbour(1), p: () => neighbour(-1), "?": () => help.showModal(),
    "/": () => document.querySelector("#search input").focus(),
    d: () => { const link = details.querySelector(".download"); if (link) link.click(); else say("There is nothing to download."); },
  };
  document.addEventListener("keydown", (event) => {
    if (!keys.checked || event.ctrlKey || event.metaKey || event.altKey || help.open || event.isComposing) return;
    const target = event.target;
    if (target.closest("input:not([type=checkbox]):not([type=range]), textarea, select")) return;
    if (event.key === " " && target.closest("button, a, summary, input")) return;
    if (event.key.startsWith("Arrow") && target === seek) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  seek.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step }[event.key];
    if (!by) return;
    event.preventDefault();
    moveTo(position() + by);
  });

  audio.removeAttribute("controls");
  audio.hidden = true;
  byId("controls").hidden = false;
  take(Number(byId("player").dataset.second) || 0);
  count();
})();
