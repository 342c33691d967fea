// The page of ttscribe's server: a queue of recordings, and the text of one of them beside its sound.

const element = (id) => document.getElementById(id);
const made = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

/** Recordings in the order in which they were added; `shown` is the one whose text is seen. */
const items = [];
let shown = null;
let busy = false;

// Asking the server -------------------------------------------------------------------------------------------------

async function ask(path, options = {}) {
  const key = element("key").value;
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  if (answer.status === 401) element("key-label").hidden = false;
  const problem = await answer.json().catch(() => null);
  throw new Error(problem?.error?.message ?? `The server answered with status ${answer.status}.`);
}

/** Server-sent events of an answer, as objects. */
async function* events(answer) {
  const decoder = new TextDecoder();
  let rest = "";
  for (const reader = answer.body.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = parts.pop();
    for (const part of parts) yield JSON.parse(part.replace(/^data: /, ""));
  }
}

async function transcribe(item) {
  const form = new FormData();
  form.append("file", item.file, "recording");
  form.append("model", item.model);
  if (item.language) form.append("language", item.language);
  form.append("stream", "true");
  form.append("timestamp_granularities[]", "word");
  const began = performance.now();
  const answer = await ask("v1/audio/transcriptions", { method: "POST", body: form, signal: item.abort.signal });
  for await (const event of events(answer)) {
    if (event.type === "error") throw new Error(event.error.message);
    if (event.type === "transcript.text.done") {
      item.language = event.language;
      item.seconds = (performance.now() - began) / 1000;
      item.duration = event.duration;
    } else {
      item.first ??= (performance.now() - began) / 1000;
      item.duration ||= event.duration;
      item.segments.push({ ...event.segment, text: event.delta.trim() });
      if (item === shown) element("segments").append(segmentNode(item, item.segments.length - 1));
    }
    tell(item);
  }
}

// The queue ---------------------------------------------------------------------------------------------------------

function add(file, name) {
  const item = {
    file, name, model: element("model").value || "whisper-1", language: element("language").value.trim(),
    segments: [], state: "waiting", abort: new AbortController(), url: URL.createObjectURL(file),
  };
  item.button = made("button", { type: "button", className: "name", textContent: name, onclick: () => show(item) });
  item.stop = made("button", { type: "button", textContent: "Stop", ariaLabel: `Stop ${name}`, onclick: () => stop(item) });
  item.bar = made("progress", { max: 1, value: 0, ariaLabel: `Progress of ${name}` });
  item.said = made("p");
  item.node = made("li", {}, item.button, item.stop, item.bar, item.said);
  element("queue").append(item.node);
  items.push(item);
  tell(item);
  if (!shown) show(item);
  next();
}

/** One after another: the server has a queue of its own, for many people. */
async function next() {
  const item = items.find((each) => each.state === "waiting");
  if (busy || !item) return;
  busy = true;
  item.state = "working";
  tell(item);
  try {
    await transcribe(item);
    item.state = "done";
  } catch (error) {
    item.state = item.abort.signal.aborted ? "stopped" : "failed";
    item.problem = error.message;
  }
  busy = false;
  tell(item);
  measure();
  next();
}

function stop(item) {
  item.abort.abort();
  if (item.state === "waiting") item.state = "stopped";
  tell(item);
}

function tell(item) {
  const going = item.state === "waiting" || item.state === "working";
  const reached = item.segments.at(-1)?.end ?? 0;
  item.bar.value = item.state === "done" ? 1 : item.duration ? reached / item.duration : 0;
  item.bar.hidden = item.stop.hidden = !going;
  item.said.textContent = {
    waiting: "waits",
    working: item.segments.length ? `${clock(reached)} of ${clock(item.duration)}` : "listens ...",
    done: `${clock(item.duration)} in ${item.seconds?.toFixed(1)} s (${(item.duration / item.seconds).toFixed(1)} times as fast as it was said), ` +
      (item.first ? `first text after ${item.first.toFixed(1)} s, ` : "") + `${item.language}`,
    stopped: "stopped",
    failed: item.problem,
  }[item.state];
  if (item.state === "failed") item.said.setAttribute("role", "alert");
  if (item === shown) {
    element("state").textContent = item.state === "done" && !item.segments.length ? "Nobody speaks in it." : item.said.textContent;
  }
}

// The transcript ----------------------------------------------------------------------------------------------------

function show(item) {
  shown = item;
  for (const each of items) each.node.setAttribute("aria-current", String(each === item));
  element("transcript").hidden = false;
  element("title").textContent = item.name;
  element("player").src = item.url;
  element("segments").replaceChildren(...item.segments.map((_, at) => segmentNode(item, at)));
  search();
  tell(item);
}

function segmentNode(item, at) {
  const segment = item.segments[at];
  const jump = made("button", { type: "button", textContent: clock(segment.start), title: "Play from here" });
  jump.onclick = () => {
    element("player").currentTime = segment.start;
    element("player").play();
  };
  const text = made("span", { className: "text", contentEditable: "plaintext-only", role: "textbox", ariaLabel: `Text at ${clock(segment.start)}` });
  const words = segment.edited ? [] : segment.words ?? [];
  if (words.length) words.forEach((word) => text.append(made("span", { className: "word", textContent: word.word }), " "));
  else text.textContent = segment.text;
  text.oninput = () => {
    // What was written by hand has no word times.
    segment.text = text.textContent.trim();
    segment.edited = true;
  };
  return made("li", {}, jump, text);
}

