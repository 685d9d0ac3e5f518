/** Colours of our socket types, for the classic view and for Nodes 2.0. A palette that names one of them wins. */

import { app } from "../../../scripts/app.js";

export const COLOURS = {
  CONCEPTS: "#1fc7b6",
  CONCEPT_PICTURES: "#8fe3da",
  CONCEPT_TOKENS: "#b7e02d",
  ATTENTION_CAPTURE: "#5b7cff",
  ERASURE: "#d08a55",
  ERASURE_ATTACK: "#b5533c",
  CONCEPT_PROTOTYPES: "#d9c7a0",
  ACTIVATIONS: "#7fb7be",
  ACTIVATION_RECORDING: "#c79a6b",
  CONCEPT_BANK: "#c98fb5",
  CONCEPT_CODES: "#9fc27a",
  CONCEPT_SCORES: "#7fb0a0",
  CONCEPT_VECTORS: "#b07fc8",
  ERASURE_AUDIT: "#c8a07f",
  HEAD_OFFSETS: "#7f9fc8",
  CONCEPT_HEAD: "#b8a0d0",
  EMBEDDING_ALIGNMENT: "#8fa8c9",
  SKILL: "#c9a86a",
};

/** Ours where a palette says nothing, that is, where it writes an empty text. */
function fillIn(table) {
  for (const [type, ours] of Object.entries(COLOURS)) {
    let theirs = table[type];
    Object.defineProperty(table, type, {
      get: () => theirs || ours,
      set: (colour) => {
        theirs = colour;
      },
      configurable: true,
      enumerable: true,
    });
  }
}

/** Nodes 2.0 reads variables of the page; a palette sets them on the root element itself, which goes before this. */
function addVariables() {
  const rules = Object.entries(COLOURS).map(([type, colour]) => `--color-datatype-${type}: ${colour};`);
  const style = document.createElement("style");
  style.textContent = `:root { ${rules.join(" ")} }`;
  document.head.append(style);
}

app.registerExtension({
  name: "conceptatelier.Colours",

  setup() {
    addVariables();
    fillIn(app.canvas.default_connection_color_byType);
    fillIn(window.LGraphCanvas.link_type_colors);
  },
});
