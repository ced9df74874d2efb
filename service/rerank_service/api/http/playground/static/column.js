// One column: settings, a call, and its ranking.

import { resultCard, sentCard } from "./card.js";
import { el } from "./dom.js";
import { placeOf, withNumbers } from "./field_errors.js";
import { rankedText } from "./documents/ranked_text.js";
import { rows } from "./rows.js";
import { SettingsForm } from "./settings_form.js";
import { shownTime } from "./timing.js";

/** Cards that are shown at first, and with each press of the button. */
const CARDS = 100;

/** A ranking with its settings. */
export class Column {
  /**
   * @param {string} name "A" or "B"
   * @param {import("./state.js").Settings} settings
   * @param {() => void} rank called after each change of the settings, and to try again
   */
  constructor(name, settings, rank) {
    this.name = name;
    this.rank = rank;
    this.form = new SettingsForm(name, settings, rank);
    this.summary = el("div", { class: "summary" });
    this.problem = el("div", { class: "banner", role: "alert", hidden: true });
    this.list = el("div", { class: "lists" });
    this.heading = el("h2", {}, "");
    /** @type {import("./api.js").Answer | null} */
    this.answer = null;
    this.element = el("section", { class: "column", "aria-label": `Ranking ${name}`, tabindex: "-1" }, this.heading, this.form.element, this.problem, this.summary, this.list);
  }

  /** Show that a call runs. */
  busy() {
    this.form.clear();
    if (this.problem.contains(document.activeElement)) this.element.focus(); // the button disappears
    this.problem.hidden = true;
    this.element.setAttribute("aria-busy", "true");
  }

  /** Show that no call runs. */
  idle() {
    this.element.removeAttribute("aria-busy");
  }

  /** @param {boolean} stale true if the input changed after the ranking */
  stale(stale) {
    this.element.toggleAttribute("data-stale", stale && this.answer !== null);
  }

  /**
   * Show a ranking.
   * @param {import("./api.js").Answer} answer
   * @param {import("./documents/parse.js").Sent[]} documents
   * @param {boolean} beside true: beside the order that was sent
   */
  show(answer, documents, beside) {
    this.answer = answer;
    const ranked = rows(answer, documents);
    const ranking = list("Ranking", ranked.map((row) => () => resultCard(row, answer.scoreType)));
    this.summary.replaceChildren(...summary(answer, ranked.length, documents.length));
    if (!ranked.length) this.list.replaceChildren(el("p", { class: "empty" }, "No document has the minimum score. Lower it to see more."));
    else if (beside) this.list.replaceChildren(list("Order that was sent", sentCards(documents, ranked, answer.scoreType)), ranking);
    else this.list.replaceChildren(ranking);
    this.list.toggleAttribute("data-beside", beside && ranked.length > 0);
  }

  /** Remove the ranking. */
  reset() {
    this.answer = null;
    this.problem.hidden = true;
    this.summary.replaceChildren();
    this.list.replaceChildren();
  }

  /**
   * Show an error of the call, unless another part of the page has the field.
   * @param {import("./api.js").CallFailed} error
   * @param {(place: string, message: string) => boolean} elsewhere shows the error beside a field of the input
   * @returns {string} the message, if it is beside a field; a banner announces itself
   */
  fail(error, elsewhere) {
    this.reset();
    const place = placeOf(error);
    const message = withNumbers(error.message);
    if (elsewhere(place, message) || (place && this.form.fail(place, message))) return message;
    const wait = error.retryAfter === null ? "" : ` A retry makes sense in ${error.retryAfter} s.`;
    this.problem.replaceChildren(
      el("strong", {}, error.title),
      el("p", {}, `${message}${wait}`),
      el("button", { type: "button", onclick: () => this.rank() }, "Try again"),
    );
    this.problem.hidden = false;
    return "";
  }
}

/**
 * @param {import("./documents/parse.js").Sent[]} documents
 * @param {import("./rows.js").Row[]} ranked
 * @param {string} scoreType
 */
function sentCards(documents, ranked, scoreType) {
  const byIndex = new Map(ranked.map((row) => [row.index, row]));
  return documents.map((document, index) => () => sentCard(rankedText(document).text, index, byIndex.get(index), scoreType));
}

/**
 * Return a list of cards. Long ones are built in parts.
 * @param {string} title
 * @param {(() => HTMLElement)[]} builders
 */
function list(title, builders) {
  const cards = el("ol", { class: "cards", "aria-label": title });
  const more = el("button", { type: "button", class: "more" });
  let shown = 0;
  const show = () => {
    const first = shown;
    cards.append(...builders.slice(shown, shown + CARDS).map((build) => build()));
    shown = Math.min(builders.length, shown + CARDS);
    more.hidden = shown === builders.length;
    more.textContent = `Show ${Math.min(CARDS, builders.length - shown)} more of ${builders.length - shown}`;
    return first;
  };
  more.addEventListener("click", () => /** @type {HTMLElement} */ (cards.children[show()]).focus());
  show();
  return el("div", { class: "list" }, el("h3", {}, title), cards, more);
}

/**
 * Return the facts about a call.
 * @param {import("./api.js").Answer} answer
 * @param {number} returned
 * @param {number} sent
 */
function summary(answer, returned, sent) {
  const { response, timing, elapsed } = answer;
  const tokens = response.usage?.prompt_tokens ?? response.usage?.total_tokens;
  const facts = [
    fact("results", returned === sent ? String(sent) : `${returned} of ${sent}`),
    tokens !== undefined && fact("tokens", Number(tokens).toLocaleString("en")),
    timing ? fact("server", shownTime(timing.total)) : fact("in the browser", shownTime(elapsed)),
    timing && fact("queue", shownTime(timing.queue)),
    timing && fact("tokenize", shownTime(timing.tokenize)),
    timing && fact("inference", shownTime(timing.inference)),
    response.model && fact("model", String(response.model)),
  ];
  const parts = [el("dl", { class: "facts" }, ...facts)];
  if (response.query_truncated) parts.push(el("p", { class: "flags" }, el("span", { class: "flag warn" }, "The query was cut: it is too long for the model.")));
  return parts;
}

/**
 * @param {string} name
 * @param {string} value
 */
function fact(name, value) {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}