function follow() {
  const time = element("player").currentTime;
  const rows = element("segments").children;
  shown?.segments.forEach((segment, at) => {
    const now = segment.start <= time && time < segment.end;
    rows[at].classList.toggle("now", now);
    rows[at].querySelectorAll(".word").forEach((node, index) => {
      const word = segment.words[index];
      node.classList.toggle("now", now && word !== undefined && word.start <= time && time < word.end);
    });
  });
}

function search() {
  const wanted = element("search").value.trim().toLowerCase();
  let found = 0;
  shown?.segments.forEach((segment, at) => {
    const hit = segment.text.toLowerCase().includes(wanted);
    found += hit;
    element("segments").children[at].classList.toggle("miss", !hit);
  });
  element("found").textContent = wanted ? `${found} of ${shown?.segments.length ?? 0} segments` : "";
}

// Downloads ---------------------------------------------------------------------------------------------------------

function clock(seconds, separator) {
  const milliseconds = Math.round((seconds || 0) * 1000);
  const parts = [3_600_000, 60_000, 1000].map((unit, at) => Math.floor(milliseconds / unit) % (at ? 60 : 1e6));
  if (separator === undefined) return (parts[0] ? [parts[0], ...parts.slice(1).map(two)] : [parts[1], two(parts[2])]).join(":");
  return parts.map(two).join(":") + separator + String(milliseconds % 1000).padStart(3, "0");
}

const two = (number) => String(number).padStart(2, "0");

const formats = {
  txt: (item) => item.segments.map((segment) => `${segment.text}\n`).join(""),
  srt: (item) => item.segments.map((each, at) =>
    `${at + 1}\n${clock(each.start, ",")} --> ${clock(each.end, ",")}\n${each.text.replaceAll("-->", "->")}\n\n`).join(""),
  vtt: (item) => "WEBVTT\n\n" + item.segments.map((each) =>
    `${clock(each.start, ".")} --> ${clock(each.end, ".")}\n${escaped(each.text)}\n\n`).join(""),
  json: (item) => JSON.stringify({
    text: item.segments.map((each) => each.text).join(" "),
    language: item.language,
    duration: item.duration,
    segments: item.segments.map(({ start, end, text, words, edited }) => ({ start, end, text, words: edited ? [] : words })),
  }, null, 2) + "\n",
};

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function download(format) {
  const url = URL.createObjectURL(new Blob([formats[format](shown)], { type: "text/plain" }));
  made("a", { href: url, download: `${shown.name.replace(/\.[^.]*$/, "")}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// The microphone ----------------------------------------------------------------------------------------------------

let recorder = null;

async function record() {
  if (recorder) return recorder.stop();
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const pieces = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => pieces.push(event.data);
    recorder.onstop = () => {
      stream.getTracks().forEach((track) => track.stop());
      add(new Blob(pieces, { type: recorder.mimeType }), `Recording, ${new Date().toLocaleTimeString()}`);
      recorder = null;
      element("record").textContent = "Record";
    };
    recorder.start();
    element("record").textContent = "Stop recording";
  } catch (error) {
    element("state").textContent = "";
    alert(`The microphone cannot be used: ${error.message}`);
  }
}

// The device --------------------------------------------------------------------------------------------------------

async function measure() {
  const told = await (await fetch("metrics")).text();
  const value = (name) => Number(told.match(new RegExp(`^${name} (\\S+)$`, "m"))?.[1] ?? 0);
  const [, device, provenance] = told.match(/ttscribe_device\{device="([^"]*)",provenance="([^"]*)"\}/) ?? ["", "", ""];
  const [sound, work] = [value("ttscribe_audio_seconds_total"), value("ttscribe_work_seconds_total")];
  const tokens = value("ttscribe_tokens_total");
  const speed = sound && work ? `; so far ${(work / sound).toFixed(2)} s of work for a second of sound, ${(tokens / work).toFixed(0)} tokens a second (measured)` : "";
  element("device").textContent = `runs on ${device}${provenance === "measured" ? "" : ` (values ${provenance})`}${speed}`;
}

async function models() {
  try {
    const { data } = await (await ask("v1/models")).json();
    element("model").replaceChildren(...data.map(({ id }) => made("option", { value: id, textContent: id })));
  } catch (error) {
    element("device").textContent = error.message;
  }
}

const NAMES = new Intl.DisplayNames(["en"], { type: "language" });
for (const code of "en de fr es it pt nl pl ru uk tr ar he hi zh ja ko vi id sv da no fi cs el hu ro".split(" ")) {
  element("languages").append(made("option", { value: code, textContent: NAMES.of(code) }));
}
const drop = element("drop");
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") for (const file of event.dataTransfer.files) add(file, file.name);
  });
}
element("files").onchange = (event) => {
  for (const file of event.target.files) add(file, file.name);
  event.target.value = "";
};
element("record").onclick = record;
element("player").ontimeupdate = follow;
element("search").oninput = search;
element("key").onchange = models;
for (const button of document.querySelectorAll("[data-format]")) button.onclick = () => download(button.dataset.format);
models();
measure();
setInterval(() => busy && measure(), 2000);
