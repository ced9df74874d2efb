// Rows of a ranking: what a card shows of a result.

import { rankedText } from "./documents/ranked_text.js";

/**
 * @typedef {object} Row
 * @property {number} index position of the document in the request, from 0
 * @property {number} rank from 1
 * @property {number} move ranks that the document went up against the order of the request
 * @property {number} score
 * @property {number} width of the bar, from 0 to 1
 * @property {string} text
 * @property {import("./codepoints.js").Span | null} window
 * @property {number} windows
 * @property {import("./codepoints.js").Span[]} highlights
 * @property {boolean} unmarked true if there are marks that the page cannot place
 * @property {boolean} truncated
 */

const NAMES = /** @type {Record<string, string>} */ ({ raw: "logit", sigmoid: "sigmoid", calibrated: "calibrated" });

/**
 * Return the rows of a ranking, best first.
 * @param {import("./api.js").Answer} answer
 * @param {import("./documents/parse.js").Sent[]} documents
 * @returns {Row[]}
 */
export function rows(answer, documents) {
  const results = /** @type {any[]} */ (answer.response.results);
  const width = widths(results.map((result) => result.relevance_score), answer.scoreType);
  return results.map((result, at) => {
    const { text, exact } = rankedText(documents[result.index]);
    const window = isSpan(result.best_window) ? result.best_window : null;
    const highlights = Array.isArray(result.highlights) ? result.highlights.filter(isSpan) : [];
    return {
      index: result.index,
      rank: at + 1,
      move: result.index - at,
      score: result.relevance_score,
      width: width(result.relevance_score),
      text,
      window: exact ? window : null,
      windows: result.windows ?? 1,
      highlights: exact ? highlights : [],
      unmarked: !exact && (window !== null || highlights.length > 0),
      truncated: Boolean(result.truncated),
    };
  });
}

/**
 * Return whether a value is a part of a text, as results have it.
 * @param {any} value
 */
function isSpan(value) {
  return Number.isInteger(value?.start) && Number.isInteger(value?.end) && 0 <= value.start && value.start <= value.end;
}

/**
 * Return the function from a score to the width of its bar. Logits have no bounds: they fill the bar from the lowest to
 * the highest of the ranking.
 * @param {number[]} scores
 * @param {string} scoreType
 * @returns {(score: number) => number}
 */
function widths(scores, scoreType) {
  const bounded = scoreType !== "raw" && scores.every((score) => score >= 0 && score <= 1);
  if (bounded) return (score) => score;
  const low = Math.min(...scores);
  const range = Math.max(...scores) - low;
  return (score) => (range > 0 ? 0.04 + (0.96 * (score - low)) / range : 1);
}

/**
 * Return the name of a type of scores, for people.
 * @param {string} scoreType
 */
export function scoreName(scoreType) {
  return NAMES[scoreType] ?? "score";
}

/**
 * Return a score for people. A logit has a sign.
 * @param {number} score
 * @param {string} scoreType
 */
export function shownScore(score, scoreType) {
  if (scoreType === "raw") return `${score < 0 ? "−" : "+"}${Math.abs(score).toFixed(2)}`;
  if (score > 0 && score < 0.0005) return "<0.001";
  return score.toFixed(3);
}
