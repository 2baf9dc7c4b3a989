// The list of objects: a row each, with colour, name, score, area, an eye and a bin.

const EYE = '<svg viewBox="0 0 24 24"><path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z"/><circle cx="12" cy="12" r="3"/></svg>';
const CLOSED = '<svg viewBox="0 0 24 24"><path d="M3 10c2.5 3 5.5 4.5 9 4.5s6.5-1.5 9-4.5M6 13.5l-1.5 2.5M12 14.5V18M18 13.5l1.5 2.5"/></svg>';
const BIN = '<svg viewBox="0 0 24 24"><path d="M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13"/></svg>';

export class List {
  constructor(element, table, work) {
    Object.assign(this, { element, table, work });
    table.addEventListener("change", () => this.show());
  }

  show() {
    if (this.element.contains(document.activeElement) && document.activeElement.matches("input")) {
      this.late = true; // a name is being typed
      return this.mark();
    }
    const key = JSON.stringify([this.table.objects.map((row) => row.revision), [...this.table.hidden]]);
    if (key !== this.key || this.late) {
      const focused = document.activeElement?.closest?.("#objects button")?.dataset;
      this.element.replaceChildren(...[...this.table.objects].reverse().map((row) => this.row(row)));
      if (focused) this.element.querySelector(`[data-object="${focused.object}"][data-do="${focused.do}"]`)?.focus();
    }
    this.key = key;
    this.late = false;
    this.mark();
  }

  mark() {
    for (const item of this.element.children) {
      const id = Number(item.dataset.object);
      item.classList.toggle("selected", this.table.chosen.has(id));
      item.classList.toggle("hover", this.table.hovered === id);
      if (this.table.chosen.has(id) && this.table.chosen.size === 1) item.scrollIntoView({ block: "nearest" });
    }
  }

  row(row) {
    const item = document.createElement("li");
    item.dataset.object = row.id;
    item.classList.toggle("off", this.table.hidden.has(row.id));
    const off = this.table.hidden.has(row.id);
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    swatch.style.background = row.color;
    const name = Object.assign(document.createElement("input"), {
      className: "name", value: row.name, maxLength: 200, spellcheck: false, ariaLabel: `Name of object ${row.id}`,
      title: row.prompt ? `found by “${row.prompt}”` : "Click to rename",
    });
    name.setAttribute("list", "names");
    name.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") name.blur();
      if (event.key === "Escape") { name.value = row.name; name.blur(); }
    });
    name.addEventListener("blur", () => {
      const said = name.value.trim();
      if (said && said !== row.name) this.work.name(row.id, said);
      else { name.value = row.name; this.show(); }
    });
    const share = (100 * row.area) / (this.table.session.width * this.table.session.height);
    const figures = Object.assign(document.createElement("span"), { className: "figures" });
    figures.textContent = `${row.edited || row.score === null ? "by hand" : row.score.toFixed(2)} · ${share < 0.1 ? "<0.1" : share.toFixed(share < 10 ? 1 : 0)} %`;
    figures.title = `${row.score === null ? "drawn by hand" : `score ${row.score.toFixed(3)}`}, ${row.area.toLocaleString()} pixels`;
    item.append(
      Object.assign(document.createElement("span"), { className: "grip" }), swatch, name, figures,
      this.button(row, "hide", off ? CLOSED : EYE, off ? "Show" : "Hide", () => this.table.hide(row.id)),
      this.button(row, "delete", BIN, "Delete", () => this.work.remove(row.id)),
    );
    item.addEventListener("click", (event) => {
      if (event.target.closest("button") || event.target === document.activeElement && event.target.matches("input")) return;
      if (event.shiftKey || event.ctrlKey || event.metaKey) this.table.toggle(row.id);
      else this.table.choose([row.id]);
    });
    name.addEventListener("focus", () => this.table.choose([row.id]));
    item.addEventListener("pointerenter", () => this.table.hover(row.id));
    item.addEventListener("pointerleave", () => this.table.hover(null));
    return item;
  }

  button(row, what, icon, label, act) {
    const button = Object.assign(document.createElement("button"), { type: "button", innerHTML: icon, title: label });
    button.setAttribute("aria-label", `${label} ${row.name}`);
    Object.assign(button.dataset, { object: row.id, do: what });
    button.addEventListener("click", act);
    return button;
  }

  rename(id) {
    const input = this.element.querySelector(`li[data-object="${id}"] input`);
    input?.focus();
    input?.select();
  }
}
