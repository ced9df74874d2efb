// One result as a card.

import { head, pieces } from "./codepoints.js";
import { el } from "./dom.js";
import { scoreName, shownScore } from "./rows.js";

const SHORT = 420;
/** Code points that are shown before the first mark of a shortened text. */
const BEFORE_MARK = 90;

/**
 * Return the card of a row.
 * @param {import("./rows.js").Row} row
 * @param {string} scoreType
 * @returns {HTMLElement}
 */
export function resultCard(row, scoreType) {
  const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("span"));
  /** @type {HTMLElement} */ (bar.firstElementChild).style.width = `${(Math.max(row.width, 0.005) * 100).toFixed(2)}%`;
  return el(
    "li",
    { class: "card", "data-index": row.index, tabindex: row.rank === 1 ? 0 : -1 },
    el("div", { class: "card-head" }, el("span", { class: "rank" }, String(row.rank)), move(row.move), bar, score(row.score, scoreType)),
    passage(row),
    flags(row),
  );
}

/**
 * Return the card of a document in the order that was sent.
 * @param {string} text
 * @param {number} index
 * @param {import("./rows.js").Row | undefined} row undefined: the ranking does not return the document
 * @param {string} scoreType
 */
export function sentCard(text, index, row, scoreType) {
  const place = row ? el("span", { class: "place" }, `now ${row.rank}`) : el("span", { class: "place" }, "not returned");
  return el(
    "li",
    { class: row ? "card" : "card absent", "data-index": index, tabindex: index === 0 ? 0 : -1 },
    el("div", { class: "card-head" }, el("span", { class: "rank" }, String(index + 1)), place, row && score(row.score, scoreType)),
    passage(row ?? { text, window: null, highlights: [] }),
  );
}

/** @param {number} ranks */
function move(ranks) {
  if (!ranks) return el("span", { class: "move", title: "same place as in the order that was sent" }, el("span", { "aria-hidden": "true" }, "="), hidden("same place"));
  const up = ranks > 0;
  const words = `${up ? "up" : "down"} ${Math.abs(ranks)}`;
  return el(
    "span",
    { class: `move ${up ? "up" : "down"}`, title: `${words} against the order that was sent` },
    el("span", { "aria-hidden": "true" }, `${up ? "▲" : "▼"}${Math.abs(ranks)}`),
    hidden(words),
  );
}

/**
 * @param {number} value
 * @param {string} scoreType
 */
function score(value, scoreType) {
  return el("span", { class: "score", title: String(value) }, el("strong", {}, shownScore(value, scoreType)), " ", el("small", {}, scoreName(scoreType)));
}

/** @param {import("./rows.js").Row} row */
function flags(row) {
  const shown = [];
  if (row.windows > 1) shown.push(el("span", { class: "flag", title: "The document is longer than the model's limit. It was scored in parts." }, `${row.windows} windows, best one marked`));
  if (row.truncated) shown.push(el("span", { class: "flag warn", title: "A part of the text was not read." }, "truncated"));
  return shown.length ? el("p", { class: "flags" }, ...shown) : null;
}

/**
 * Return the text, shortened around its first mark, with a button that shows all of it.
 * @param {Pick<import("./rows.js").Row, "text" | "window" | "highlights">} row
 */
function passage(row) {
  const all = pieces(row.text, row.window, row.highlights);
  const short = shortened(all);
  const text = el("p", { class: "passage" }, ...short.map(marked));
  if (short === all) return text;
  let open = false;
  const button = el("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => toggle() }, "Show all");
  const toggle = () => {
    open = !open;
    text.replaceChildren(...(open ? all : short).map(marked));
    button.textContent = open ? "Show less" : "Show all";
    button.setAttribute("aria-expanded", String(open));
  };
  return el("div", {}, text, button);
}

/** @param {import("./codepoints.js").Piece} piece */
function marked(piece) {
  if (!piece.window && !piece.highlight) return piece.text;
  const kind = [piece.window && "window", piece.highlight && "highlight"].filter(Boolean).join(" ");
  return el("mark", { class: kind }, piece.text);
}

/**
 * Return the pieces from shortly before the first mark on, at most SHORT code points; the same list if all of it fits.
 * @param {import("./codepoints.js").Piece[]} all
 */
function shortened(all) {
  const length = all.reduce((sum, piece) => sum + piece.text.length, 0);
  if (length <= SHORT * 1.3) return all;
  const first = Math.max(0, all.findIndex((piece) => piece.highlight || (piece.window && !all.some((other) => other.highlight))));
  const shown = [];
  let left = SHORT;
  const before = all[first - 1];
  if (first > 0 && before) {
    const end = tail(before.text);
    shown.push({ ...before, text: end.length < before.text.length || first > 1 ? `… ${end}` : end });
    left -= end.length;
  }
  for (const piece of all.slice(first)) {
    if (left <= 0) break;
    const text = piece.text.length > left ? head(piece.text, left).replace(/(?<=\S)\s+\S*$/u, "") : piece.text;
    left = text === piece.text ? left - text.length : 0;
    shown.push({ ...piece, text: text === piece.text ? text : `${text} …` });
  }
  return shown;
}

/**
 * Return the last words of a text, at most BEFORE_MARK code points.
 * @param {string} text
 */
function tail(text) {
  const points = [...text];
  if (points.length <= BEFORE_MARK) return text;
  const end = points.slice(-BEFORE_MARK).join("");
  return end.replace(/^\S*\s+(?=\S)/u, "");
}

/** @param {string} text */
function hidden(text) {
  return el("span", { class: "hidden" }, text);
}
