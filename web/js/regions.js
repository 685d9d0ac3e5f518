/** A picture with regions on a canvas: drawing them, and which one is under the pointer. No node, no widgets. */

const DARK = [16, 16, 20];
const LIGHT = [255, 255, 255];
const DIMMED = 0.6;
/** How dark what is no concept is drawn, and what was dropped. */
const DROPPED = 0.8;

/** The two files of a run, read: the picture, and for every pixel the number of its concept, 0 for none. */
export async function readRegions(entry, urlOf) {
  const [picture, labels] = await Promise.all([entry.picture, entry.labels].map((file) => loaded(urlOf(file))));
  const [width, height] = entry.size;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(labels, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const numbers = new Uint16Array(width * height);
  for (let i = 0; i < numbers.length; i++) numbers[i] = data[4 * i] + 256 * data[4 * i + 1];
  return { picture, numbers, edges: edgesOf(numbers, width, height), width, height, concepts: entry.concepts };
}

/** Where the picture lies on a canvas of this size: as large as fits, in the middle. */
export function placeOf(regions, width, height) {
  const scale = Math.min(width / regions.width, height / regions.height);
  return { scale, x: (width - regions.width * scale) / 2, y: (height - regions.height * scale) / 2 };
}

/** The name of the concept at a point of the canvas, null where there is none. */
export function nameAt(regions, place, x, y) {
  const column = Math.floor((x - place.x) / place.scale);
  const row = Math.floor((y - place.y) / place.scale);
  if (column < 0 || row < 0 || column >= regions.width || row >= regions.height) return null;
  return regions.concepts[regions.numbers[row * regions.width + column] - 1]?.name ?? null;
}

/**
 * Draw all of it. `looks` maps a name to how it looks: `stays`, `label`, `colour` [r, g, b], `hovered`, `selected`.
 * Names are written once for what is merged: on the region whose look has `written`.
 */
export function draw(context, regions, place, looks) {
  const [width, height] = [regions.width * place.scale, regions.height * place.scale];
  context.imageSmoothingEnabled = place.scale < 1;
  context.drawImage(regions.picture, place.x, place.y, width, height);
  context.imageSmoothingEnabled = true;
  context.drawImage(tinted(regions, looks), place.x, place.y, width, height);
  const taken = [];
  for (const concept of regions.concepts) {
    const look = looks.get(concept.name);
    if (look.written) taken.push(write(context, regions, place, concept.middle, look, taken));
  }
}

/** What lies over the picture: the rest dimmed, regions tinted, each with a dark line outside and a light one inside. */
function tinted(regions, looks) {
  const canvas = new OffscreenCanvas(regions.width, regions.height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(regions.width, regions.height);
  const ordered = regions.concepts.map((concept) => looks.get(concept.name));
  for (let i = 0; i < regions.numbers.length; i++) {
    const look = ordered[regions.numbers[i] - 1];
    const above = look ? over(look, regions.edges[i], i % regions.width, i / regions.width) : [...DARK, DIMMED * 255];
    image.data.set(above, 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** What lies over a pixel of a region: on one of its lines (1 outside, 2 inside), or within. */
function over(look, edge, x, y) {
  const strong = look.stays ? 255 : 140;
  if (edge === 1) return [...DARK, strong];
  if (edge === 2) return [...(look.selected ? look.colour : LIGHT), strong];
  if (look.stays) return [...look.colour, look.hovered || look.selected ? 150 : 75];
  const striped = (x + Math.floor(y)) % 8 < 2;
  return [...DARK, (striped ? 0.45 : look.hovered ? 0.6 : DROPPED) * 255];
}

/** Write a label as near to the middle of its region as the edge and the labels before it allow; gives its box. */
function write(context, regions, place, middle, look, taken) {
  const text = `<${look.label}>`;
  context.font = `${look.stays ? "" : "italic "}13px sans-serif`;
  const half = [context.measureText(text).width / 2 + 5, 10];
  const boxes = [0, -1, 1, -2, 2, -3, 3].map((step) => {
    const wish = [middle[0] * regions.width * place.scale, middle[1] * regions.height * place.scale + 21 * step];
    const x = place.x + inside(wish[0], half[0], regions.width * place.scale);
    const y = place.y + inside(wish[1], half[1], regions.height * place.scale);
    return { x, y, half };
  });
  const box = boxes.find((one) => !taken.some((other) => meet(one, other))) ?? boxes[0];
  paintLabel(context, text, box, look);
  return box;
}

/** A label at a point, in the colour of what it names. */
export function paintLabel(context, text, { x, y, half }, look) {
  const colour = look.stays ? look.colour : [90, 90, 90];
  context.fillStyle = `rgb(${colour.join()})`;
  context.beginPath();
  context.roundRect(x - half[0], y - half[1], 2 * half[0], 2 * half[1], 5);
  context.fill();
  const light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 150;
  context.fillStyle = light ? "black" : "white";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 1);
  if (!look.stays) context.fillRect(x - half[0] + 4, y, 2 * half[0] - 8, 1.5);
}

const inside = (wish, half, length) => Math.min(Math.max(wish, half), Math.max(half, length - half));

const meet = (one, other) =>
  Math.abs(one.x - other.x) < one.half[0] + other.half[0] && Math.abs(one.y - other.y) < one.half[1] + other.half[1];

/** For every pixel of a region 1 where it is next to another one or none, 2 just inside of that, else 0. The picture's
 * own edge does not count. */
function edgesOf(numbers, width, height) {
  const edges = new Uint8Array(numbers.length);
  const line = Math.max(1, Math.round(Math.max(width, height) / 400));
  const differs = (x, y, number) => x >= 0 && x < width && y >= 0 && y < height && numbers[y * width + x] !== number;
  const sides = [[1, 0], [-1, 0], [0, 1], [0, -1]];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const number = numbers[y * width + x];
      const near = (reach) => sides.some(([dx, dy]) => differs(x + dx * reach, y + dy * reach, number));
      if (number) edges[y * width + x] = near(line) ? 1 : near(2 * line) ? 2 : 0;
    }
  }
  return edges;
}

async function loaded(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}
