/**
 * Presets that were renamed: a workflow that was saved before shows and sends today's name. The server takes the old
 * names too, for API files.
 */

import { app } from "../../../scripts/app.js";
import { chain } from "./nodes.js";

const PREFIX = "ConceptAtelier";
const OLD_CHOICES = "atelier_old_choices";

/** Input name to what its old choices are called now, {"preset": {"lab": "small"}}, as the node's schema says. */
function renamedOf(node) {
  const { required = {}, optional = {} } = node.constructor.nodeData?.input ?? {};
  const all = Object.entries({ ...required, ...optional });
  return all.filter(([, spec]) => spec[1]?.[OLD_CHOICES]).map(([name, spec]) => [name, spec[1][OLD_CHOICES]]);
}

function update(node) {
  for (const [name, renamed] of renamedOf(node)) {
    const widget = node.widgets?.find((one) => one.name === name);
    if (widget && Object.hasOwn(renamed, widget.value)) widget.value = renamed[widget.value];
  }
}

app.registerExtension({
  name: "conceptatelier.OldPresets",

  nodeCreated(node) {
    if (node.comfyClass?.startsWith(PREFIX)) chain(node, "onConfigure", () => update(node));
  },
});
