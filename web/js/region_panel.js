/** The elements that editors on nodes are made of. */

import { say } from "./words.js";

// Stands in the editor's own element and names nothing else: the page is shared with other packs.
const STYLE = `<style>
.conceptatelier-regions { display: flex; flex-direction: column; gap: 4px; height: 100%; width: 100%;
  font: 12px sans-serif; color: var(--input-text, #ddd); box-sizing: border-box; pointer-events: auto; }
.conceptatelier-regions .view { position: relative; flex: 1; min-height: 0; background: var(--comfy-input-bg, #222);
  border-radius: 4px; overflow: hidden; }
.conceptatelier-regions canvas { position: absolute; inset: 0; width: 100%; height: 100%; }
.conceptatelier-regions .view p { position: absolute; inset: 0; margin: 8px; opacity: 0.8; pointer-events: none; }
.conceptatelier-regions .view input { position: absolute; width: 120px; transform: translate(-50%, -50%);
  text-align: center; }
.conceptatelier-regions .bar { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.conceptatelier-regions .bar span { flex-basis: 100%; min-height: 15px; max-height: 30px;
  overflow: hidden; line-height: 15px; }
.conceptatelier-regions button { font: inherit; padding: 2px 8px; color: inherit; cursor: pointer; border-radius: 4px;
  background: var(--comfy-input-bg, #333); border: 1px solid var(--border-color, #555); }
.conceptatelier-regions button:disabled { opacity: 0.4; cursor: default; }
</style>`;

/** A canvas with a hint and an input over it, and below it a line of words and buttons; `help` is shown over the canvas. */
export function panel(names, help) {
  const root = made("div", "conceptatelier-regions");
  root.insertAdjacentHTML("beforeend", STYLE);
  const view = made("div", "view", root);
  const canvas = made("canvas", "", view);
  canvas.title = say(help);
  const hint = made("p", "", view);
  const input = made("input", "", view);
  input.hidden = true;
  const bar = made("div", "bar", root);
  const status = made("span", "", bar);
  const buttons = Object.fromEntries(names.map((name) => [name, made("button", name, bar)]));
  for (const name of names) buttons[name].textContent = say(name);
  return { root, canvas, hint, input, status, buttons };
}

function made(kind, name, parent) {
  const element = document.createElement(kind);
  if (name) element.className = name;
  parent?.append(element);
  return element;
}
