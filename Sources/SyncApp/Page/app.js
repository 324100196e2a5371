// The page of the sync app. Everything that a database says reaches it as text, never as markup.
const $ = (id) => document.getElementById(id);
const STATES = {
  sourceOnly: "only at source", different: "different", same: "same",
  targetOnly: "only at target", locked: "locked", incomplete: "incomplete",
};
const OUTCOMES = {
  running: "at work", retrying: "trying again", created: "new", updated: "updated", removed: "removed",
  failed: "failed", notDone: "not done", unchanged: "unchanged",
};
const ROW = 44;
const state = {
  rows: [], shown: [], selected: new Set(), details: new Map(), asked: new Set(),
  filter: null, sort: "scan", descending: false, current: 0,
  // What was compared, and whether it is what the page shows: nothing else can be started.
  comparison: null, comparisons: {}, awaited: null, jobs: new Map(),
};

function element(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") node.textContent = value;
    else if (key === "class") node.className = value;
    else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function bytes(count) {
  if (count == null) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
  return `${unit === 0 ? count : count.toFixed(count < 10 ? 2 : count < 100 ? 1 : 0)} ${units[unit]}`;
}

function duration(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
}

// MARK: Talking to the process

class Refusal extends Error {}

async function call(path, body) {
  const response = await fetch(path, body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  });
  if (response.status === 401) throw new Refusal("This page is not let in. Open the address that plantdb app printed.");
  const answer = await response.json().catch(() => ({ error: `The app answered with ${response.status}.` }));
  if (!response.ok) throw new Refusal(answer.error ?? `The app answered with ${response.status}.`);
  return answer;
}

function problem(error) {
  $("problem").hidden = !error;
  $("problem").textContent = error ? String(error.message ?? error) : "";
}

const guarded = (work) => async (...values) => {
  try { problem(null); await work(...values); } catch (error) { problem(error); }
};

// MARK: Connecting

const KINDS = [
  ["path", "Folder on this machine"], ["ssh", "Another machine, by SSH"], ["http", "A server, by HTTP"],
];

function sideForm(form, named) {
  const side = form.dataset.side;
  const field = (name, label, options = {}) =>
    element("label", {}, label, element("input", { name, autocomplete: "off", spellcheck: "false", ...options }));
  const kind = element("select", { name: "kind", "aria-label": `Kind of ${side}` });
  for (const [value, text] of KINDS) kind.append(element("option", { value, text }));
  for (const { name, location } of named) {
    kind.append(element("option", { value: `named:${name}:`, text: `${name}: (${location})` }));
  }
  const fields = element("div", { class: "fields" });
  const facts = element("div", { class: "facts", role: "status", hidden: true });
  const button = element("button", { text: "Test connection", class: "test" });
  const show = () => {
    fields.replaceChildren();
    const value = kind.value;
    if (value === "path") {
      const path = element("input", { name: "location", "aria-label": `Folder of the ${side}`, placeholder: "/data/greenhouse", spellcheck: "false", autocomplete: "off" });
      fields.append(element("div", { class: "line" }, path,
        element("button", { type: "button", text: "Browse…", onclick: guarded(() => chooseFolder(path)) })));
    } else if (value === "ssh") {
      fields.append(field("location", "Location", { placeholder: "ssh://user@host/data/greenhouse" }),
        field("password", "Password (empty: keys and agent)", { type: "password", autocomplete: "new-password" }),
        field("identity", "Private key file (empty: ssh's own)"),
        element("label", { class: "check" }, element("input", { type: "checkbox", name: "acceptNewHostKey" }), "take the key of a host that is not known yet"));
    } else if (value === "http") {
      fields.append(field("location", "Address", { placeholder: "http://localhost:5000" }),
        field("token", "Token (empty: none)", { type: "password", autocomplete: "new-password" }));
    } else {
      fields.append(element("p", { class: "quiet", text: "With what the configuration says of it (plantdb remote)." }));
    }
  };
  kind.addEventListener("change", () => { show(); own.changed(); });
  show();
  form.append(kind, fields, button, facts);
  // `database` is what was tested: the process knows it by that name. It belongs to the fields as they are.
  const own = { kind, show, fields, facts, database: null };
  const say = (text, name = "facts") => {
    facts.hidden = !text;
    facts.className = name;
    facts.textContent = text;
  };
  own.changed = (text = "") => {
    const wasTested = own.database != null || !facts.hidden;
    own.database = null;
    own.attempt = {};
    button.disabled = false;
    say(text || (wasTested ? "Changed: test the connection." : ""), "facts quiet");
    forgetComparison();
  };
  form.addEventListener("input", () => own.changed());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const message = { side, location: "" };
    if (kind.value.startsWith("named:")) message.location = kind.value.slice(6);
    for (const input of fields.querySelectorAll("input")) {
      if (input.type === "checkbox") message[input.name] = input.checked;
      else if (input.value) message[input.name] = input.value;
    }
    own.changed("Looking…");
    const attempt = own.attempt;
    button.disabled = true;
    try {
      const found = await call("/api/connect", message);
      // The answer to fields that were changed meanwhile says nothing of them.
      if (own.attempt !== attempt) return;
      own.database = found.database;
      showFacts(side, found.facts);
      // A secret stays in the process, and not in the page.
      for (const input of fields.querySelectorAll("input[type=password]")) input.value = "";
      save();
      guarded(compare)();
    } catch (error) {
      if (own.attempt === attempt) say(error.message, "facts bad");
    } finally {
      if (own.attempt === attempt) button.disabled = false;
    }
  });
  return own;
}

