// The canvas: photo, masks, marks, and what the tool at hand is drawing.

export const FOR = "#2eae52", AGAINST = "#dd3b3b";

export function paint(canvas, table, view, split, overlay) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (!table.photo) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.imageSmoothingEnabled = view.scale * table.session.width / table.photo.width < 3;
  pen.drawImage(table.photo, view.x, view.y, view.width * view.scale, view.height * view.scale);
  const tuned = table.objects
    .filter((row) => !table.hidden.has(row.id) && table.drawn.has(row.revision))
    .map((row) => ({ row, ...table.drawn.get(row.revision) }));
  if (split === null || !table.base) {
    masks(pen, table, view, tuned, true);
  } else {
    half(pen, 0, split, canvas, () => masks(pen, table, view, table.base.filter(({ row }) => !table.hidden.has(row.id)), false));
    half(pen, split, canvas.clientWidth, canvas, () => masks(pen, table, view, tuned, true));
  }
  marks(pen, table, view);
  overlay?.(pen);
}

function half(pen, from, to, canvas, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(from, 0, to - from, canvas.clientHeight);
  pen.clip();
  draw();
  pen.restore();
}

function masks(pen, table, view, drawn, lively) {
  for (const { row, mask, picture, path, color } of drawn) {
    const lit = lively && table.hovered === row.id, chosen = lively && table.chosen.has(row.id);
    const scale = view.scale * view.width / mask.width;
    pen.save();
    pen.translate(view.x, view.y);
    pen.scale(scale, scale);
    pen.globalAlpha = Math.min(1, table.opacity + (lit ? 0.22 : 0));
    pen.imageSmoothingEnabled = false;
    if (mask.w) pen.drawImage(picture, mask.left, mask.top);
    pen.globalAlpha = 1;
    pen.lineCap = "square";
    if (chosen || lit) {
      pen.strokeStyle = "#fff";
      pen.lineWidth = 4 / scale;
      pen.stroke(path);
    }
    pen.strokeStyle = color;
    pen.lineWidth = (chosen ? 2.2 : 1.4) / scale;
    pen.stroke(path);
    pen.restore();
  }
}

function marks(pen, table, view) {
  const active = table.active;
  if (!active) return;
  for (const mark of table.marks.get(active.id) ?? []) {
    const color = mark.positive ? FOR : AGAINST;
    if (mark.kind === "point") dot(pen, view.toScreen(mark.x, mark.y), color);
    if (mark.kind === "line") line(pen, view, mark.line, color, 4);
    if (mark.kind === "box") frame(pen, view, mark.box, color);
  }
}

export function dot(pen, { x, y }, color) {
  pen.beginPath();
  pen.arc(x, y, 5, 0, 2 * Math.PI);
  pen.fillStyle = color;
  pen.strokeStyle = "#fff";
  pen.lineWidth = 2;
  pen.fill();
  pen.stroke();
}

export function line(pen, view, points, color, width, close = false) {
  pen.beginPath();
  points.forEach(({ x, y }, index) => {
    const at = view.toScreen(x, y);
    index ? pen.lineTo(at.x, at.y) : pen.moveTo(at.x, at.y);
  });
  if (close) pen.closePath();
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = "#fffc";
  pen.lineWidth = width + 2;
  pen.stroke();
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.stroke();
}

export function frame(pen, view, [left, top, right, bottom], color) {
  const corners = [{ x: left, y: top }, { x: right, y: top }, { x: right, y: bottom }, { x: left, y: bottom }];
  line(pen, view, corners, color, 2, true);
}
