/**
 * A canvas on Compose Concepts: a box for each concept, to be drawn, moved, stretched, named and deleted.
 *
 * It holds no choice of its own: what is drawn is read from the texts `concepts` and `places`, and written into them.
 */

import { app } from "../../../scripts/app.js";
import { COLOURS, between, dragged, entriesOf, gripOf, textsOf } from "./boxes.js";
import { chain } from "./nodes.js";
import { panel } from "./region_panel.js";
import { paintLabel } from "./regions.js";
import { say } from "./words.js";

const TEXTS = ["concepts", "places"];
const SIZES = ["width", "height"];
const OPEN = "conceptatelier_boxes";
/** The property of a node that says whether its canvas is shown; it is saved with the workflow. */
const HEIGHTS = { closed: 30, open: 290 };
const LEAST_CANVAS = "220px";
/** Nodes 2.0 asks the element how high it is, the classic view the widget. */
const REACH = 9;
const CURSORS = { move: "move", l: "ew-resize", r: "ew-resize", t: "ns-resize", b: "ns-resize", lt: "nwse-resize",
  rb: "nwse-resize", lb: "nesw-resize", rt: "nesw-resize" };
const KEYS = { ArrowLeft: [-0.01, 0], ArrowRight: [0.01, 0], ArrowUp: [0, -0.01], ArrowDown: [0, 0.01] };

export class BoxEditor {
  constructor(node) {
    this.node = node;
    this.selected = null;
    this.hovered = null;
    this.drag = null;
    this.asked = null;
    this.notice = "";
    this.build();
    this.listen();
    this.open(true);
  }

