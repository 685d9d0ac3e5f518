/**
 * What stands under the inputs of an Edit Concepts node: its regions, to be clicked, and what came of it.
 *
 * It holds no choice of its own: clicks write the node's text inputs, and what is drawn is read back from them.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { TEXTS, merged, outcome, renamed, split, strangers, toggled } from "./choices.js";
import { chain, outputsOf } from "./nodes.js";
import { panel } from "./region_panel.js";
import { draw, nameAt, placeOf, readRegions } from "./regions.js";
import { say } from "./words.js";

const KEY = "atelier_regions";
const LEAST_HEIGHT = { empty: 110, full: 320 };

export class RegionEditor {
  constructor(node) {
    this.node = node;
    this.regions = null;
    this.entry = null;
    this.hovered = null;
    this.selected = [];
    this.notice = "";
    this.before = null;
    this.build();
    this.listen();
    this.refresh();
  }

  // What it is made of

  build() {
    Object.assign(this, panel(["merge", "split", "reset"], "help"));
    const widget = this.node.addDOMWidget("regions", "atelier_regions", this.root, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => (this.entry ? LEAST_HEIGHT.full : LEAST_HEIGHT.empty),
    });
    widget.serialize = false;
  }

  listen() {
    this.canvas.addEventListener("click", (event) => this.clicked(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(this.nameUnder(event)));
    this.canvas.addEventListener("pointerleave", () => this.hover(null));
    // Without this a drag that starts here would move the node.
    this.root.addEventListener("pointerdown", (event) => event.button === 0 && event.stopPropagation());
    this.root.addEventListener("wheel", (event) => window.LiteGraph.vueNodesMode || app.canvas.processMouseWheel(event));
    this.input.addEventListener("keydown", (event) => this.typed(event));
    this.input.addEventListener("blur", () => this.closeInput(true));
    this.buttons.merge.addEventListener("click", () => this.change(merged(this.known, this.texts, this.selected)));
    this.buttons.split.addEventListener("click", () => this.change(split(this.texts, this.selected)));
    this.buttons.reset.addEventListener("click", () => this.change(Object.fromEntries(TEXTS.map((name) => [name, ""]))));
    new ResizeObserver(() => this.refresh()).observe(this.canvas);
    for (const widget of this.widgets.values()) chain(widget, "callback", () => this.refresh());
  }

  // What the node says

  get widgets() {
    return new Map(TEXTS.map((name) => [name, this.node.widgets.find((widget) => widget.name === name)]));
  }

  get texts() {
    return Object.fromEntries([...this.widgets].map(([name, widget]) => [name, String(widget?.value ?? "")]));
  }

  get known() {
    return this.regions.concepts.map((concept) => concept.name);
  }

  /** Inputs that come by a link: their widgets hold nothing. */
  get linked() {
    const links = (this.node.inputs ?? []).filter((input) => input.link != null);
    return links.map((input) => input.widget?.name).filter((name) => TEXTS.includes(name));
  }

  /** Write new texts into the inputs; null says why not in `why`. */
  change(texts, why = "") {
    this.notice = texts ? "" : why;
    const now = this.texts;
    const changed = texts ? TEXTS.filter((name) => texts[name] !== now[name]) : [];
    const fixed = changed.find((name) => this.linked.includes(name));
    if (fixed) this.notice = say("linked", { input: this.labelOf(fixed) });
    else changed.forEach((name) => this.write(name, texts[name]));
    if (changed.length && !fixed) this.selected = [];
    this.refresh();
    this.node.setDirtyCanvas(true, true);
    app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.();
  }

  write(name, text) {
    const widget = this.widgets.get(name);
    widget.value = text;
    widget.callback?.(text, app.canvas, this.node);
  }

  labelOf(name) {
    return this.widgets.get(name)?.label ?? name;
  }

  // What the page does

  clicked(event) {
    const name = this.nameUnder(event);
    if (!this.regions || !name) this.selected = [];
    else if (event.shiftKey || event.ctrlKey || event.metaKey) this.select(name);
    else if (event.detail > 1) return this.openInput(name, event);
    else {
      this.before = this.texts;
      this.change(toggled(this.known, this.before, name), say("last"));
      return;
    }
    this.notice = "";
    this.refresh();
  }

  select(name) {
    this.selected = this.selected.includes(name)
      ? this.selected.filter((other) => other !== name)
      : [...this.selected, name];
  }

  /** Ask for a name where the pointer is; the first click of the two is taken back. */
  openInput(name, event) {
    if (this.before) this.change(this.before);
    this.before = null;
    this.asked = name;
    const { x, y } = this.pointOf(event);
    Object.assign(this.input.style, { left: `${x}px`, top: `${y}px` });
    this.input.value = outcome(this.known, this.texts).get(name).label;
    this.input.hidden = false;
    this.input.focus();
    this.input.select();
  }

  typed(event) {
    event.stopPropagation();
    if (event.key === "Enter") this.closeInput(true);
    if (event.key === "Escape") this.closeInput(false);
  }

  closeInput(take) {
    if (this.input.hidden) return;
    this.input.hidden = true;
    if (take && this.regions) this.change(renamed(this.known, this.texts, this.asked, this.input.value), say("name"));
  }

  hover(name) {
    if (name === this.hovered) return;
    this.hovered = name;
    if (name) this.notice = "";
    this.canvas.style.cursor = name ? "pointer" : "default";
    this.refresh();
  }

  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.clientWidth / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  nameUnder(event) {
    if (!this.regions) return null;
    const { x, y } = this.pointOf(event);
    return nameAt(this.regions, placeOf(this.regions, this.canvas.clientWidth, this.canvas.clientHeight), x, y);
  }

  // What a run brings

  /** Take up what a run sent for the node. */
  take(output) {
    this.show(output?.[KEY]?.[0]);
  }

  /** Of two entries that arrive close together, the later one stays. */
  async show(entry) {
    if (!entry || entry === this.entry) return;
    this.entry = entry;
    const read = await readRegions(entry, urlOf).catch(() => null);
    if (entry !== this.entry) return;
    this.regions = read;
    this.selected = [];
    this.hovered = null;
    this.notice = read ? "" : say("gone");
    this.makeRoom();
    this.refresh();
  }

  makeRoom() {
    const [width, height] = this.node.computeSize();
    this.node.setSize([Math.max(this.node.size[0], width), Math.max(this.node.size[1], height)]);
    this.node.setDirtyCanvas(true, true);
  }

  failed() {
    this.notice = this.regions ? say("failed") : "";
    this.refresh();
  }

  /** Pages that are changed to and back make their nodes anew; what they showed is still known to the page. */
  recall() {
    this.take(outputsOf(this.node));
  }

  // What is seen

  refresh() {
    this.drawn = JSON.stringify(this.texts);
    const names = this.regions ? this.looks() : new Map();
    this.paint(names);
    this.hint.textContent = this.regions ? "" : this.notice || say("empty");
    this.status.textContent = this.regions ? this.notice || this.statusOf(names) : "";
    this.status.title = this.status.textContent;
    this.buttons.merge.disabled = this.selected.length < 2;
    this.buttons.split.disabled = !this.regions || !split(this.texts, this.selected);
    this.buttons.reset.disabled = TEXTS.every((name) => !this.texts[name]);
  }

  /** Redraw if an input was changed by hand. */
  refreshIfChanged() {
    if (this.drawn !== JSON.stringify(this.texts)) this.refresh();
  }

  looks() {
    const now = outcome(this.known, this.texts);
    const colours = new Map(this.regions.concepts.map((concept) => [concept.name, concept.colour]));
    const under = this.hovered && now.get(this.hovered)?.leader;
    const looked = (name, of) => ({
      ...of,
      colour: colours.get(of.leader) ?? colours.get(name),
      hovered: of.leader === under,
      selected: this.selected.includes(name),
      written: of.leader === name || !of.stays,
    });
    return new Map([...now].map(([name, of]) => [name, looked(name, of)]));
  }

  paint(looks) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const density = 2;
    Object.assign(this.canvas, { width: width * density, height: height * density });
    if (!this.regions || !width || !height) return;
    const context = this.canvas.getContext("2d");
    context.scale(density, density);
    draw(context, this.regions, placeOf(this.regions, width, height), looks);
  }

  /** The line below: about the concept under the pointer, names that are wrong, or what comes out. */
  statusOf(looks) {
    if (this.hovered) return this.describe(this.hovered, looks.get(this.hovered));
    const unknown = strangers(this.known, this.texts);
    if (unknown.length) return say("unknown", { names: unknown.join(", ") });
    const out = [...looks.values()].filter((look) => look.stays).map((look) => `<${look.label}>`);
    return say("result", { names: [...new Set(out)].join(", ") });
  }

  describe(name, look) {
    const { score, area } = this.regions.concepts.find((concept) => concept.name === name);
    const parts = [say("region", { name, score: score.toFixed(2), area: Math.round(area * 100) })];
    if (!look.stays) parts.push(say("dropped"));
    else if (look.label !== name) parts.push(say("into", { name: look.label }));
    return parts.join(", ");
  }
}

const urlOf = (file) => api.apiURL(`/view?${new URLSearchParams(file)}`);
