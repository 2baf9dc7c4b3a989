// The line between the base's answer and the tuned model's.

export class Split {
  constructor(handle, stage, sides, repaint) {
    Object.assign(this, { handle, stage, sides, repaint, on: false, share: 0.5 });
    handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      const box = stage.getBoundingClientRect();
      this.put((event.clientX - box.left) / box.width);
    });
    handle.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.put(this.share - 0.02);
      if (event.key === "ArrowRight") this.put(this.share + 0.02);
    });
    new ResizeObserver(() => this.put(this.share)).observe(stage);
  }

  // In CSS pixels, or null while nothing is compared.
  get at() { return this.on ? this.share * this.stage.clientWidth : null; }

  show(on) {
    this.on = on;
    this.handle.hidden = !on;
    for (const side of this.sides) side.hidden = !on;
    this.put(this.share);
  }

  put(share) {
    this.share = Math.min(Math.max(share, 0), 1);
    this.handle.style.left = `${100 * this.share}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(100 * this.share));
    this.repaint();
  }
}
