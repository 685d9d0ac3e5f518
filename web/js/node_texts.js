/**
 * What our nodes say of a run, under them: names and scores, notes, files that were written.
 *
 * Nodes send it as ComfyUI's own `text`, which the page shows for a node of its own only.
 */

import { app } from "../../../scripts/app.js";
import { chain, outputsOf } from "./nodes.js";

const PREFIX = "ConceptAtelier";
// Says it itself.
const WITHOUT = ["ConceptAtelierEditConcepts"];
const STYLE = {
  font: "12px/1.35 sans-serif",
  color: "var(--input-text, #ddd)",
  background: "var(--comfy-input-bg, #222)",
  whiteSpace: "pre-wrap",
  overflowWrap: "anywhere",
  overflow: "auto",
  width: "100%",
  height: "100%",
  boxSizing: "border-box",
  padding: "4px 6px",
  borderRadius: "4px",
  userSelect: "text",
};
const LINE = 17;
const LETTER = 6.2;
const MOST_LINES = 5;

const nodes = new Set();

function show(node, output) {
  const text = (output?.text ?? []).join("\n");
  if (!text) return;
  let widget = node.widgets?.find((one) => one.name === "said");
  if (!widget) widget = add(node);
  widget.element.textContent = text;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
  node.setDirtyCanvas(true, true);
}

function add(node) {
  const element = document.createElement("div");
  Object.assign(element.style, STYLE);
  element.addEventListener("wheel", (event) => window.LiteGraph.vueNodesMode || app.canvas.processMouseWheel(event));
  const height = () => 28 + LINE * Math.min(MOST_LINES, linesOf(element.textContent, node.size[0] - 36));
  const widget = node.addDOMWidget("said", "atelier_text", element, {
    serialize: false,
    hideOnZoom: true,
    getMinHeight: height,
    getMaxHeight: height,
  });
  widget.serialize = false;
  return widget;
}

/** About how many lines a text takes in a width. */
const linesOf = (text, width) => text.split("\n").reduce((sum, line) => sum + wrapped(line, width / LETTER), 0);

/** Of one line: words that fit stand beside each other, those too long for any line are broken. */
function wrapped(line, most) {
  let [lines, used] = [1, 0];
  for (const { length } of line.split(/(?<=[\s-])/)) {
    if (used && used + length > most) [lines, used] = [lines + 1, 0];
    used += length;
    for (; used > most; used -= most) lines += 1;
  }
  return lines;
}

app.registerExtension({
  name: "conceptatelier.NodeTexts",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith(PREFIX) || WITHOUT.includes(node.comfyClass)) return;
    chain(node, "onExecuted", (output) => show(node, output));
    chain(node, "onAdded", () => nodes.add(node));
    chain(node, "onRemoved", () => nodes.delete(node));
  },

  /** A tab that is changed to gets back what its nodes showed, after its nodes were made. */
  onNodeOutputsUpdated() {
    for (const node of nodes) show(node, outputsOf(node));
  },
});