const forms = {};

// What a reload of this tab begins with: the fields without their secrets, and what the process knows of them.
function save() {
  const saved = { comparison: state.comparison?.id };
  for (const [side, { kind, fields, database }] of Object.entries(forms)) {
    const values = {};
    for (const input of fields.querySelectorAll("input:not([type=password])")) {
      values[input.name] = input.type === "checkbox" ? input.checked : input.value;
    }
    saved[side] = { kind: kind.value, values, database };
  }
  sessionStorage.setItem("pair", JSON.stringify(saved));
}

function restoreFields(side, { kind, values }) {
  const form = forms[side];
  form.kind.value = kind;
  if (form.kind.value !== kind) {  // A name that was forgotten since.
    form.kind.value = "path";
    return false;
  }
  form.show();
  for (const input of form.fields.querySelectorAll("input")) {
    const value = values[input.name];
    if (input.type === "checkbox") input.checked = value ?? false; else if (value) input.value = value;
  }
  return true;
}

async function restore(saved) {
  state.replaced = saved.comparison;
  for (const side of Object.keys(forms)) {
    if (!saved[side] || !restoreFields(side, saved[side]) || !saved[side].database) continue;
    const form = forms[side];
    const { attempt } = form;
    try {
      const found = await call(`/api/database?id=${saved[side].database}`);
      if (form.attempt !== attempt) continue;
      form.database = found.database;
      showFacts(side, found.facts);
    } catch {
      // The process is another one now: the fields are there, and are to be tested.
    }
  }
  await compare();
}

function showFacts(side, found) {
  const lines = [element("strong", { text: found.location }),
    element("p", { text: `${found.scans} ${found.scans === 1 ? "scan" : "scans"}${found.freeBytes == null ? "" : `, ${bytes(found.freeBytes)} free`}` })];
  for (const lock of found.locks) lines.push(element("p", { class: "danger", text: `locked: ${lock}` }));
  for (const stray of found.strays.slice(0, 5)) lines.push(element("p", { class: "quiet", text: `not a scan: ${stray}` }));
  for (const note of found.notes) lines.push(element("p", { class: "quiet", text: note }));
  const facts = forms[side].facts;
  facts.hidden = false;
  facts.className = "facts";
  facts.replaceChildren(...lines);
}

const isTested = () => Object.values(forms).every((form) => form.database != null);

