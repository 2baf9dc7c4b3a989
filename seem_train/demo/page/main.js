// Puts the page together, and opens photos.

import * as api from "./api.js";
import { Desk } from "./desk.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { Pointer } from "./pointer.js";
import { Reference } from "./reference.js";
import { Split } from "./split.js";
import { Table } from "./table.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);
const table = new Table(), view = new View(), canvas = find("canvas"), stage = find("stage");
const split = new Split(find("split"), stage, [find("side-base"), find("side-tuned")], () => desk?.repaint());
let desk = null, toastTimer = 0, busy = 0, notFound = "";

desk = new Desk(table, view, canvas, {
  split, tell, changed, shown, timed, failed, missed, inset,
  categories: () => find("category-names").value.split(/[\n,]/).map((name) => name.trim()).filter(Boolean),
  busy: (by) => { busy += by; document.body.classList.toggle("busy", busy > 0); stage.setAttribute("aria-busy", busy > 0); },
  words: () => find("text").focus(),
  open: () => find("file").click(),
  next: () => nextPhoto(),
  help: () => find("help-dialog").showModal(),
  example: () => fold("by-example", "reference"),
});
desk.list = new List(find("objects"), table, desk);
const reference = new Reference(find("reference-canvas"), find("reference-find"), desk);
new Pointer(canvas, view, desk);

// ── photos ──

async function open(send) {
  const before = table.session?.id;
  find("empty").hidden = true;
  find("looking").hidden = false;
  find("looking-bar").removeAttribute("value");
  find("looking-text").textContent = "Sending the photo…";
  try {
    let session = await send();
    table.forget();
    notFound = "";
    reference.canvas.hidden = find("reference-find").disabled = true;
    if (before) api.remove(`/api/sessions/${before}`).catch(() => {});
    await show(session);
  } catch (error) {
    find("empty").hidden = table.photo !== null;
    failed(error);
  } finally {
    find("looking").hidden = true;
  }
}

async function show(session) {
  const picture = await api.blob(`/api/sessions/${session.id}/photo`);
  table.photo = await createImageBitmap(picture.content);
  table.session = session;
  view.reset(session.width, session.height, canvas.clientWidth, canvas.clientHeight, inset());
  table.tell();
  sessionStorage.setItem("seem-session", session.id);
  table.session = await looked(session);
  table.take(await api.get(`/api/sessions/${session.id}/objects?longest=2048`));
  find("timing").textContent = `looked at in ${Math.round(table.session.embed_ms)} ms`;
  find("timing").dataset.embed = table.session.embed_ms;
  canvas.focus({ preventScroll: true });
}

// Waits until the model has looked at the photo, and says how it goes.
async function looked(session) {
  const start = performance.now(), bar = find("looking-bar"), text = find("looking-text");
  const moving = setInterval(() => {
    if (session.state === "looking" && session.expected_ms) {
      bar.value = 1 - Math.exp((-2 * (performance.now() - start)) / session.expected_ms);
    }
  }, 60);
  try {
    while (session.state === "waiting" || session.state === "looking") {
      text.textContent = session.position ? `Waiting: ${session.position} before you…` : "Looking at the photo…";
      session = await api.get(`/api/sessions/${session.id}?wait=10`);
    }
  } finally {
    clearInterval(moving);
  }
  if (session.state === "failed") throw new api.Refused(500, session.error);
  return session;
}

const sendFile = (file) => open(() =>
  api.sendPhoto("POST", `/api/sessions?name=${encodeURIComponent(file.name || "photo.png")}`, file));

function nextPhoto() {
  if (desk.about?.photos) return open(() => api.post("/api/album/open", {}));
}

// ── what is seen ──

function inset() {
  const small = matchMedia("(max-width: 760px)").matches;
  return small ? { left: 8, top: 66, right: 8, bottom: 48 } : { left: 92, top: 16, right: 16, bottom: 16 };
}

function tell(text, lasting = 3500, bad = false, offer = null) {
  const toast = find("toast");
  toast.textContent = text;
  toast.classList.toggle("bad", bad);
  if (offer) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: offer.label, title: offer.title });
    button.addEventListener("click", () => { toast.hidden = true; offer.act(); });
    toast.append(" ", button);
  }
  toast.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { toast.hidden = true; }, lasting);
}

function failed(error) {
  if (error.status === 401) return find("token-dialog").showModal();
  if (!(error instanceof api.Refused)) console.error(error);
  tell(capital(error.message), 6000, true);
}

function capital(text) { return text.charAt(0).toUpperCase() + text.slice(1); }

// Nothing answers what was asked: no fault, but an answer.
function missed({ reason, best }, anyway) {
  tell(capital(reason), 6000, false, anyway && best > 0 && { label: "Show it anyway", title: "Enter, once more", act: anyway });
}

function timed({ waited, model }, answer) {
  const timing = find("timing");
  Object.assign(timing.dataset, { model, answer, waited, count: Number(timing.dataset.count ?? 0) + 1 });
  const wait = waited > 20 ? ` · waited ${Math.round(waited)} ms` : "";
  timing.textContent = model ? `model ${Math.round(model)} ms · on screen after ${Math.round(answer)} ms${wait}` : `on screen after ${Math.round(answer)} ms`;
}

