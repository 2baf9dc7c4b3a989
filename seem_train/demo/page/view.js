// Where the photo lies on the screen: zoom and pan, in CSS pixels of the canvas.

export class View {
  constructor() { this.reset(1, 1, 1, 1); }

  // The whole photo, in the middle; `inset` is what tools cover on each side.
  reset(width, height, across, down, inset = { left: 0, top: 0, right: 0, bottom: 0 }) {
    Object.assign(this, { width, height, across, down, inset });
    const roomX = Math.max(40, across - inset.left - inset.right), roomY = Math.max(40, down - inset.top - inset.bottom);
    this.fitted = Math.min(roomX / width, roomY / height);
    this.scale = this.fitted;
    this.x = inset.left + (roomX - width * this.scale) / 2;
    this.y = inset.top + (roomY - height * this.scale) / 2;
  }

  resize(across, down, inset) {
    const whole = this.scale === this.fitted;
    const middle = this.toPhoto(this.across / 2, this.down / 2), scale = this.scale;
    this.reset(this.width, this.height, across, down, inset);
    if (whole) return;
    this.scale = scale;
    this.x = across / 2 - middle.x * scale;
    this.y = down / 2 - middle.y * scale;
    this.hold();
  }

  toPhoto(x, y) { return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale }; }
  toScreen(x, y) { return { x: x * this.scale + this.x, y: y * this.scale + this.y }; }

  zoom(factor, x = this.across / 2, y = this.down / 2) {
    const scale = Math.min(Math.max(this.scale * factor, this.fitted / 2), Math.max(32, this.fitted));
    const at = this.toPhoto(x, y);
    this.scale = scale;
    this.x = x - at.x * scale;
    this.y = y - at.y * scale;
    this.hold();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.hold();
  }

  // Some of the photo stays in sight.
  hold() {
    const least = 60;
    this.x = Math.min(Math.max(this.x, least - this.width * this.scale), this.across - least);
    this.y = Math.min(Math.max(this.y, least - this.height * this.scale), this.down - least);
  }

  bring(point) {
    const { x, y } = this.toScreen(point.x, point.y);
    const margin = 30;
    this.pan(
      x < margin ? margin - x : x > this.across - margin ? this.across - margin - x : 0,
      y < margin ? margin - y : y > this.down - margin ? this.down - margin - y : 0,
    );
  }
}
