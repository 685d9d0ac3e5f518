/** Compose Concepts with a canvas under its inputs, on which a box is drawn for each concept. */

import { app } from "../../../scripts/app.js";
import { BoxEditor } from "./box_editor.js";
import { chain } from "./nodes.js";

const NODE = "ConceptAtelierComposeConcepts";

app.registerExtension({
  name: "conceptatelier.ComposeConcepts",

  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const editor = new BoxEditor(node);
    chain(node, "onConfigure", (saved) => editor.configured(saved));
    chain(node, "onConnectionsChange", () => editor.refresh());
    chain(node, "onDrawForeground", () => editor.refreshIfChanged());
  },
});
