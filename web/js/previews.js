/**
 * A node that has run shows its own pictures, no longer the live preview that was drawn on the way.
 *
 * The page keeps the last live preview until the next run and shows it in place of the node's pictures, in Nodes 2.0
 * below them once more. No call of its API drops it: its store does, where it is found. Elsewhere the preview stays.
 */

import { app } from "../../../scripts/app.js";
import { chain, locatorOf } from "./nodes.js";

const PREFIX = "ConceptAtelier";

function drop(node) {
  const page = document.getElementById("vue-app")?.__vue_app__;
  const store = page?.config.globalProperties.$pinia?._s.get("nodeOutput");
  store?.revokePreviewsByLocatorId?.(locatorOf(node));
}

app.registerExtension({
  name: "conceptatelier.Previews",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith(PREFIX)) return;
    chain(node, "onExecuted", (output) => output?.images?.length && drop(node));
  },
});
