// The state of the page, and its form in the fragment of the URL. Browsers send no fragment, so no text reaches a log.

/**
 * @typedef {object} Settings settings of one column
 * @property {string} model "" means the default model
 * @property {number | null} topN
 * @property {number | null} minScore
 * @property {string} scoreType "" means the probability that the model defines
 * @property {string} instruction
 * @property {number | null} maxTokens tokens per document
 * @property {number} highlights sentences per result; 0: none
 */
/** @typedef {"one" | "order" | "two"} View */
/**
 * @typedef {object} State
 * @property {string} query
 * @property {string} text the documents as they were typed
 * @property {import("./documents/parse.js").Format} format
 * @property {string} field
 * @property {View} view
 * @property {[Settings, Settings]} columns
 */

/** Longest fragment, in characters. Longer ones are cut by some programs that open links. */
const MAX_FRAGMENT = 30_000;
const VERSION = 1;

/** @returns {Settings} */
export function defaultSettings() {
  return { model: "", topN: null, minScore: null, scoreType: "", instruction: "", maxTokens: null, highlights: 0 };
}

/**
 * Return the fragment of a state, without `#`; null if it would be too long for a link.
 * @param {State} state
 * @returns {string | null}
 */
export function toFragment(state) {
  const bytes = new TextEncoder().encode(JSON.stringify({ v: VERSION, ...state }));
  if (bytes.length > MAX_FRAGMENT) return null;
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const fragment = base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return fragment.length > MAX_FRAGMENT ? null : fragment;
}

/**
 * Return the state of a fragment; null if it is not one of ours. Values of a wrong type become their defaults.
 * @param {string} fragment with or without `#`
 * @returns {State | null}
 */
export function fromFragment(fragment) {
  const sent = decoded(fragment.replace(/^#/, ""));
  if (sent === null || typeof sent !== "object" || sent.v !== VERSION) return null;
  const columns = Array.isArray(sent.columns) ? sent.columns : [];
  return {
    query: text(sent.query),
    text: text(sent.text),
    format: oneOf(sent.format, ["lines", "json", "csv"]),
    field: text(sent.field),
    view: oneOf(sent.view, ["one", "order", "two"]),
    columns: [settings(columns[0]), settings(columns[1])],
  };
}

/** @param {string} fragment */
function decoded(fragment) {
  if (!fragment || fragment.length > MAX_FRAGMENT) return null;
  try {
    const binary = atob(fragment.replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))));
  } catch {
    return null;
  }
}

/**
 * @param {any} sent
 * @returns {Settings}
 */
function settings(sent) {
  return {
    model: text(sent?.model),
    topN: number(sent?.topN),
    minScore: number(sent?.minScore),
    scoreType: oneOf(sent?.scoreType, ["", "raw", "sigmoid", "calibrated"]),
    instruction: text(sent?.instruction),
    maxTokens: number(sent?.maxTokens),
    highlights: Math.min(5, Math.max(0, Math.round(number(sent?.highlights) ?? 0))),
  };
}

/** @param {unknown} value */
function text(value) {
  return typeof value === "string" ? value : "";
}

/** @param {unknown} value */
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/**
 * @template {string} T
 * @param {unknown} value
 * @param {T[]} choices the first is the default
 * @returns {T}
 */
function oneOf(value, choices) {
  return choices.find((choice) => choice === value) ?? choices[0];
}
