// What can be done on the page, by hand, by key or by button; and what of it is asked of the server.

import * as api from "./api.js";
import { paint } from "./paint.js";
import { TOOLS } from "./tools.js";

const LONGEST = 2048; // of masks, as of the photo that is shown
const SLOW = 350; // milliseconds after which the page says what it waits for

export class Desk {
  constructor(table, view, canvas, parts) {
    Object.assign(this, { table, view, canvas, ...parts });
    this.tool = "point";
    this.positive = true;
    this.cursor = null;
    this.held = false;
    this.queue = Promise.resolve();
    table.addEventListener("change", () => this.repaint());
  }

  get ready() { return this.table.photo !== null && this.table.session.state === "ready"; }
  get pans() { return this.held || this.tool === "pan"; }
  get path() { return `/api/sessions/${this.table.session.id}`; }

  // ── the canvas ──

  repaint() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      const tool = TOOLS[this.tool];
      paint(this.canvas, this.table, this.view, this.split.at, (pen) => {
        tool?.draw(pen, this.view, this.cursor);
        if (this.keyed && this.cursor) crosshair(pen, this.view.toScreen(this.cursor.x, this.cursor.y));
      });
      this.painted?.();
      this.canvas.style.cursor = this.pans ? "grab" : this.tool === "erase" ? "none" : "crosshair";
      this.shown();
    });
  }

  inside({ x, y }) {
    const { width, height } = this.table.session;
    return { x: Math.min(Math.max(x, 0), width - 0.01), y: Math.min(Math.max(y, 0), height - 0.01) };
  }

  press(at, against, shift) {
    this.keyed = false;
    TOOLS[this.tool]?.down(at, this.positive !== against, this.view, shift);
    this.repaint();
  }

  move(at, pressed) {
    this.cursor = at;
    if (!pressed) this.table.hover(this.table.at(at)?.id ?? null);
    if (pressed || this.tool === "polygon") TOOLS[this.tool]?.move(at);
    this.repaint();
  }

  release(at) {
    TOOLS[this.tool]?.up(at, this);
    this.repaint();
  }

  leave() {
    if (!this.keyed) this.cursor = null;
    this.table.hover(null);
    this.repaint();
  }

  cancel() { TOOLS[this.tool]?.cancel(); this.pressed = false; this.repaint(); }
  pick(at) { const row = this.table.at(at); this.table.choose(row ? [row.id] : []); }

  // ── the keyboard's cursor ──

  nudge(dx, dy) {
    if (!this.ready) return;
    const from = this.cursor ?? { x: this.view.width / 2, y: this.view.height / 2 };
    this.keyed = true;
    this.cursor = this.inside({ x: from.x + dx, y: from.y + dy });
    this.view.bring(this.cursor);
    this.move(this.cursor, this.pressed);
  }

  tap() {
    if (!this.ready) return;
    if (!this.cursor || !this.keyed) return this.nudge(0, 0);
    const tool = TOOLS[this.tool];
    if (!tool) return;
    if (!this.pressed) {
      tool.down(this.cursor, this.positive, this.view, !this.positive);
      this.pressed = this.tool !== "point" && this.tool !== "polygon";
      if (this.pressed) return this.repaint();
    }
    this.pressed = false;
    this.release(this.cursor);
  }

  use(tool) {
    this.cancel();
    this.tool = tool;
    this.changed();
    this.repaint();
  }

  flip() { this.positive = !this.positive; this.changed(); }
  hold(on) { this.held = on; this.repaint(); }
  zoom(factor) { this.view.zoom(factor); this.repaint(); }
  fit() { this.view.reset(this.view.width, this.view.height, this.canvas.clientWidth, this.canvas.clientHeight, this.inset()); this.repaint(); }
  slide(by) { if (this.split.on) this.split.put(this.split.share + by); }

  done() { this.cancel(); this.table.choose([]); }
  all() { this.table.choose(this.table.objects.map((row) => row.id)); }
  hide() { for (const id of this.table.chosen) this.table.hide(id); }

  // To the object before or after in the list; `more`: and keep what is chosen.
  step(by, more = false) {
    const ids = this.table.objects.map((row) => row.id).reverse(), chosen = ids.filter((id) => this.table.chosen.has(id));
    if (!ids.length) return;
    const from = ids.indexOf(by > 0 ? chosen.at(-1) : chosen[0]);
    const next = ids.at(from < 0 ? (by > 0 ? 0 : -1) : (from + by) % ids.length);
    this.table.choose(more ? [...chosen, next] : [next]);
  }

  rename() { if (this.table.active) this.list.rename(this.table.active.id); }

  back() {
    if (this.tool === "polygon" && TOOLS.polygon.corners.length) {
      TOOLS.polygon.back();
      return this.repaint();
    }
    for (const id of [...this.table.chosen]) this.remove(id);
  }

  // ── the server ──

  // One request after the other; what comes back is put on the table.
  ask(send, after, anyway) {
    const start = performance.now();
    this.queue = this.queue.then(async () => {
      if (!this.ready) return null;
      const session = this.table.session.id;
      const late = setInterval(() => this.waiting(session), SLOW);
      this.busy(1);
      try {
        const answer = await send();
        if (session !== this.table.session?.id) return null;
        const all = this.table.take(answer);
        if (answer.not_found) this.missed(answer.not_found, anyway);
        else after?.(answer);
        if (!all) this.table.take(await api.get(`${this.path}/objects?longest=${LONGEST}`));
        await new Promise((resolve) => { this.painted = resolve; this.repaint(); });
        this.painted = null;
        if (answer.timing) this.timed(answer.timing, performance.now() - start);
        if (this.split.on) await this.fetchBase();
        return answer;
      } catch (error) {
        this.failed(error);
        return null;
      } finally {
        clearInterval(late);
        this.busy(-1);
      }
    });
    return this.queue;
  }

  async waiting(session) {
    const status = await api.get(`/api/sessions/${session}`).catch(() => null);
    if (status?.position) this.tell(`${status.position} before you …`);
  }

  go(method, path, body, after, anyway) {
    const url = `${this.path}/${path}${path.includes("?") ? "&" : "?"}longest=${LONGEST}`;
    return this.ask(() => (method === "delete" ? api.remove(url) : api[method](url, body)), after, anyway);
  }

  prompt(asked, mark) {
    const object = this.table.active?.id;
    return this.go("post", "prompt", object ? { ...asked, object } : asked, (answer) => {
      const id = object ?? answer.changed.at(-1);
      if (mark) this.table.mark(id, mark);
      this.table.choose([id]);
    }, asked.text && !object && asked.min_score === undefined ? () => this.prompt({ ...asked, min_score: 0 }, mark) : null);
  }

  edit(edit) {
    const object = this.table.active?.id;
    if (!object && (!edit.add || edit.brush)) return this.tell("Choose the object first: click it in the list.");
    return this.go("post", "edit", object ? { ...edit, object } : edit, (answer) =>
      this.table.choose([object ?? answer.changed.at(-1)]));
  }

  everything() { return this.go("post", "everything", { categories: this.categories() }, () => this.table.choose([])); }
  name(id, name) { return this.go("patch", `objects/${id}`, { name }); }
  remove(id) { return this.go("delete", `objects/${id}`); }
  undo() { if (this.table.canUndo) return this.go("post", "undo"); }
  redo() { if (this.table.canRedo) return this.go("post", "redo"); }
  clear() { return this.go("post", "clear"); }

  merge() {
    const objects = [...this.table.chosen];
    if (objects.length < 2) return this.tell("Choose two objects or more with Shift-click.");
    return this.go("post", "merge", { objects }, () => this.table.choose([objects[0]]));
  }

  async fetchBase() { this.table.takeBase(await api.get(`${this.path}/compare?longest=${LONGEST}`)); }

  async compare() {
    if (!this.ready || !this.about?.base) return;
    this.split.show(!this.split.on);
    this.changed();
    if (this.split.on) await this.fetchBase().catch((error) => this.failed(error));
    this.repaint();
  }

  async keep() {
    if (!this.ready || !this.table.objects.length) return;
    await this.queue;
    const kept = await api.post(`${this.path}/keep`).catch((error) => this.failed(error));
    if (kept) this.tell(`Kept ${kept.photo}. Next: ${kept.next}`, 9000);
    return kept;
  }

  async save(form) {
    await this.queue;
    const file = await api.blob(`${this.path}/save/${form}`).catch((error) => this.failed(error));
    if (!file) return;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file.content), download: file.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }
}

function crosshair(pen, { x, y }) {
  for (const [color, width] of [["#fff", 4], ["#111", 1.5]]) {
    pen.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + dx * 5, y + dy * 5);
      pen.lineTo(x + dx * 15, y + dy * 15);
    }
    pen.strokeStyle = color;
    pen.lineWidth = width;
    pen.stroke();
  }
}
