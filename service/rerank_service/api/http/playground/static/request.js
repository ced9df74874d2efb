// The body of a request, from the input and the settings of a column.

/**
 * @typedef {object} Call
 * @property {string} query
 * @property {import("./documents/parse.js").Sent[]} documents
 * @property {import("./state.js").Settings} settings
 */

/** Number of results up to which the page asks for highlights: the limit of a server, unless its operator changes it. */
const HIGHLIGHTED_RESULTS = 100;

/**
 * Return the body. Settings with their default are absent.
 * @param {Call} call
 * @returns {Record<string, any>}
 */
export function requestBody({ query, documents, settings }) {
  /** @type {Record<string, any>} */
  const body = { query, documents };
  if (settings.model) body.model = settings.model;
  if (settings.topN !== null) body.top_n = settings.topN;
  if (settings.minScore !== null) body.min_score = settings.minScore;
  if (settings.scoreType) body.score_type = settings.scoreType;
  if (settings.instruction) body.instruction = settings.instruction;
  if (settings.maxTokens !== null) body.max_tokens_per_doc = settings.maxTokens;
  const results = settings.topN || documents.length;
  if (settings.highlights && results <= HIGHLIGHTED_RESULTS) body.highlights = settings.highlights;
  return body;
}
