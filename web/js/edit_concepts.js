/**
 * Edit Concepts with regions that can be clicked, under its inputs.
 *
 * Every choice is written into the node's ordinary text inputs, and what is shown is read back from them: saved
 * workflows and the API hold all of it, and undoing is editing a text.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { RegionEditor, chain } from "./region_editor.js";

const NODE = "ConceptAtelierEditConcepts";
const STYLE = `
.atelier-regions { display: flex; flex-direction: column; gap: 4px; height: 100%; width: 100%; font: 12px sans-serif;
  color: var(--input-text, #ddd); box-sizing: border-box; pointer-events: auto; }
.atelier-regions .view { position: relative; flex: 1; min-height: 0; background: var(--comfy-input-bg, #222);
  border-radius: 4px; overflow: hidden; }
.atelier-regions canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.atelier-regions .view p { position: absolute; inset: 0; margin: 8px; opacity: 0.8; pointer-events: none; }
.atelier-regions .view input { position: absolute; width: 120px; transform: translate(-50%, -50%); text-align: center; }
.atelier-regions .bar { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.atelier-regions .bar span { flex-basis: 100%; min-height: 15px; max-height: 30px; overflow: hidden; line-height: 15px; }
.atelier-regions button { font: inherit; padding: 2px 8px; color: inherit; cursor: pointer; border-radius: 4px;
  background: var(--comfy-input-bg, #333); border: 1px solid var(--border-color, #555); }
.atelier-regions button:disabled { opacity: 0.4; cursor: default; }
`;

const editors = new Map();

function attach(node) {
  const editor = new RegionEditor(node);
  // The picture of what comes out is for those who have no regions to click: here it would be a second picture.
  node.hideOutputImages = true;
  node.onDrawBackground = () => {};
  chain(node, "onExecuted", (output) => editor.take(output));
  chain(node, "onConfigure", () => setTimeout(() => editor.recall()));
  chain(node, "onDrawForeground", () => editor.refreshIfChanged());
  chain(node, "onAdded", () => editors.set(node, editor));
  chain(node, "onRemoved", () => editors.delete(node));
}

app.registerExtension({
  name: "conceptatelier.EditConcepts",

  setup() {
    document.head.append(Object.assign(document.createElement("style"), { textContent: STYLE }));
    api.addEventListener("execution_error", ({ detail }) => {
      const last = String(detail.node_id).split(":").at(-1);
      for (const [node, editor] of editors) if (String(node.id) === last) editor.failed();
    });
  },

  nodeCreated(node) {
    if (node.comfyClass === NODE) attach(node);
  },
});
