/**
 * Workflows that were saved before a node got inputs between others: ComfyUI stores the values of widgets by position,
 * so that they would land in the wrong widgets. The file also lists the widgets by name, and those names count.
 * `host/workflow/widgets.py` reads files in the same way.
 */

import { app } from "../../../scripts/app.js";

const PREFIX = "ConceptAtelier";
const CONTROL = "control_after_generate";
const CONTROLS = ["fixed", "increment", "decrement", "randomize"];

const stored = (node) => (node.widgets ?? []).filter((widget) => widget.serialize !== false);

/** Name to value, as a file lists them; nothing where it stores other widgets than it lists. */
function byName(names, values) {
  const found = new Map();
  let next = 0;
  for (const name of names) {
    if (next >= values.length) return undefined;
    found.set(name, values[next++]);
    if (/^(noise_)?seed$/.test(name) && CONTROLS.includes(values[next])) found.set(CONTROL, values[next++]);
  }
  return next === values.length ? found : undefined;
}

/** The values of a saved node in the order of today's widgets; nothing where they are in that order already. */
function inTodaysOrder(node, { inputs, widgets_values: values }) {
  const names = (inputs ?? []).filter((input) => input.widget).map((input) => input.widget.name);
  const today = stored(node).map((widget) => widget.name);
  const own = today.filter((name) => name !== CONTROL);
  if (!Array.isArray(values) || !names.length || names.every((name, place) => own[place] === name)) return undefined;
  const found = byName(names, values);
  return found && stored(node).map((widget) => (found.has(widget.name) ? found.get(widget.name) : widget.value));
}

app.registerExtension({
  name: "conceptatelier.OldLayouts",

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith(PREFIX)) return;
    const configure = node.configure;
    node.configure = function (saved) {
      const values = inTodaysOrder(this, saved);
      return configure.call(this, values ? { ...saved, widgets_values: values } : saved);
    };
  },
});