// Nothing that stands below the fields is of these databases any more.
function forgetComparison() {
  state.replaced = state.comparison?.id ?? state.replaced;
  state.comparison = null;
  state.selected.clear();
  showRows([]);
  save();
}

async function compare() {
  if (!isTested()) return drawComparison();
  state.replaced = state.comparison?.id ?? state.replaced;
  const comparison = { id: null, isReady: false, checksum: $("checksum").checked, deletes: $("delete").checked };
  state.comparison = comparison;
  drawComparison();
  try {
    const answer = await call("/api/compare", {
      source: forms.source.database, target: forms.target.database, replaces: state.replaced,
      checksum: comparison.checksum, delete: comparison.deletes,
    });
    comparison.id = answer.comparison;
    if (state.comparison !== comparison) return;
    save();
    await lookAtComparison();
  } catch (error) {
    if (state.comparison !== comparison) return;
    comparison.error = String(error.message);
    drawComparison();
    throw error;
  }
}

// Whether the process says something new of it.
async function lookAtComparison() {
  const comparison = state.comparison;
  const known = state.comparisons[comparison?.id];
  if (!comparison || comparison.error) return;
  // Forgotten for those of many other tabs.
  const isLost = !known && comparison.isKnown;
  if (known?.error || isLost) {
    comparison.isReady = false;
    comparison.error = known?.error ?? "The app no longer keeps this comparison: compare again.";
    drawComparison();
    throw new Refusal(comparison.error);
  }
  comparison.isKnown = known != null;
  if (!known?.isReady || comparison.isReady || comparison.isLoading) return;
  comparison.isLoading = true;
  const found = await call(`/api/comparison?id=${comparison.id}`);
  if (state.comparison !== comparison) return;
  comparison.isReady = true;
  for (const side of Object.keys(forms)) showFacts(side, found[side]);
  showRows(found.rows);
}

function drawComparison() {
  const comparison = state.comparison;
  $("compare").hidden = !isTested();
  $("compare").classList.toggle("stale", !comparison?.isReady);
  $("comparing").textContent = !comparison || comparison.isReady || comparison.error ? "" : "Comparing…";
  drawStart();
}

// MARK: Folders

let folderTarget = null;

async function chooseFolder(input) {
  folderTarget = input;
  await listFolder(input.value || state.home || "/");
  $("folders").showModal();
}

async function listFolder(path) {
  const found = await call("/api/folders", { path });
  $("folders-path").textContent = found.path + (found.isDatabase ? " (a PlantDB database)" : "");
  $("folders-choose").onclick = () => {
    folderTarget.value = found.path;
    folderTarget.dispatchEvent(new Event("input", { bubbles: true }));
    $("folders").close();
  };
  const item = (text, next) => element("li", {}, element("button", { type: "button", text, onclick: guarded(() => listFolder(next)) }));
  const join = (name) => (found.path === "/" ? "" : found.path) + "/" + name;
  $("folders-list").replaceChildren(
    ...(found.parent == null ? [] : [item("↑ up", found.parent)]),
    ...found.folders.map((folder) => item(folder.name + (folder.isDatabase ? " (a PlantDB database)" : "/"), join(folder.name))));
}

// MARK: The table

function showRows(rows) {
  state.rows = rows;
  state.details.clear();
  state.asked.clear();
  const names = new Set(state.rows.map((row) => row.scan));
  state.selected = new Set([...state.selected].filter((scan) => names.has(scan)));
  $("filters").hidden = $("scans").hidden = $("run").hidden = state.rows.length === 0;
  showChips();
  filterRows();
  drawComparison();
}

function showChips() {
  const counts = {};
  for (const row of state.rows) counts[row.state] = (counts[row.state] ?? 0) + 1;
  const chip = (value, text) => element("button", {
    type: "button", text, "aria-pressed": String(state.filter === value),
    onclick: () => { state.filter = value; showChips(); filterRows(); },
  });
  $("states").replaceChildren(chip(null, `all ${state.rows.length}`),
    ...Object.entries(STATES).filter(([key]) => counts[key]).map(([key, text]) => chip(key, `${text} ${counts[key]}`)));
}

