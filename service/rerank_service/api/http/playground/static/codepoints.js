// Positions in texts. The server counts Unicode code points; strings of JavaScript count UTF-16 units.

/** @typedef {{start: number, end: number}} Span positions in code points */
/** @typedef {{text: string, window: boolean, highlight: boolean}} Piece a part of a text, with its marks */

/**
 * Split a text at the ends of spans.
 * @param {string} text
 * @param {Span | null} window the best window
 * @param {Span[]} highlights
 * @returns {Piece[]} pieces whose texts are the text
 */
export function pieces(text, window, highlights) {
  const spans = [...(window ? [window] : []), ...highlights];
  const points = [...new Set([0, ...spans.flatMap((span) => [span.start, span.end])])].sort((a, b) => a - b);
  const units = unitOffsets(text, points);
  const inside = (/** @type {Span | null} */ span, /** @type {number} */ point) => span !== null && span.start <= point && point < span.end;
  return points
    .map((point, at) => ({
      text: text.slice(units[at], units[at + 1] ?? text.length),
      window: inside(window, point),
      highlight: highlights.some((span) => inside(span, point)),
    }))
    .filter((piece) => piece.text);
}

/**
 * Return the UTF-16 offsets of code points.
 * @param {string} text
 * @param {number[]} points ascending
 * @returns {number[]}
 */
export function unitOffsets(text, points) {
  const offsets = [];
  let point = 0;
  let unit = 0;
  for (const wanted of points) {
    while (point < wanted && unit < text.length) {
      unit += /** @type {number} */ (text.codePointAt(unit)) > 0xffff ? 2 : 1;
      point += 1;
    }
    offsets.push(unit);
  }
  return offsets;
}