  build() {
    Object.assign(this, panel(["boxes", "unbox", "remove"], "boxHelp"));
    this.canvas.tabIndex = 0;
    this.canvas.style.outline = "none";
    const height = () => (this.isOpen ? HEIGHTS.open : HEIGHTS.closed);
    const widget = this.node.addDOMWidget("boxes", "atelier_boxes", this.root, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: height,
      getMaxHeight: () => (this.isOpen ? undefined : HEIGHTS.closed),
    });
    widget.serialize = false;
  }

  listen() {
    const on = (name, act) => this.canvas.addEventListener(name, act);
    on("pointerdown", (event) => event.button === 0 && this.pressed(event));
    on("pointermove", (event) => this.moved(event));
    on("pointerup", () => this.released());
    on("pointercancel", () => this.released());
    on("pointerleave", () => this.drag || this.hover(null));
    on("dblclick", (event) => this.asks(event));
    on("keydown", (event) => this.keyed(event));
    // Without this a drag that starts here would move the node.
    this.root.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation());
    this.root.addEventListener("wheel", (event) => window.LiteGraph.vueNodesMode || app.canvas.processMouseWheel(event));
    this.input.addEventListener("keydown", (event) => this.typed(event));
    this.input.addEventListener("blur", () => this.closeInput(true));
    this.buttons.boxes.addEventListener("click", () => this.open(!this.isOpen));
    this.buttons.unbox.addEventListener("click", () => this.unbox());
    this.buttons.remove.addEventListener("click", () => this.remove());
    new ResizeObserver(() => this.refresh()).observe(this.canvas);
    for (const name of [...TEXTS, ...SIZES]) chain(this.widget(name) ?? {}, "callback", () => this.refresh());
  }

  // What the node says

  widget(name) {
    return this.node.widgets.find((widget) => widget.name === name);
  }

  get entries() {
    return entriesOf(...TEXTS.map((name) => String(this.widget(name)?.value ?? "")));
  }

  /** Width over height of the picture. */
  get proportions() {
    const [width, height] = SIZES.map((name) => Number(this.widget(name)?.value) || 1);
    return width / height;
  }

  /** Whether something is connected to an input, of a widget or without one. */
  isLinked(name) {
    return (this.node.inputs ?? []).some((input) => input.link != null && (input.widget?.name ?? input.name) === name);
  }

  get isOpen() {
    return this.node.properties?.[OPEN] !== false;
  }

  /** Write entries into the inputs. */
  change(entries) {
    const texts = textsOf(entries);
    const changed = TEXTS.filter((name) => texts[name] !== String(this.widget(name).value));
    const fixed = changed.find((name) => this.isLinked(name));
    this.notice = fixed ? say("linked", { input: this.widget(fixed).label ?? fixed }) : "";
    if (!fixed) changed.forEach((name) => this.write(name, texts[name]));
    this.refresh();
    this.node.setDirtyCanvas(true, true);
    app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.();
  }

  write(name, text) {
    const widget = this.widget(name);
    widget.value = text;
    widget.callback?.(text, app.canvas, this.node);
  }

  /** Change one entry; null leaves it out. */
  edit(index, part) {
    const entries = this.entries;
    entries.splice(index, 1, ...(part ? [{ ...entries[index], ...part }] : []));
    this.change(entries);
  }

  // What the page does

  open(shown) {
    const before = this.isOpen;
    this.node.properties = { ...this.node.properties, [OPEN]: shown };
    const [width, height] = this.node.computeSize();
    const spare = before && !shown ? HEIGHTS.open - HEIGHTS.closed : 0;
    this.node.setSize([Math.max(this.node.size[0], width), Math.max(this.node.size[1] - spare, height)]);
    this.refresh();
    this.node.setDirtyCanvas(true, true);
  }

  /** A node that was saved without a canvas stays as it was. */
  configured(saved) {
    this.node.properties = { ...this.node.properties, [OPEN]: saved?.properties?.[OPEN] === true };
    this.selected = null;
    this.refresh();
  }

  pressed(event) {
    this.canvas.focus();
    const at = this.pointOf(event);
    const hit = this.hitAt(at);
    this.notice = "";
    this.selected = hit?.index ?? null;
    this.drag = hit ? { ...hit, from: at, box: this.entries[hit.index].box } : { from: at };
    this.canvas.setPointerCapture(event.pointerId);
    this.refresh();
  }

  moved(event) {
    const at = this.pointOf(event);
    if (!this.drag) return this.hover(this.hitAt(at));
    const { from, grip, box } = this.drag;
    this.drag.draft = grip ? dragged(box, grip, [at[0] - from[0], at[1] - from[1]]) : between(from, at);
    this.refresh();
  }

  released() {
    const { drag } = this;
    this.drag = null;
    if (drag?.draft && drag.grip) this.edit(drag.index, { box: drag.draft });
    else if (drag?.draft) this.drawn(drag.draft);
    this.refresh();
  }

  /** A new box belongs to the first concept without one; where all have one, a new concept is asked for. */
  drawn(box) {
    const index = this.entries.findIndex((entry) => !entry.box);
    this.selected = index < 0 ? this.entries.length : index;
    if (index >= 0) this.edit(index, { box });
    else this.openInput({ box }, "", [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]);
  }

  unbox() {
    if (this.entries[this.selected]?.box) this.edit(this.selected, { box: null });
  }

  remove() {
    if (this.selected === null) return;
    const index = this.selected;
    this.selected = null;
    this.edit(index, null);
  }

  keyed(event) {
    const entry = this.entries[this.selected];
    const step = KEYS[event.key];
    if (!entry?.box || !(step || event.key === "Delete" || event.key === "Backspace")) return;
    event.preventDefault();
    event.stopPropagation();
    if (step) this.edit(this.selected, { box: nudged(entry.box, step) });
    else this.unbox();
  }

  asks(event) {
    const hit = this.hitAt(this.pointOf(event));
    if (hit) this.openInput(hit, this.entries[hit.index].name, this.pointOf(event));
  }

  openInput(asked, text, [x, y]) {
    const place = this.place();
    this.asked = asked;
    Object.assign(this.input.style, { left: `${place.x + x * place.width}px`, top: `${place.y + y * place.height}px` });
    this.input.value = text;
    this.input.placeholder = say("newConcept");
    this.input.hidden = false;
    this.input.focus();
    this.input.select();
    this.refresh();
  }

  typed(event) {
    event.stopPropagation();
    if (event.key === "Enter") this.closeInput(true);
    if (event.key === "Escape") this.closeInput(false);
  }

  closeInput(take) {
    if (this.input.hidden) return;
    this.input.hidden = true;
    const { asked } = this;
    const name = this.input.value.trim();
    this.asked = null;
    if (take && name && asked.box) this.change([...this.entries, { name, box: asked.box, place: "", options: "" }]);
    else if (take && name) this.edit(asked.index, { name });
    else if (asked.box) this.selected = null;
    this.refresh();
  }

  hover(hit) {
    this.hovered = hit?.index ?? null;
    this.canvas.style.cursor = hit ? CURSORS[hit.grip] : "crosshair";
    this.refresh();
  }

  /** The point of the picture under the pointer, in shares of its sides. */
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.clientWidth / box.width;
    const { x, y, width, height } = this.place();
    return [((event.clientX - box.left) * scale - x) / width, ((event.clientY - box.top) * scale - y) / height];
  }

  /** The box at a point and what of it: the selected one first, then the smallest. */
  hitAt(at) {
    const { width, height } = this.place();
    const reach = [REACH / width, REACH / height];
    const hits = this.entries.flatMap(({ box }, index) => {
      const grip = box && gripOf(box, at, reach);
      return grip ? [{ index, grip, area: index === this.selected ? 0 : areaOf(box) }] : [];
    });
    return hits.sort((one, other) => one.area - other.area)[0] ?? null;
  }

  // What is seen

  /** Where the picture lies on the canvas: as large as fits, in the middle. */
  place() {
    const { clientWidth, clientHeight } = this.canvas;
    const room = [Math.max(1, clientWidth - 16), Math.max(1, clientHeight - 16)];
    const width = Math.min(room[0], room[1] * this.proportions);
    const height = width / this.proportions;
    return { x: (clientWidth - width) / 2, y: (clientHeight - height) / 2, width, height };
  }

  refresh() {
    if (!this.buttons) return;
    this.seen = this.state();
    const { entries } = this;
    Object.assign(this.canvas.parentElement.style, { display: this.isOpen ? "" : "none", minHeight: LEAST_CANVAS });
    this.status.style.display = this.isOpen ? "" : "none";
    for (const name of ["unbox", "remove"]) this.buttons[name].style.display = this.isOpen ? "" : "none";
    this.buttons.boxes.textContent = say(this.isOpen ? "hideBoxes" : "boxes");
    this.buttons.unbox.disabled = !entries[this.selected]?.box;
    this.buttons.remove.disabled = !entries[this.selected];
    this.hint.textContent = entries.some((entry) => entry.box) || this.drag?.draft ? "" : say("noBoxes");
    this.status.textContent = this.statusOf(entries);
    this.status.title = this.status.textContent;
    if (this.isOpen) this.paint(entries);
  }

  state() {
    return JSON.stringify([...TEXTS, ...SIZES].map((name) => this.widget(name)?.value).concat(this.isOpen));
  }

  /** Redraw if an input was changed by hand. */
  refreshIfChanged() {
    if (this.seen !== this.state()) this.refresh();
  }

  statusOf(entries) {
    if (this.notice) return this.notice;
    const instead = ["regions", "bounding_boxes"].find((name) => this.isLinked(name));
    if (instead) return say("instead", { input: instead });
    const entry = entries[this.hovered ?? this.selected];
    if (entry?.box) {
      const [left, top, right, bottom] = entry.box.map((side) => Math.round(side * 100));
      return say("box", { name: entry.name, left, top, width: right - left, height: bottom - top });
    }
    const wrong = entries.filter((one) => one.box === undefined).map((one) => one.place);
    if (wrong.length) return say("noPlace", { names: wrong.join("; ") });
    const without = entries.filter((one) => one.box === null).map((one) => one.name);
    return without.length ? say("without", { names: without.join(", ") }) : "";
  }

  paint(entries) {
    const { clientWidth, clientHeight } = this.canvas;
    const density = 2;
    Object.assign(this.canvas, { width: clientWidth * density, height: clientHeight * density });
    if (!clientWidth || !clientHeight) return;
    const context = this.canvas.getContext("2d");
    context.scale(density, density);
    paintGround(context, this.place());
    const draft = this.drag?.draft ?? this.asked?.box;
    const boxes = entries.map(({ name, box }, index) => ({ name, index, box: this.drag?.index === index ? draft ?? box : box }));
    if (draft && this.drag?.index === undefined) boxes.push({ name: "", index: entries.length, box: draft });
    // The largest first, so that no small box lies under it, and the selected one on top.
    const drawn = boxes.filter((one) => one.box);
    const last = (one) => one.index === this.selected;
    drawn.sort((one, other) => last(one) - last(other) || areaOf(other.box) - areaOf(one.box));
    for (const one of drawn) this.paintBox(context, one);
  }

  paintBox(context, { name, index, box }) {
    const place = this.place();
    const [left, right] = [box[0], box[2]].map((side) => place.x + side * place.width);
    const [top, bottom] = [box[1], box[3]].map((side) => place.y + side * place.height);
    const colour = COLOURS[index % COLOURS.length];
    const strong = index === this.selected || index === this.hovered;
    context.fillStyle = `rgba(${colour.join()}, ${strong ? 0.4 : 0.25})`;
    context.fillRect(left, top, right - left, bottom - top);
    context.strokeStyle = `rgb(${colour.join()})`;
    context.lineWidth = index === this.selected ? 3 : 1.5;
    context.strokeRect(left, top, right - left, bottom - top);
    if (index === this.selected) paintHandles(context, [left, top, right, bottom]);
    if (!name) return;
    context.font = "13px sans-serif";
    const text = shortened(context, name, Math.max(30, right - left - 14));
    const half = [context.measureText(text).width / 2 + 5, 10];
    paintLabel(context, text, { x: (left + right) / 2, y: (top + bottom) / 2, half }, { stays: true, colour });
  }
}

