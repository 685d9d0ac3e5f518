/**
 * What the texts of Edit Concepts mean, and how a click changes them. They are read as core/masks/edit.py reads them.
 *
 * `known` are the names of the concepts that come in; `texts` has the four texts `keep`, `drop`, `merge`, `rename`.
 * Nothing here knows of a page. Functions that change something give the new texts, or null where that cannot be.
 */

const NAME = /^[\p{L}\p{M}\p{N}_-]+$/u;

export const TEXTS = ["keep", "drop", "merge", "rename"];

const bare = (text) => text.trim().replace(/^[<>]+|[<>]+$/g, "").trim();

/** "<apple>, 2" to ["apple", "2"]. */
export const namesIn = (text) => text.split(",").map(bare).filter(Boolean);

/** "1+3, 2+4" to [["1", "3"], ["2", "4"]]. */
export const groupsIn = (text) =>
  text.split(",").map((group) => namesIn(group.replaceAll("+", ","))).filter((group) => group.length);

/** "1=cat, 2=dog" to a map. */
export const newNamesIn = (text) =>
  new Map(namesIn(text).map((pair) => pair.split("=").map(bare)).filter((pair) => pair.length === 2));

const listed = (names) => [...new Set(names)].join(", ");
const written = (groups) => groups.filter((group) => group.length > 1).map((group) => group.join("+")).join(", ");
const groupOf = (texts, name) => groupsIn(texts.merge).find((group) => group.includes(name)) ?? [name];

/**
 * What becomes of every concept: whether it stays, the concept it is merged into (itself where it is not), and the
 * name that one has in the end.
 */
export function outcome(known, texts) {
  const kept = texts.keep.trim() ? namesIn(texts.keep) : known;
  const dropped = namesIn(texts.drop);
  const leaders = new Map(known.map((name) => [name, name]));
  const stays = (name) => leaders.has(name) && kept.includes(name) && !dropped.includes(name);
  for (const group of groupsIn(texts.merge)) {
    const left = group.filter(stays);
    left.forEach((name) => leaders.set(name, left[0]));
  }
  const renamed = newNamesIn(texts.rename);
  return new Map(
    known.map((name) => {
      const leader = leaders.get(name);
      return [name, { stays: stays(name), leader, label: renamed.get(leader) ?? leader }];
    }),
  );
}

/** Names in the texts that no concept has: the node will refuse them. */
export function strangers(known, texts) {
  const said = [texts.keep, texts.drop].flatMap(namesIn);
  said.push(...groupsIn(texts.merge).flat(), ...newNamesIn(texts.rename).keys());
  return [...new Set(said)].filter((name) => !known.includes(name));
}

/** Drop a concept, with all that is merged with it, or take it back. Null for the last one. */
export function toggled(known, texts, name) {
  const members = groupOf(texts, name);
  const now = outcome(known, texts);
  if (!now.get(name).stays) return takenBack(known, texts, members);
  if (!known.some((other) => now.get(other).stays && !members.includes(other))) return null;
  if (!texts.keep.trim()) return { ...texts, drop: listed([...namesIn(texts.drop), ...members]) };
  return { ...texts, keep: listed(namesIn(texts.keep).filter((other) => !members.includes(other))) };
}

/** One concept of several, under the name of the first; groups they were in come along. Null for less than two. */
export function merged(known, texts, names) {
  const members = [...new Set(names.flatMap((name) => [name, ...groupOf(texts, name)]))];
  if (members.length < 2) return null;
  const others = groupsIn(texts.merge).filter((group) => !group.some((name) => members.includes(name)));
  return { ...takenBack(known, texts, members), merge: written([...others, members]) };
}

/** Every group with one of these names taken apart. Null where there is none. */
export function split(texts, names) {
  const groups = groupsIn(texts.merge);
  const left = groups.filter((group) => !group.some((name) => names.includes(name)));
  return left.length < groups.length ? { ...texts, merge: written(left) } : null;
}

/** A new name for a concept, or for what it is merged into. Null for one that cannot be, or that another one has. */
export function renamed(known, texts, name, wish) {
  const wanted = bare(wish);
  const now = outcome(known, texts);
  const { leader } = now.get(name);
  const taken = [...now.values()].some((of) => of.stays && of.leader !== leader && of.label === wanted);
  if (!NAME.test(wanted) || taken) return null;
  const pairs = newNamesIn(texts.rename);
  pairs.delete(leader);
  if (wanted !== leader) pairs.set(leader, wanted);
  return { ...texts, rename: [...pairs].map((pair) => pair.join("=")).join(", ") };
}

function takenBack(known, texts, members) {
  const drop = listed(namesIn(texts.drop).filter((name) => !members.includes(name)));
  const back = members.filter((name) => known.includes(name));
  return { ...texts, drop, keep: texts.keep.trim() ? listed([...namesIn(texts.keep), ...back]) : "" };
}