function filterRows() {
  const text = $("search").value.trim().toLowerCase();
  state.shown = state.rows.filter((row) =>
    (state.filter == null || row.state === state.filter) && row.scan.toLowerCase().includes(text));
  const key = state.sort;
  const sign = state.descending ? -1 : 1;
  const order = Object.keys(STATES);
  const value = (row) => (key === "state" ? order.indexOf(row.state) : row[key] ?? -1);
  state.shown.sort((one, two) => {
    const [a, b] = [value(one), value(two)];
    return a < b ? -sign : a > b ? sign : one.scan < two.scan ? -1 : 1;
  });
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.setAttribute("aria-sort", button.dataset.sort !== key ? "none" : state.descending ? "descending" : "ascending");
  }
  state.current = Math.min(state.current, Math.max(0, state.shown.length - 1));
  $("spacer").style.height = `${state.shown.length * ROW}px`;
  $("scans").setAttribute("aria-rowcount", state.shown.length + 1);
  drawRows();
  drawSelection();
}

const canMove = (row) => (row.state === "targetOnly" ? state.comparison?.deletes : row.state !== "same");

function drawRows() {
  const view = $("viewport");
  const first = Math.max(0, Math.floor(view.scrollTop / ROW) - 5);
  const last = Math.min(state.shown.length, Math.ceil((view.scrollTop + view.clientHeight) / ROW) + 5);
  $("rows").style.transform = `translateY(${first * ROW}px)`;
  $("rows").replaceChildren(...state.shown.slice(first, last).map((row, index) => drawRow(row, first + index)));
  askDetails(state.shown.slice(first, last));
}

function drawRow(row, index) {
  const details = state.details.get(row.scan);
  const cell = (text, name = "") => element("span", { role: "cell", text, class: name, title: text });
  const check = element("input", {
    type: "checkbox", "aria-label": `Select ${row.scan}`, tabindex: "-1", disabled: !canMove(row),
    onchange: (event) => select(row, event.target.checked),
  });
  check.checked = state.selected.has(row.scan);
  const image = details?.hasImage && state.comparison?.isReady
    ? element("img", { src: `/api/thumbnail?comparison=${state.comparison.id}&scan=${encodeURIComponent(row.scan)}`, alt: "", loading: "lazy", width: "48", height: "36" })
    : "";
  const label = STATES[row.state] + (row.unresolved && row.state === "different" && !row.moveFiles ? " (newer at target)" : "");
  const stateCell = cell(label, `state ${row.state}`);
  if (row.message) stateCell.title = row.message;
  return element("div", {
    class: index === state.current ? "row current" : "row", role: "row", "aria-rowindex": index + 2,
  },
    element("span", { role: "cell" }, check), element("span", { role: "cell" }, image),
    element("span", { role: "cell" }, element("button", { type: "button", class: "name", text: row.scan, tabindex: "-1", onclick: guarded(() => openPlan(row)) })),
    stateCell, cell(details?.files ?? row.files ?? "", "number"),
    cell(row.moveFiles ? bytes(row.moveBytes) : row.deleteFiles ? `−${row.deleteFiles} files` : "", "number"),
    cell(details?.species ?? "", "wide"),
    cell(details?.modified ? new Date(details.modified * 1000).toISOString().slice(0, 10) : "", "wide"));
}

let detailTimer = null;

function askDetails(rows) {
  const comparison = state.comparison;
  const wanted = rows.map((row) => row.scan).filter((scan) => scan && !state.asked.has(scan));
  if (wanted.length === 0 || !comparison?.isReady) return;
  clearTimeout(detailTimer);
  // Not while somebody scrolls past.
  detailTimer = setTimeout(async () => {
    if (state.comparison !== comparison) return;
    for (const scan of wanted) state.asked.add(scan);
    try {
      const found = await call("/api/details", { comparison: comparison.id, scans: wanted });
      if (state.comparison !== comparison) return;
      for (const details of found) state.details.set(details.scan, details);
      drawRows();
    } catch {
      // The row stays without them; connecting again says what is wrong.
    }
  }, 120);
}

