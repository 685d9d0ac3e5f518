/** What our scripts do with nodes of any kind. */

import { app } from "../../../scripts/app.js";

/** Call `after` whenever a method of an object was called. */
export function chain(object, name, after) {
  const before = object[name];
  object[name] = function (...given) {
    const answer = before?.apply(this, given);
    after(...given);
    return answer;
  };
}

/** What the page calls a node by: its id, after that of the subgraph that it is in. */
export function locatorOf(node) {
  const { graph, id } = node;
  const outer = !graph || graph === (app.rootGraph ?? app.graph);
  return outer ? String(id) : `${graph.id}:${id}`;
}

/** What the page still knows of a node's last run, undefined where there is nothing. */
export const outputsOf = (node) => app.nodeOutputs?.[locatorOf(node)];
