// The text of a document that the server ranks. Spans are positions in it.

/**
 * Return the ranked text: the document, or the fields of an object as `key: value` lines.
 * @param {import("./parse.js").Sent} document
 * @returns {{text: string, exact: boolean}} exact is false if positions in the text may differ from the server's
 */
export function rankedText(document) {
  if (typeof document === "string") return { text: document, exact: true };
  const fields = Object.entries(document).filter(([, value]) => value !== null && value !== undefined);
  const exact = fields.every(([, value]) => typeof value !== "object" && (typeof value !== "number" || sameEverywhere(value)));
  if (fields.length === 1) return { text: shown(fields[0][1]), exact };
  return { text: fields.map(([name, value]) => `${name}: ${shown(value)}`).join("\n"), exact };
}

/**
 * Return whether Python and JavaScript write a number in the same way: neither of them uses an exponent.
 * @param {number} value
 */
function sameEverywhere(value) {
  return Number.isSafeInteger(value) || (!Number.isInteger(value) && Math.abs(value) >= 1e-4 && Math.abs(value) < 1e16);
}

/** @param {unknown} value */
function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
