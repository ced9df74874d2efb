// The same call as code, and the raw JSON of both directions.

import { el } from "./dom.js";
import { cohere } from "./snippets/cohere.js";
import { curl } from "./snippets/curl.js";
import { grpcurl } from "./snippets/grpcurl.js";
import { pythonClient } from "./snippets/python_client.js";
import { pythonStub } from "./snippets/python_stub.js";
import { indented } from "./snippets/quote.js";

/** @typedef {{body: Record<string, any>, response: any, target: import("./snippets/target.js").Target}} Shown */
/** @type {{name: string, grpc?: boolean, text: (shown: Shown) => string}[]} */
const TABS = [
  { name: "curl", text: ({ body, target }) => curl(body, target) },
  { name: "RerankClient", grpc: true, text: ({ body, target }) => pythonClient(body, target) },
  { name: "Python stub", grpc: true, text: ({ body, target }) => pythonStub(body, target) },
  { name: "Cohere SDK", text: ({ body, target }) => cohere(body, target) },
  { name: "grpcurl", grpc: true, text: ({ body, target }) => grpcurl(body, target) },
  { name: "Request", text: ({ body }) => `${indented(body)}\n` },
  { name: "Response", text: ({ response }) => (response ? `${indented(response)}\n` : "There is no response yet.\n") },
];
/** Longest text that is shown; the button copies all of it. */
const SHOWN = 60_000;
/** Milliseconds without a key press until the code follows an edit. */
const PAUSE = 200;

/** The panel. */
export class CodePanel {
  /**
   * @param {HTMLElement} root
   * @param {{grpc: string, source: (column: number) => Shown | null, columns: () => number}} options `grpc` is the
   *   address of gRPC; `source` returns the call of a column
   */
  constructor(root, { grpc, source, columns }) {
    this.source = source;
    this.columns = columns;
    this.chosen = 0;
    this.column = 0;
    this.text = "";
    this.soon = 0;
    this.address = /** @type {HTMLInputElement} */ (el("input", { id: "grpc-address", value: grpc, spellcheck: "false", size: 22 }));
    this.addressField = el("label", { class: "inline", for: "grpc-address" }, "gRPC address ", this.address);
    this.output = el("code", {});
    this.pane = el("pre", { id: "code-text", role: "tabpanel", tabindex: 0 }, this.output);
    this.copyButton = el("button", { type: "button", onclick: () => void this.copy(), "aria-live": "polite" }, "Copy");
    this.tabs = TABS.map(({ name }, at) => el("button", { type: "button", role: "tab", id: `code-tab-${at}`, "aria-controls": "code-text", onclick: () => this.choose(at) }, name));
    this.which = this.columnChoice();
    const tabs = el("div", { class: "tabs", role: "tablist", "aria-label": "Form of the call" }, ...this.tabs);
    root.append(el("div", { class: "row wrap" }, el("h2", {}, "The same call as code"), this.which), tabs, this.pane, el("div", { class: "row wrap" }, this.copyButton, this.addressField));
    tabs.addEventListener("keydown", (event) => this.move(event));
    this.address.addEventListener("input", () => this.render());
    this.choose(0);
  }

  columnChoice() {
    const button = (/** @type {number} */ at) =>
      el("label", {}, el("input", { type: "radio", name: "code-column", value: at, checked: at === 0, onchange: () => this.chooseColumn(at) }), el("span", {}, "AB"[at]));
    return el("fieldset", { class: "segments" }, el("legend", { class: "hidden" }, "Column"), button(0), button(1));
  }

  /** @param {number} at */
  chooseColumn(at) {
    this.column = at;
    this.render();
  }

  /** @param {number} at */
  choose(at) {
    this.chosen = at;
    this.tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === at));
      tab.tabIndex = index === at ? 0 : -1;
    });
    this.pane.setAttribute("aria-labelledby", `code-tab-${at}`);
    this.render();
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -this.chosen, End: TABS.length - 1 - this.chosen }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.choose((this.chosen + step + TABS.length) % TABS.length);
    this.tabs[this.chosen].focus();
  }

  /** Show the chosen form of the current call. */
  render() {
    clearTimeout(this.soon);
    this.copyButton.textContent = "Copy";
    const columns = this.columns();
    this.which.hidden = columns < 2;
    const shown = this.source(columns < 2 ? 0 : this.column);
    const tab = TABS[this.chosen];
    this.addressField.hidden = !tab.grpc;
    this.text = shown ? tab.text({ ...shown, target: { ...shown.target, grpc: this.address.value.trim() } }) : "";
    const cut = this.text.length > SHOWN;
    this.output.textContent = cut ? `${this.text.slice(0, SHOWN)}\n… the button copies all ${this.text.length.toLocaleString("en")} characters` : this.text || "Fill in query and documents to see the call.";
    this.copyButton.toggleAttribute("disabled", !this.text);
  }

  /** Show the call of an edited input when typing pauses: a long one takes a moment. */
  renderSoon() {
    clearTimeout(this.soon);
    this.soon = setTimeout(() => this.render(), PAUSE);
  }

  async copy() {
    this.render();
    this.copyButton.textContent = (await copyText(this.text)) ? "Copied" : "Not allowed: select the text";
    setTimeout(() => (this.copyButton.textContent = "Copy"), 1500);
  }
}

/**
 * Copy a text. Pages without TLS have no clipboard interface, and a browser may forbid it: they copy a selection.
 * @param {string} text
 * @returns {Promise<boolean>} false if the browser forbids both
 */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copySelection(text);
  }
}

/** @param {string} text */
function copySelection(text) {
  const focused = document.activeElement;
  const area = /** @type {HTMLTextAreaElement} */ (el("textarea", { class: "hidden", "aria-hidden": "true" }));
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return copied;
}
