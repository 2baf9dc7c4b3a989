// Another photo, in which one draws around what is to be found in this one.

import * as api from "./api.js";
import { FOR } from "./paint.js";

export class Reference {
  constructor(canvas, button, work) {
    Object.assign(this, { canvas, button, work, polygons: [], line: null });
    canvas.addEventListener("pointerdown", (event) => this.begin(event));
    canvas.addEventListener("pointermove", (event) => this.go(event));
    canvas.addEventListener("pointerup", () => this.end());
    button.addEventListener("click", () => this.work.prompt({ reference: this.polygons }));
  }

  async open(session, file) {
    const { width, height } = await api.sendPhoto("PUT", `/api/sessions/${session}/reference`, file);
    this.picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    Object.assign(this, { width, height, polygons: [] });
    this.canvas.hidden = false;
    this.canvas.width = 2 * 290;
    this.canvas.height = Math.round((this.canvas.width * height) / width);
    this.show();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const held = (value, most) => Math.round(Math.min(Math.max(value, 0), most - 1) * 10) / 10;
    return [
      held(((event.clientX - box.left) / box.width) * this.width, this.width),
      held(((event.clientY - box.top) / box.height) * this.height, this.height),
    ];
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.line = [this.at(event)];
  }

  go(event) {
    if (!this.line) return;
    this.line.push(this.at(event));
    this.show();
  }

  end() {
    if (this.line?.length > 3) this.polygons.push(this.line);
    this.line = null;
    this.show();
  }

  show() {
    const pen = this.canvas.getContext("2d");
    pen.drawImage(this.picture, 0, 0, this.canvas.width, this.canvas.height);
    for (const polygon of [...this.polygons, ...(this.line ? [this.line] : [])]) {
      pen.beginPath();
      for (const [x, y] of polygon) pen.lineTo((x / this.width) * this.canvas.width, (y / this.height) * this.canvas.height);
      if (polygon !== this.line) pen.closePath();
      pen.fillStyle = `${FOR}66`;
      pen.strokeStyle = "#fff";
      pen.lineWidth = 3;
      if (polygon !== this.line) pen.fill();
      pen.stroke();
    }
    this.button.disabled = !this.polygons.length;
  }
}
