// COCO's compressed run lengths ─▶ a tinted picture and an outline, both cut to the box of the mask.

// Runs of 0, 1, 0, 1 … down the columns, as pycocotools writes them.
function runs(text) {
  const counts = [];
  for (let at = 0; at < text.length;) {
    let value = 0, shift = 0, more = true;
    while (more) {
      const bits = text.charCodeAt(at++) - 48;
      value |= (bits & 31) << shift;
      more = (bits & 32) !== 0;
      shift += 5;
      if (!more && bits & 16) value |= -1 << shift;
    }
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

// { width, height, left, top, w, h, inside: Uint8Array of the box, row by row }
export function decode({ size: [height, width], counts }) {
  const lengths = runs(counts);
  let left = width, right = -1, top = height, bottom = -1, at = 0;
  lengths.forEach((length, index) => {
    if (index % 2 && length) {
      const first = Math.floor(at / height), last = Math.floor((at + length - 1) / height);
      left = Math.min(left, first);
      right = Math.max(right, last);
      top = Math.min(top, first === last ? at % height : 0);
      bottom = Math.max(bottom, first === last ? (at + length - 1) % height : height - 1);
    }
    at += length;
  });
  const w = Math.max(0, right - left + 1), h = Math.max(0, bottom - top + 1);
  const inside = new Uint8Array(w * h);
  at = 0;
  lengths.forEach((length, index) => {
    if (index % 2) {
      let row = at % height, column = (at - row) / height;
      for (let i = 0; i < length; i++) {
        inside[(row - top) * w + column - left] = 1;
        if (++row === height) { row = 0; column++; }
      }
    }
    at += length;
  });
  return { width, height, left, top, w, h, inside };
}

export function covers(mask, x, y) {
  const column = Math.floor(x) - mask.left, row = Math.floor(y) - mask.top;
  return column >= 0 && row >= 0 && column < mask.w && row < mask.h && mask.inside[row * mask.w + column] === 1;
}

export function tinted(mask, color) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, mask.w);
  canvas.height = Math.max(1, mask.h);
  if (!mask.inside.length) return canvas;
  const pixels = new ImageData(mask.w, mask.h);
  const value = parseInt(color.slice(1), 16);
  const [tint] = new Uint32Array(Uint8Array.of(value >> 16, (value >> 8) & 255, value & 255, 255).buffer);
  const words = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < mask.inside.length; i++) if (mask.inside[i]) words[i] = tint;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

// Along the edges of pixels, so that it stays true however close one looks.
export function outline({ w, h, left, top, inside }) {
  const path = new Path2D();
  const at = (x, y) => x >= 0 && y >= 0 && x < w && y < h ? inside[y * w + x] : 0;
  for (let y = 0; y <= h; y++) {
    for (let x = 0, start = -1; x <= w; x++) {
      const edge = x < w && at(x, y) !== at(x, y - 1);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(left + start, top + y);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= w; x++) {
    for (let y = 0, start = -1; y <= h; y++) {
      const edge = y < h && at(x, y) !== at(x - 1, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        path.moveTo(left + x, top + start);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  return path;
}
