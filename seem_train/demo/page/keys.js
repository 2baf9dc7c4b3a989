// The keyboard: one table of keys, which is also what the help shows.

export function keys(desk) {
  const step = (event) => (event.shiftKey ? 10 : 1) * Math.max(1, 2 / desk.view.scale);
  return [
    ["1 … 6", "point, box, scribble, polygon, erase, move", (event) => /^[1-6]$/.test(event.key), (event) =>
      desk.use(["point", "box", "scribble", "polygon", "erase", "pan"][event.key - 1])],
    ["← ↑ → ↓", "move the cursor, with Shift faster", (event) => event.key.startsWith("Arrow"), (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      desk.nudge(by[0] * step(event), by[1] * step(event));
    }],
    ["Enter", "click there; for box and lines: begin, then end", (event) => event.key === "Enter", () => desk.tap()],
    ["X", "what it is / what it is not", (event) => event.key === "x", () => desk.flip()],
    ["Esc", "done with this object; the next click begins another", (event) => event.key === "Escape", () => desk.done()],
    ["[ ]", "the object before, the next", (event) => event.key === "[" || event.key === "]", (event) =>
      desk.step(event.key === "]" ? 1 : -1)],
    ["{ }", "that one as well", (event) => event.key === "{" || event.key === "}", (event) =>
      desk.step(event.key === "}" ? 1 : -1, true)],
    ["F2", "rename", (event) => event.key === "F2", () => desk.rename()],
    ["Del", "delete", (event) => event.key === "Delete" || event.key === "Backspace", () => desk.back()],
    ["H", "hide or show", (event) => event.key === "h", () => desk.hide()],
    ["M", "make the chosen ones one (Shift-click chooses several)", (event) => event.key === "m", () => desk.merge()],
    ["A", "choose all", (event) => event.key === "a", () => desk.all()],
    ["/", "find by words; Enter twice shows what scores too little", (event) => event.key === "/", () => desk.words()],
    ["E", "everything", (event) => event.key === "e", () => desk.everything()],
    ["R", "find by example", (event) => event.key === "r", () => desk.example()],
    ["V", "compare base and tuned; , and . move the line", (event) => event.key === "v", () => desk.compare()],
    [null, null, (event) => event.key === "," || event.key === ".", (event) => desk.slide(event.key === "." ? 0.05 : -0.05)],
    ["Ctrl Z, Ctrl ⇧ Z", "undo, redo", (event, ctrl) => ctrl && /^[zy]$/i.test(event.key), (event) =>
      event.shiftKey || event.key === "y" ? desk.redo() : desk.undo()],
    ["+ − 0", "larger, smaller, whole photo", (event) => /^[-+=0]$/.test(event.key), (event) =>
      event.key === "0" ? desk.fit() : desk.zoom(event.key === "-" ? 1 / 1.3 : 1.3)],
    ["O", "open a photo", (event) => event.key === "o", () => desk.open()],
    ["N", "the next photo of the folder", (event) => event.key === "n", () => desk.next()],
    ["Ctrl S", "keep photo and masks for training", (event, ctrl) => ctrl && event.key === "s", () => desk.keep()],
    ["?", "this", (event) => event.key === "?", () => desk.help()],
  ];
}

const WITH_CTRL = /^[zys]$/i;

export function listen(desk) {
  const table = keys(desk);
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const ctrl = event.ctrlKey || event.metaKey;
    const typing = event.target.matches("input[type=text], input:not([type]), input.name, textarea");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      if (!(ctrl && event.key === "s")) return;
    }
    if (ctrl && !WITH_CTRL.test(event.key) || event.altKey) return;
    if (event.key === " " && !event.target.matches("button, summary")) {
      event.preventDefault();
      return desk.hold(true);
    }
    if (event.target.matches("button, summary, a") && event.key === "Enter") return;
    if (event.target.matches("input[type=range], #split") && event.key.startsWith("Arrow")) return;
    const known = table.find(([, , hears]) => hears(event, ctrl));
    if (!known) return;
    event.preventDefault();
    known[3](event);
  });
  addEventListener("keyup", (event) => { if (event.key === " ") desk.hold(false); });
  return table.filter(([shown]) => shown);
}
