/**
 * What the texts of Compose Concepts say of boxes, and how they are drawn, moved and stretched. Places are read as
 * host/jobs/compose/composing.py reads them. Nothing here knows of a page. A box is [left, top, right, bottom], shares of
 * the picture's sides.
 */

export const PLACES = {
  left: [0, 0, 0.5, 1],
  right: [0.5, 0, 1, 1],
  top: [0, 0, 1, 0.5],
  bottom: [0, 0.5, 1, 1],
  middle: [0.25, 0.25, 0.75, 0.75],
  everywhere: [0, 0, 1, 1],
  "top left": [0, 0, 0.5, 0.5],
  "top right": [0.5, 0, 1, 0.5],
  "bottom left": [0, 0.5, 0.5, 1],
  "bottom right": [0.5, 0.5, 1, 1],
  "middle left": [0, 0.25, 0.5, 0.75],
  "middle right": [0.5, 0.25, 1, 0.75],
  "top middle": [0.25, 0, 0.75, 0.5],
  "bottom middle": [0.25, 0.5, 0.75, 1],
  "left third": [0, 0, 1 / 3, 1],
  "middle third": [1 / 3, 0, 2 / 3, 1],
  "right third": [2 / 3, 0, 1, 1],
};
export const FOUND = "found";
export const COLOURS = [
  [230, 60, 80], [40, 130, 230], [40, 170, 90], [240, 160, 30],
  [150, 80, 210], [20, 180, 190], [235, 110, 190], [130, 110, 60],
];
/** Least side of a box, and how near to an edge of the picture or of its thirds it snaps. */
export const LEAST = 0.02;
const SNAP = 0.015;
const GUIDES = [0, 1 / 3, 0.5, 2 / 3, 1];

const linesOf = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

/** One entry for each concept: its name, its box or null, the words of its place, and its options (weight= and the like). */
export function entriesOf(concepts, places) {
  const lines = linesOf(places);
  return linesOf(concepts).map((name, index) => ({ name, ...placeIn(lines[index] ?? "") }));
}

/** What a line says of a place; `box` is null where the place is found by words, undefined where the line is wrong. */
export function placeIn(line) {
  const words = line.replaceAll(",", " ").split(/\s+/).filter(Boolean);
  const options = words.filter((word) => word.includes("=")).join(" ");
  const place = line.replaceAll(/[^\s,]*=[^\s,]*/g, "").replace(/[\s,]+$/, "").trim();
  const said = words.filter((word) => !word.includes("=")).join(" ").toLowerCase();
  if (!said || said === FOUND) return { box: null, place, options };
  const numbers = said.split(" ").map(Number);
  const four = numbers.length === 4 && numbers.every((number) => number >= 0 && number <= 1);
  const right = four && numbers[0] < numbers[2] && numbers[1] < numbers[3];
  return { box: PLACES[said] ?? (right ? numbers : undefined), place, options };
}

/** The two texts of entries. Names of places stay where the box is that of the name. */
export function textsOf(entries) {
  const placed = entries.some((entry) => entry.box !== null || entry.options);
  const lines = entries.map(({ box, place, options }) => [written(box, place), options].filter(Boolean).join(" "));
  return { concepts: entries.map((entry) => entry.name).join("\n"), places: placed ? lines.join("\n") : "" };
}

function written(box, place) {
  if (box === undefined) return place;
  if (box === null) return FOUND;
  const named = placeIn(place).box;
  if (named && same(named, box)) return place;
  return box.map((side) => String(Number(side.toFixed(3)))).join(", ");
}

const same = (one, other) => one.every((side, index) => Math.abs(side - other[index]) < 1e-6);

/** What the pointer takes hold of in a box: "move", some of the letters l, t, r, b for edges, or null. */
export function gripOf(box, [x, y], [reachX, reachY]) {
  const [left, top, right, bottom] = box;
  if (x < left - reachX || x > right + reachX || y < top - reachY || y > bottom + reachY) return null;
  // Of a small box the middle third stays for moving.
  const [marginX, marginY] = [Math.min(reachX, (right - left) / 3), Math.min(reachY, (bottom - top) / 3)];
  const across = x < left + marginX ? "l" : x > right - marginX ? "r" : "";
  const down = y < top + marginY ? "t" : y > bottom - marginY ? "b" : "";
  return across + down || "move";
}

/** A box after the pointer moved by a distance with a grip on it. */
export function dragged(box, grip, [dx, dy]) {
  const [left, top, right, bottom] = box;
  if (grip === "move") {
    const x = clamp(snapped(left + dx, right - left), 0, 1 - (right - left));
    const y = clamp(snapped(top + dy, bottom - top), 0, 1 - (bottom - top));
    return [x, y, x + right - left, y + bottom - top];
  }
  const moved = { l: left + dx, t: top + dy, r: right + dx, b: bottom + dy };
  const side = (name, now, low, high) => (grip.includes(name) ? clamp(snapped(moved[name]), low, high) : now);
  return [
    side("l", left, 0, right - LEAST), side("t", top, 0, bottom - LEAST),
    side("r", right, left + LEAST, 1), side("b", bottom, top + LEAST, 1),
  ];
}

/** The box between two points, null where it is too small to be meant. */
export function between(one, other) {
  const [x, y] = [0, 1].map((axis) => [one[axis], other[axis]].map((side) => clamp(snapped(side), 0, 1)).sort((a, b) => a - b));
  return x[1] - x[0] < LEAST || y[1] - y[0] < LEAST ? null : [x[0], y[0], x[1], y[1]];
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** A coordinate, moved to a guide that it, or what is `length` behind it, is close to. */
function snapped(value, length = 0) {
  for (const guide of GUIDES) {
    if (Math.abs(value - guide) < SNAP) return guide;
    if (length && Math.abs(value + length - guide) < SNAP) return guide - length;
  }
  return value;
}