function changed() {
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === desk.tool);
  }
  const sign = find("sign");
  sign.setAttribute("aria-pressed", !desk.positive);
  sign.querySelector("b").textContent = desk.positive ? "+" : "−";
  sign.querySelector("span").textContent = desk.positive ? "Is it" : "Is not";
  find("compare").setAttribute("aria-pressed", split.on);
}

function shown() {
  find("zoom").hidden = !table.photo;
  find("zoom-fit").textContent = `${Math.round(100 * view.scale)} %`;
}

table.addEventListener("change", () => {
  const count = table.objects.length, active = table.active;
  find("count").textContent = count || "";
  find("undo").disabled = !table.canUndo;
  find("redo").disabled = !table.canRedo;
  find("clear").disabled = find("keep").disabled = !count;
  find("merge").disabled = table.chosen.size < 2;
  find("save-menu").setAttribute("aria-disabled", !count);
  find("hint").hidden = count > 3 && !active;
  find("hint").textContent = !table.photo ? "" : active ? `Clicks now correct “${active.name}”. Esc: begin another.` : "Click on something in the photo.";
});

function fold(button, part) {
  const opened = find(part).hidden;
  find(part).hidden = !opened;
  find(button).setAttribute("aria-expanded", opened);
}

// ── buttons ──

const click = (id, act) => find(id).addEventListener("click", act);
for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => desk.use(button.dataset.tool));
click("sign", () => desk.flip());
click("open", () => desk.open());
click("pick", () => desk.open());
click("next", nextPhoto);
click("first", nextPhoto);
click("compare", () => desk.compare());
click("keep", () => desk.keep());
click("help", () => desk.help());
click("everything", () => desk.everything());
click("which", () => fold("which", "categories"));
click("by-example", () => desk.example());
click("undo", () => desk.undo());
click("redo", () => desk.redo());
click("merge", () => desk.merge());
click("clear", () => desk.clear());
click("zoom-in", () => desk.zoom(1.3));
click("zoom-out", () => desk.zoom(1 / 1.3));
click("zoom-fit", () => desk.fit());
click("reference-pick", () => find("reference-file").click());
find("save-menu").addEventListener("click", (event) => {
  const form = event.target.closest("[data-save]")?.dataset.save;
  if (form) { find("save-menu").open = false; desk.save(form); }
});
addEventListener("pointerdown", (event) => {
  const menu = find("save-menu");
  if (!menu.open || menu.contains(event.target)) return;
  menu.open = false;
  if (event.target === canvas) event.stopPropagation(); // that click was to close the menu
}, true);
find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = find("text").value.trim();
  if (!text || !desk.ready) return;
  const asked = text === notFound ? { text, min_score: 0 } : { text }; // asked twice: show it anyway
  desk.prompt(asked).then((answer) => {
    notFound = answer?.not_found ? text : "";
    if (answer && !answer.not_found) find("text").value = "";
  });
});
find("opacity").addEventListener("input", (event) => { table.opacity = event.target.value / 100; table.tell(); });
find("file").addEventListener("change", (event) => {
  if (event.target.files[0]) sendFile(event.target.files[0]);
  event.target.value = "";
});
find("reference-file").addEventListener("change", (event) => {
  const file = event.target.files[0];
  if (file && table.session) reference.open(table.session.id, file).catch(failed);
  event.target.value = "";
});
find("token-dialog").addEventListener("close", () => { api.setToken(find("token").value.trim()); start(); });

for (const name of ["dragenter", "dragover"]) addEventListener(name, (event) => { event.preventDefault(); stage.classList.add("dropping"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) stage.classList.remove("dropping"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("dropping");
  if (event.dataTransfer.files[0]) sendFile(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) sendFile(file);
});
new ResizeObserver(() => { view.resize(canvas.clientWidth, canvas.clientHeight, inset()); desk.repaint(); }).observe(stage);

// ── begin ──

async function start() {
  try {
    desk.about = await api.get("/api/about");
  } catch (error) {
    return failed(error);
  }
  const { model, base, categories, photos, keeps } = desk.about;
  find("model").textContent = base ? `${model} · ${base}` : model;
  document.title = `${model} · seem`;
  find("names").replaceChildren(...categories.map(({ name }) => Object.assign(document.createElement("option"), { value: name })));
  find("category-names").placeholder = categories.slice(0, 12).map(({ name }) => name).join(", ") + (categories.length > 12 ? ", …" : "");
  find("compare").hidden = !base;
  find("next").hidden = find("first").hidden = !photos;
  find("keep").hidden = !keeps;
  find("side-base").textContent = base ?? "";
  find("side-tuned").textContent = model;
  const before = sessionStorage.getItem("seem-session");
  if (before) {
    const session = await api.get(`/api/sessions/${before}`).catch(() => null);
    if (session) await open(async () => session);
  }
}

find("keys").replaceChildren(...listen(desk).flatMap(([shownKeys, what]) => {
  const term = document.createElement("dt"), told = Object.assign(document.createElement("dd"), { textContent: what });
  term.append(...shownKeys.split(/(, )/).flatMap((part) => part === ", " ? [" "] : [Object.assign(document.createElement("kbd"), { textContent: part })]));
  return [term, told];
}));
api.takeToken();
changed();
table.tell();
start();
