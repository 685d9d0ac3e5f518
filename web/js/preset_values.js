/**
 * Numbers that stand for something else read so: "learning_rate (preset)" while its value is the one that leaves the
 * preset's. Only the label says it; values, saved workflows and the API stay numbers.
 */

import { app } from "../../../scripts/app.js";
import { chain } from "./nodes.js";
import { say } from "./words.js";

const PREFIX = "ConceptAtelier";
const READS = "atelier_reads";

/** Input name to what its values read as, {"steps": {"preset": 0}}, as the node's schema says. */
function readingsOf(node) {
  const { required = {}, optional = {} } = node.constructor.nodeData?.input ?? {};
  const all = Object.entries({ ...required, ...optional });
  return all.filter(([, spec]) => spec[1]?.[READS]).map(([name, spec]) => [name, spec[1][READS]]);
}

/** A label for a value: `label (word)` where the value reads as a word, else the label alone. */
export function labelFor(label, value, words) {
  const found = Object.entries(words).find(([, meant]) => meant === value);
  return found ? `${label} (${say(found[0])})` : label;
}

function attach(node) {
  const shown = [];
  for (const [name, words] of readingsOf(node)) {
    const widget = node.widgets?.find((one) => one.name === name);
    if (!widget) continue;
    const plain = widget.label ?? widget.name;
    const refresh = () => {
      widget.label = labelFor(plain, widget.value, words);
    };
    chain(widget, "callback", refresh);
    shown.push(refresh);
  }
  const all = () => shown.forEach((refresh) => refresh());
  chain(node, "onConfigure", all);
  all();
}

app.registerExtension({
  name: "conceptatelier.PresetValues",

  nodeCreated(node) {
    if (node.comfyClass?.startsWith(PREFIX)) attach(node);
  },
});
