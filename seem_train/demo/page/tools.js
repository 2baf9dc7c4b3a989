// What a pointer (or the keyboard's cursor) does on the photo. A tool hears down, move and up in pixels of the
// photo, and draws what it is about to do; `work` is what it asks for.

import { AGAINST, FOR, dot, frame, line } from "./paint.js";

const sign = (positive) => (positive ? FOR : AGAINST);
const round = ({ x, y }) => [Math.round(x * 10) / 10, Math.round(y * 10) / 10];

class Point {
  down(at, positive) { this.at = at; this.positive = positive; }
  move() {}
  up(_, work) {
    if (!this.at) return;
    const { x, y } = this.at;
    work.prompt({ points: [{ x, y, positive: this.positive }] }, { kind: "point", x, y, positive: this.positive });
    this.at = null;
  }
  cancel() { this.at = null; }
  draw(pen, view) { if (this.at) dot(pen, view.toScreen(this.at.x, this.at.y), sign(this.positive)); }
}

class Box {
  down(at) { this.from = this.to = at; }
  move(at) { if (this.from) this.to = at; }
  up(_, work) {
    if (!this.from) return;
    const box = [
      Math.min(this.from.x, this.to.x), Math.min(this.from.y, this.to.y),
      Math.max(this.from.x, this.to.x), Math.max(this.from.y, this.to.y),
    ];
    this.from = null;
    if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return work.tell("Drag from corner to corner.");
    work.prompt({ box }, { kind: "box", box, positive: true });
  }
  cancel() { this.from = null; }
  draw(pen, view) {
    if (this.from) frame(pen, view, [this.from.x, this.from.y, this.to.x, this.to.y], FOR);
  }
}

class Freehand {
  down(at, positive) { this.line = [at]; this.positive = positive; }
  move(at) {
    const last = this.line?.[this.line.length - 1];
    if (last && Math.hypot(at.x - last.x, at.y - last.y) > 0.5) this.line.push(at);
  }
  cancel() { this.line = null; }
}

class Scribble extends Freehand {
  up(_, work) {
    if (!this.line) return;
    const line = this.line.length > 1 ? this.line : [this.line[0], this.line[0]];
    const stroke = { line: line.map(round), positive: this.positive };
    work.prompt({ strokes: [stroke] }, { kind: "line", line, positive: this.positive });
    this.line = null;
  }
  draw(pen, view) { if (this.line) line(pen, view, this.line, sign(this.positive), 4); }
}

class Erase extends Freehand {
  down(at, positive, view, shift) {
    super.down(at, shift);
    this.width = this.diameter(view);
  }
  diameter(view) { return Math.max(1, 24 / view.scale); }
  up(_, work) {
    if (!this.line) return;
    const edit = { brush: this.line.map(round), width: this.width, add: this.positive };
    this.line = null;
    work.edit(edit);
  }
  draw(pen, view, cursor) {
    if (this.line) {
      pen.globalAlpha = 0.55;
      line(pen, view, this.line, sign(this.positive), this.width * view.scale);
      pen.globalAlpha = 1;
    }
    if (!cursor) return;
    const at = view.toScreen(cursor.x, cursor.y);
    pen.beginPath();
    pen.arc(at.x, at.y, this.diameter(view) * view.scale / 2, 0, 2 * Math.PI);
    pen.lineWidth = 1.5;
    pen.strokeStyle = "#fff";
    pen.stroke();
    pen.strokeStyle = "#0009";
    pen.setLineDash([3, 3]);
    pen.stroke();
    pen.setLineDash([]);
  }
}

// Corner by corner; a click on the first corner, a double click or Enter twice closes it.
class Polygon {
  corners = [];
  down(at, positive, view) {
    if (!this.corners.length) this.positive = positive;
    const near = (corner) => Math.hypot(at.x - corner.x, at.y - corner.y) * view.scale < 10;
    const last = this.corners[this.corners.length - 1];
    this.closing = this.corners.length > 2 && (near(this.corners[0]) || near(last));
    if (!this.closing && !(last && near(last))) this.corners.push(at);
  }
  move(at) { this.at = at; }
  up(_, work) {
    if (!this.closing) return;
    const edit = { polygon: this.corners.map(round), add: this.positive };
    this.cancel();
    work.edit(edit);
  }
  back() { this.corners.pop(); }
  cancel() { this.corners = []; this.closing = false; }
  draw(pen, view, cursor) {
    if (!this.corners.length) return;
    line(pen, view, [...this.corners, ...(cursor ? [cursor] : [])], sign(this.positive), 2);
    for (const corner of this.corners) dot(pen, view.toScreen(corner.x, corner.y), sign(this.positive));
  }
}

export const TOOLS = {
  point: new Point(), box: new Box(), scribble: new Scribble(), polygon: new Polygon(), erase: new Erase(), pan: null,
};
