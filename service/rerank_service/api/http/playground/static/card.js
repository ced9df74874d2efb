// One result as a card.

import { pieces } from "./codepoints.js";
import { el } from "./dom.js";
import { excerpt } from "./excerpt.js";
import { scoreName, shownScore } from "./rows.js";

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
  if (row.windows > 1) shown.push(el("span", { class: "flag", title: "The document is longer than the model's limit. It was scored in parts." }, row.unmarked ? `${row.windows} windows` : `${row.windows} windows, best one marked`));
  if (row.unmarked) shown.push(el("span", { class: "flag", title: "The page does not build the text of nested fields as the server does." }, "marks: see Response"));
  if (row.truncated) shown.push(el("span", { class: "flag warn", title: "A part of the text was not read." }, "truncated"));
  return shown.length ? el("p", { class: "flags" }, ...shown) : null;
}

/**
 * Return the text, shortened to the parts with its marks, with a button that shows all of it.
 * @param {Pick<import("./rows.js").Row, "text" | "window" | "highlights">} row
 */
function passage(row) {
  const all = pieces(row.text, row.window, row.highlights);
  const short = excerpt(row.text, all, row.highlights.length || !row.window ? row.highlights : [row.window]);
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

/** @param {string} text */
function hidden(text) {
  return el("span", { class: "hidden" }, text);
}
