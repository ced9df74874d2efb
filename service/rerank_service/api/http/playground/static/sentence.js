// The outcome of a ranking in words.

import { shownTime } from "./timing.js";

/**
 * Return a sentence about a ranking, for the status line.
 * @param {import("./column.js").Column} column
 * @param {import("./api.js").Answer} answer
 * @param {boolean} named
 */
export function sentence(column, answer, named) {
  const [best] = answer.response.results;
  const what = best ? `Document ${best.index + 1} is the best of ${answer.request.documents.length}.` : "No document has the minimum score.";
  return `${named ? `${column.name}: ` : ""}${what} ${shownTime(answer.elapsed)}.`;
}