function select(row, isSelected) {
  if (isSelected && canMove(row)) state.selected.add(row.scan); else state.selected.delete(row.scan);
  drawSelection();
}

function drawSelection() {
  const rows = state.rows.filter((row) => state.selected.has(row.scan) && row.state !== "targetOnly");
  const gone = state.rows.filter((row) => state.selected.has(row.scan) && row.state === "targetOnly");
  const copied = rows.reduce((sum, row) => sum + row.moveBytes, 0);
  const deletes = state.comparison?.deletes;
  const deleted = deletes ? [...rows, ...gone].reduce((sum, row) => sum + row.deleteFiles, 0) : 0;
  $("selection").textContent = rows.length + gone.length === 0
    ? "Select the scans to synchronize"
    : `${rows.length + gone.length} ${rows.length + gone.length === 1 ? "scan" : "scans"}, ${bytes(copied)} to copy${deleted ? `, ${deleted} files to delete` : ""}`;
  const guard = $("guard");
  guard.hidden = deleted === 0;
  if (deleted) {
    guard.replaceChildren(
      element("strong", { text: `${deleted} files will be deleted from the target:` }),
      element("ul", {}, ...[...rows, ...gone].filter((row) => row.deleteFiles).slice(0, 200).map((row) =>
        element("li", { text: `${row.scan}: ${row.deleteFiles} files${row.state === "targetOnly" ? " (the whole scan)" : ""}` }))),
      element("label", {}, element("input", { type: "checkbox", id: "confirm-delete", onchange: drawStart }), " Yes, delete these"));
  }
  state.toDelete = deleted;
  state.toRun = [...rows, ...(deletes ? gone : [])];
  drawStart();
}

function drawStart() {
  const isConfirmed = state.toDelete === 0 || $("confirm-delete")?.checked;
  $("start").disabled = !state.comparison?.isReady || state.toRun.length === 0 || !isConfirmed;
}

async function start() {
  const isAll = state.rows.filter(canMove).every((row) => state.selected.has(row.scan));
  if (!isAll && state.toRun.some((row) => row.state === "targetOnly")) {
    throw new Refusal("Scans that only the target has can be deleted only in a run of all scans: select all of them.");
  }
  const comparison = state.comparison;
  const scans = isAll ? [] : state.toRun.map((row) => row.scan);
  const { job } = await call("/api/jobs", {
    comparison: comparison.id, scans, verify: $("verify").checked,
    ...(state.toDelete ? { deleteFiles: state.toDelete } : {}),
    ...(Number($("bandwidth").value) > 0 ? { bytesPerSecond: Math.round(Number($("bandwidth").value) * 1e6) } : {}),
  });
  state.awaited = { job, comparison };
  if (state.comparison === comparison) {
    state.selected.clear();
    filterRows();
  }
  compareAfterRun();
  $("jobs").scrollIntoView({ behavior: "smooth" });
}

// When it is over, what was started here is compared again, unless the page shows something else by then.
function compareAfterRun() {
  const known = state.jobs.get(state.awaited?.job);
  if (!known || !isOver(known.job)) return;
  const isShown = state.awaited.comparison === state.comparison;
  state.awaited = null;
  if (isShown) guarded(compare)();
}

async function openPlan(row) {
  if (!state.comparison?.isReady) return;
  const { files, count } = await call("/api/plan", { comparison: state.comparison.id, scans: [row.scan] });
  $("plan-title").textContent = row.scan;
  $("plan-summary").textContent = [STATES[row.state], row.message,
    count > files.length ? `the first ${files.length} of ${count} files` : `${count} files with something to say`].filter(Boolean).join(" · ");
  $("plan-files").replaceChildren(...files.map((file) => element("div", {},
    element("span", { text: file.action, class: file.action === "delete" ? "danger" : "" }), element("span", { text: file.path }),
    element("span", { text: file.reason, class: "quiet" }), element("span", { text: bytes(file.size), class: "number" }))));
  $("plan").showModal();
}

