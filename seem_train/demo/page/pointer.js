// Mouse, pen and fingers on the canvas: one finger is the tool, two zoom and move, the wheel zooms.

export class Pointer {
  constructor(canvas, view, desk) {
    Object.assign(this, { canvas, view, desk, down: new Map(), panning: false });
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerup", (event) => this.onUp(event));
    canvas.addEventListener("pointercancel", (event) => { this.desk.cancel(); this.onUp(event); });
    canvas.addEventListener("pointerleave", () => this.desk.leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  onDown(event) {
    if (!this.desk.ready) return;
    this.canvas.focus({ preventScroll: true });
    try { this.canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    this.down.set(event.pointerId, this.at(event));
    if (this.down.size === 2) {
      this.desk.cancel();
      this.panning = true;
    } else if (this.down.size === 1) {
      this.panning = event.button === 1 || this.desk.pans;
      const pick = event.ctrlKey || event.metaKey;
      if (this.panning) event.preventDefault();
      else if (pick) this.desk.pick(this.view.toPhoto(...Object.values(this.at(event))));
      else if (this.desk.tool === "point" && this.beside(event)) this.desk.done();
      else this.desk.press(this.photo(event), event.button === 2 || event.altKey, event.shiftKey);
    }
  }

  onMove(event) {
    if (!this.desk.ready) return;
    const before = this.down.get(event.pointerId), now = this.at(event);
    if (!before) return this.desk.move(this.photo(event), false);
    if (!this.panning) {
      const between = event.getCoalescedEvents?.() ?? [];
      for (const one of between.length ? between : [event]) this.desk.move(this.photo(one), true);
    } else if (this.down.size === 1) {
      this.view.pan(now.x - before.x, now.y - before.y);
    } else {
      const other = [...this.down].find(([id]) => id !== event.pointerId)[1];
      const far = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      this.view.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
      this.view.zoom(far(now) / far(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    }
    this.down.set(event.pointerId, now);
    this.desk.repaint();
  }

  onUp(event) {
    if (!this.down.delete(event.pointerId)) return;
    if (!this.panning) this.desk.release(this.photo(event));
    if (!this.down.size) this.panning = false;
  }

  onWheel(event) {
    event.preventDefault();
    if (!this.desk.ready) return;
    const { x, y } = this.at(event);
    if (event.shiftKey && !event.ctrlKey) this.view.pan(-event.deltaY, 0);
    else this.view.zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), x, y);
    this.desk.repaint();
  }

  // Whether it lies clearly beside the photo: a click there means nothing in it.
  beside(event) {
    const { x, y } = this.view.toPhoto(...Object.values(this.at(event))), slack = 6 / this.view.scale;
    return x < -slack || y < -slack || x > this.view.width + slack || y > this.view.height + slack;
  }

  // In pixels of the photo, held inside it.
  photo(event) {
    const { x, y } = this.at(event);
    return this.desk.inside(this.view.toPhoto(x, y));
  }
}
