// The header Server-Timing.

/** @typedef {{queue: number, tokenize: number, inference: number, total: number}} Timing milliseconds */

/**
 * Return the parts of the time, or null if one is missing.
 * @param {string} header such as `queue;dur=1.2, tokenize;dur=0.4, inference;dur=8.1, total;dur=9.9`
 * @returns {Timing | null}
 */
export function parseServerTiming(header) {
  /** @type {Record<string, number>} */
  const parts = {};
  for (const entry of header.split(",")) {
    const [name, ...parameters] = entry.split(";").map((part) => part.trim());
    const duration = parameters.find((parameter) => parameter.startsWith("dur="));
    if (duration) parts[name] = Number.parseFloat(duration.slice(4));
  }
  const { queue, tokenize, inference, total } = parts;
  return [queue, tokenize, inference, total].every(Number.isFinite) ? { queue, tokenize, inference, total } : null;
}

/**
 * Return a time for people: `0.4 ms`, `12 ms`, `3.2 s`.
 * @param {number} milliseconds
 */
export function shownTime(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return milliseconds >= 10 ? `${Math.round(milliseconds)} ms` : `${milliseconds.toFixed(1)} ms`;
}
