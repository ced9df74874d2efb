// The parts of a long text that a card shows: around each highlight, else around the best window.

import { unitOffsets } from "./codepoints.js";

/** @typedef {import("./codepoints.js").Span} Span */
/** @typedef {import("./codepoints.js").Piece} Piece */

/** Length of an excerpt, in code points. */
const LENGTH = 420;
/** Code points before the first mark of a part. */
const BEFORE = 90;

/**
 * Return the parts of a text that have its marks, with "…" for what is left out; the same list if the text is short.
 * @param {string} text
 * @param {Piece[]} all the pieces of the whole text
 * @param {Span[]} marks what must be seen; empty: the beginning
 * @returns {Piece[]}
 */
export function excerpt(text, all, marks) {
  if (text.length <= LENGTH * 1.3) return all;
  const parts = cutAtWords(text, merged(marks.length ? marks : [{ start: 0, end: 0 }]));
  const gap = (/** @type {string} */ dots) => ({ text: dots, window: false, highlight: false });
  const shown = parts.flatMap(({ from, to }, at) => [...(from > 0 ? [gap(at ? " … " : "… ")] : []), ...clipped(all, from, to)]);
  return parts[parts.length - 1].to < text.length ? [...shown, gap(" …")] : shown;
}

/** @typedef {{from: number, first: number, last: number, to: number}} Part the ends of a part and of its marks */

/**
 * Return a part for each mark, in code points. Parts that touch are one.
 * @param {Span[]} marks
 * @returns {Part[]}
 */
function merged(marks) {
  const room = Math.floor(LENGTH / marks.length);
  const before = Math.min(BEFORE, Math.floor(room / 3));
  /** @type {Part[]} */
  const parts = [];
  for (const { start, end } of [...marks].sort((one, other) => one.start - other.start)) {
    const from = Math.max(0, start - before);
    const last = Math.min(end, start + LENGTH);
    const to = Math.max(last, from + room);
    const previous = parts[parts.length - 1];
    if (previous && from <= previous.to) Object.assign(previous, { last: Math.max(previous.last, last), to: Math.max(previous.to, to) });
    else parts.push({ from, first: start, last, to });
  }
  return parts;
}

/**
 * Return the parts in UTF-16 units. They end between words, if there are some beside the marks.
 * @param {string} text
 * @param {Part[]} parts
 * @returns {{from: number, to: number}[]}
 */
function cutAtWords(text, parts) {
  const units = unitOffsets(text, parts.flatMap(({ from, first, last, to }) => [from, first, last, to]));
  return parts.map((_, at) => {
    const [from, first, last, to] = units.slice(at * 4, at * 4 + 4);
    const head = from > 0 ? text.slice(from, first).replace(/^\S*\s+(?=\S|$)/u, "") : text.slice(from, first);
    const rest = text.slice(last, to);
    const tail = to < text.length ? rest.replace(/\s+\S*$/u, "") : rest;
    return { from: first - head.length, to: last + (tail || last > first ? tail : rest).length };
  });
}

/**
 * Return the pieces between two UTF-16 offsets.
 * @param {Piece[]} all
 * @param {number} from
 * @param {number} to
 */
function clipped(all, from, to) {
  const within = [];
  let at = 0;
  for (const piece of all) {
    const text = piece.text.slice(Math.max(0, from - at), Math.max(0, to - at));
    if (text) within.push({ ...piece, text });
    at += piece.text.length;
  }
  return within;
}
