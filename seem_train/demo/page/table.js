// What lies on the table: the session, its objects and their masks, and what the user has chosen of them.

import { covers, decode, outline, tinted } from "./masks.js";

export class Table extends EventTarget {
  constructor() {
    super();
    this.forget();
    this.opacity = 0.45;
  }

  forget() {
    this.session = null; // the server's status of the session
    this.photo = null; // ImageBitmap
    this.objects = [];
    this.base = null; // the same of the other model, while it is compared
    this.drawn = new Map(); // revision ─▶ what is drawn of it
    this.chosen = new Set();
    this.hidden = new Set();
    this.hovered = null;
    this.marks = new Map(); // object ─▶ what it was pointed at with
    this.canUndo = this.canRedo = false;
    this.tell();
  }

  tell() { this.dispatchEvent(new Event("change")); }

  // An answer of the server; true if all masks that are needed are there.
  take(table) {
    this.objects = table.objects;
    this.canUndo = table.can_undo;
    this.canRedo = table.can_redo;
    for (const row of table.objects) if (row.mask) this.drawn.set(row.revision, drawing(row));
    const there = new Set(table.objects.map((row) => row.id));
    for (const id of [...this.chosen]) if (!there.has(id)) this.chosen.delete(id);
    for (const id of [...this.marks.keys()]) if (!there.has(id)) this.marks.delete(id);
    this.base = null;
    this.tell();
    return table.objects.every((row) => this.drawn.has(row.revision));
  }

  takeBase(table) {
    this.base = table.objects.filter((row) => row.mask).map((row) => ({ row, ...drawing(row) }));
    this.tell();
  }

  // The object that prompts go on with.
  get active() { return this.chosen.size === 1 ? this.get([...this.chosen][0]) : null; }
  get(id) { return this.objects.find((row) => row.id === id) ?? null; }

  choose(ids) { this.chosen = new Set(ids); this.tell(); }
  toggle(id) { this.chosen.has(id) ? this.chosen.delete(id) : this.chosen.add(id); this.tell(); }
  hide(id) { this.hidden.has(id) ? this.hidden.delete(id) : this.hidden.add(id); this.tell(); }
  hover(id) { if (this.hovered !== id) { this.hovered = id; this.tell(); } }

  // The topmost visible object at a point of the photo.
  at({ x, y }) {
    for (const row of [...this.objects].reverse()) {
      const drawn = this.drawn.get(row.revision);
      if (!drawn || this.hidden.has(row.id)) continue;
      const share = drawn.mask.width / this.session.width;
      if (covers(drawn.mask, x * share, y * share)) return row;
    }
    return null;
  }

  mark(id, mark) { this.marks.set(id, [...(this.marks.get(id) ?? []), mark]); }
}

function drawing(row) {
  const mask = decode(row.mask);
  return { mask, picture: tinted(mask, row.color), path: outline(mask), color: row.color };
}
