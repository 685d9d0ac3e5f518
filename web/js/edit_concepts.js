/**
 * Edit Concepts with regions that can be clicked, under its inputs.
 *
 * Every choice is written into the node's ordinary text inputs, and what is shown is read back from them: saved
 * workflows and the API hold all of it, and undoing is editing a text.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { chain } from "./nodes.js";
import { RegionEditor } from "./region_editor.js";

const NODE = "ConceptAtelierEditConcepts";
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
    api.addEventListener("execution_error", ({ detail }) => {
      const last = String(detail.node_id).split(":").at(-1);
      for (const [node, editor] of editors) if (String(node.id) === last) editor.failed();
    });
  },

  nodeCreated(node) {
    if (node.comfyClass === NODE) attach(node);
  },

  /** A tab that is changed to gets back what its nodes showed, after its nodes were made. */
  onNodeOutputsUpdated() {
    for (const editor of editors.values()) editor.recall();
  },
});