const areaOf = (box) => (box[2] - box[0]) * (box[3] - box[1]);

/** A box moved by a step, without leaving the picture. */
function nudged(box, step) {
  const moves = [0, 1].map((axis) => Math.min(Math.max(step[axis], -box[axis]), 1 - box[axis + 2]));
  return box.map((side, index) => side + moves[index % 2]);
}

/** The sheet that boxes are drawn on, with faint lines at its thirds. */
function paintGround(context, { x, y, width, height }) {
  context.fillStyle = "rgba(128, 128, 128, 0.18)";
  context.fillRect(x, y, width, height);
  context.strokeStyle = "rgba(160, 160, 160, 0.35)";
  context.lineWidth = 1;
  context.beginPath();
  for (const share of [1 / 3, 2 / 3]) {
    context.moveTo(x + share * width, y);
    context.lineTo(x + share * width, y + height);
    context.moveTo(x, y + share * height);
    context.lineTo(x + width, y + share * height);
  }
  context.stroke();
  context.strokeStyle = "rgba(160, 160, 160, 0.7)";
  context.strokeRect(x, y, width, height);
}

function paintHandles(context, [left, top, right, bottom]) {
  context.fillStyle = "white";
  const [middle, centre] = [(left + right) / 2, (top + bottom) / 2];
  for (const x of [left, middle, right]) {
    for (const y of [top, centre, bottom]) {
      if (x !== middle || y !== centre) context.fillRect(x - 3, y - 3, 6, 6);
    }
  }
}

/** As much of a text as fits. */
function shortened(context, text, width) {
  let cut = text;
  while (cut.length > 1 && context.measureText(cut === text ? cut : `${cut}…`).width > width) cut = cut.slice(0, -1);
  return cut === text ? cut : `${cut}…`;
}