// MARK: Runs

function jobChanged(change) {
  const known = state.jobs.get(change.job.id) ?? { scans: new Map() };
  const wasOver = known.job && isOver(known.job);
  known.job = change.job;
  for (const scan of change.scans) known.scans.set(scan.scan, scan);
  state.jobs.set(change.job.id, known);
  compareAfterRun();
  drawJob(known);
  if (!wasOver && isOver(change.job)) guarded(showHistory)();
}

const isOver = (job) => job.state !== "queued" && job.state !== "running";

function drawJob(known) {
  const job = known.job;
  $("jobs").hidden = false;
  const id = `job-${job.id}`;
  const words = {
    queued: "waiting for its turn", running: job.waiting ? `waiting ${job.waiting}` : "at work",
    finished: "done", failed: "ended with errors", cancelled: "stopped; starting again goes on where it was",
  };
  const numbers = [];
  if (job.filesPlanned) numbers.push(`${job.filesPublished} of ${job.filesPlanned} files`, `${bytes(job.bytesStaged)} of ${bytes(job.bytesPlanned)}`);
  if (job.state === "running" && job.bytesPerSecond > 0) numbers.push(`${bytes(job.bytesPerSecond)}/s`);
  if (job.secondsRemaining != null && job.state === "running") numbers.push(`${duration(job.secondsRemaining)} to go`);
  if (isOver(job) && job.started) numbers.push(`took ${duration(job.ended - job.started)}`);
  const bar = element("progress", { max: "100", "aria-label": `Progress of run ${job.id}` });
  bar.value = job.percent;
  const buttons = element("div", { class: "bar" }, element("h3", { class: "sr", text: `Run ${job.id}` }));
  const act = (text, path) => element("button", { type: "button", text, onclick: guarded(() => call(path, { job: job.id })) });
  if (!isOver(job)) buttons.append(act("Stop", "/api/jobs/cancel"));
  if (job.state === "failed") buttons.append(act("Retry what failed", "/api/jobs/retry"));
  if (job.state === "cancelled") buttons.append(act("Resume", "/api/jobs/retry"));
  if (isOver(job)) buttons.append(element("a", { href: `/api/jobs/report?job=${job.id}`, download: true, text: "Report" }));
  const scans = [...known.scans.values()];
  const bad = scans.filter((scan) => scan.errors.length > 0);
  const active = scans.filter((scan) => scan.state === "running" && scan.errors.length === 0);
  const lines = [...(isOver(job) ? [] : active), ...bad].slice(0, 200).map((scan) => element("li", {},
    element("span", { text: scan.scan }), element("span", { class: `state ${scan.state}`, text: OUTCOMES[scan.state] ?? scan.state }),
    ...scan.errors.slice(0, 3).map((text) => element("span", { class: "error", text }))));
  const node = element("article", { class: "job", id, "data-state": job.state },
    element("div", { class: "bar" },
      element("strong", { text: `${job.percent.toFixed(job.percent === 100 ? 0 : 1)} %` }),
      element("span", { text: `${job.title} · ${job.source} → ${job.target}` }),
      element("span", { class: job.state === "failed" ? "danger" : "quiet", role: "status", text: words[job.state] })),
    bar, element("p", { class: "quiet", text: numbers.join(" · ") }),
    ...(job.error ? [element("p", { class: "danger", text: job.error })] : []),
    element("ul", {}, ...lines), buttons);
  const old = $(id);
  if (old) {
    // What has the keyboard keeps it.
    const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
    old.replaceWith(node);
    if (focused) [...node.querySelectorAll("button,a")].find((item) => item.textContent === focused)?.focus();
  } else $("job-list").prepend(node);
}

// MARK: History

async function showHistory() {
  const runs = await call("/api/history");
  $("history").hidden = runs.length === 0;
  const words = (run) => run.state !== "finished" ? run.state : run.exitCode === 0 ? "done" : `ended with code ${run.exitCode}`;
  $("history-list").replaceChildren(...runs.map((run) => element("tr", { "data-run": run.run },
    element("td", { text: new Date(run.begun * 1000).toLocaleString() }),
    element("td", { text: `${run.source} → ${run.target}` }),
    element("td", { text: words(run), class: run.state === "finished" && run.exitCode !== 0 ? "danger" : "" }),
    element("td", { text: run.files == null ? "" : `${run.files} files, ${bytes(run.bytes)}`, class: "number" }),
    element("td", { text: run.seconds == null ? "" : duration(run.seconds), class: "number" }),
    element("td", {}, ...(run.state === "finished"
      ? [element("a", { href: `/api/history/report?run=${encodeURIComponent(run.run)}`, download: `plantdb-${run.run}.json`, text: "Report" })] : [])))));
}

function listen() {
  const events = new EventSource("/api/events");
  events.onmessage = (event) => {
    const update = JSON.parse(event.data);
    state.comparisons = update.comparisons;
    lookAtComparison().catch(problem);
    for (const change of update.jobs) jobChanged(change);
  };
  events.onerror = () => { $("version").textContent = "The app does not answer; is it still running?"; };
  events.onopen = () => { $("version").textContent = state.version; };
}

// MARK: Beginning

async function begin() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    await call("/api/session", { token });
    history.replaceState(null, "", "/");
    sessionStorage.clear();
  }
  const saved = JSON.parse(sessionStorage.getItem("pair") ?? "null");
  const info = await call("/api/start");
  state.version = `plantdb ${info.version}`;
  state.home = info.home;
  $("version").textContent = state.version;
  for (const form of document.querySelectorAll(".side")) {
    const side = form.dataset.side;
    forms[side] = sideForm(form, info.named);
    const first = saved ? null : info[side];
    if (!first) continue;
    const scheme = first.split("://")[0];
    const isNamed = info.named.some(({ name }) => first === `${name}:`);
    const kind = isNamed ? `named:${first}` : !first.includes("://") ? "path" : scheme === "ssh" ? "ssh" : "http";
    restoreFields(side, { kind, values: { location: first } });
  }
  $("compare-button").onclick = guarded(compare);
  $("delete").onchange = guarded(compare);
  $("checksum").onchange = guarded(compare);
  $("search").oninput = filterRows;
  $("select-shown").onclick = () => {
    for (const row of state.shown) if (canMove(row)) state.selected.add(row.scan);
    filterRows();
  };
  $("select-none").onclick = () => { state.selected.clear(); filterRows(); };
  $("start").onclick = guarded(start);
  $("plan-close").onclick = () => $("plan").close();
  $("folders-close").onclick = () => $("folders").close();
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.onclick = () => {
      state.descending = state.sort === button.dataset.sort && !state.descending;
      state.sort = button.dataset.sort;
      filterRows();
    };
  }
  $("viewport").addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  $("viewport").addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -state.current, End: state.shown.length }[event.key];
    const row = state.shown[state.current];
    if (step !== undefined) {
      state.current = Math.max(0, Math.min(state.shown.length - 1, state.current + step));
      const view = $("viewport");
      if (state.current * ROW < view.scrollTop) view.scrollTop = state.current * ROW;
      if ((state.current + 1) * ROW > view.scrollTop + view.clientHeight) view.scrollTop = (state.current + 1) * ROW - view.clientHeight;
      drawRows();
    } else if (event.key === " " && row) {
      select(row, !state.selected.has(row.scan));
      drawRows();
    } else if (event.key === "Enter" && row && event.target === $("viewport")) {
      guarded(() => openPlan(row))();
    } else return;
    event.preventDefault();
  });
  listen();
  guarded(showHistory)();
  if (saved) return restore(saved);
  for (const form of document.querySelectorAll(".side")) if (info[form.dataset.side]) form.requestSubmit();
}

begin().catch(problem);
