// The page: connects input, columns, code and the fragment of the URL.

import { serverUrl } from "./address.js";
import { CallFailed, listModels, rank } from "./api.js";
import { CodePanel, copyText } from "./code_panel.js";
import { Column } from "./column.js";
import { byId, radios } from "./dom.js";
import { ExampleChoice } from "./example_choice.js";
import { KEY, placeOf, showFieldError } from "./field_errors.js";
import { InputPanel } from "./input_panel.js";
import { storedKey, storeKey } from "./key_store.js";
import { noticeLink } from "./link_notice.js";
import { requestBody } from "./request.js";
import { sentence } from "./sentence.js";
import { listenToKeys } from "./shortcuts.js";
import { defaultSettings, fromFragment, toFragment } from "./state.js";
import { lightTogether } from "./together.js";

const { grpcPort } = document.documentElement.dataset;

class Page {
  constructor() {
    this.key = /** @type {HTMLInputElement} */ (byId("key"));
    this.key.value = storedKey();
    this.usedKey = this.key.value;
    this.view = radios(byId("view"));
    this.example = new ExampleChoice((state) => this.load({ ...state, ...this.kept() }));
    this.input = new InputPanel({ onEdit: () => this.edited(), onFile: () => void this.rank() });
    /** @type {AbortController | null} */
    this.running = null;
    /** @type {import("./api.js").Model[]} */
    this.models = [];
    /** @type {Column[]} */
    this.columns = [];
    /** Number of edits of the input: an answer to an earlier input is old when it arrives. */
    this.edits = 0;
    this.code = new CodePanel(byId("code"), {
      grpc: `${location.hostname}:${grpcPort}`,
      columns: () => this.shown.length,
      source: (column) => this.call(column),
    });
  }

  /** The columns that are shown. */
  get shown() {
    return this.columns.slice(0, this.view.get() === "two" ? 2 : 1);
  }

  start() {
    byId("input").addEventListener("submit", (event) => (event.preventDefault(), void this.rank()));
    byId("cancel").addEventListener("click", () => this.cancel());
    byId("share").addEventListener("click", () => void this.share());
    byId("show-key").addEventListener("click", () => this.askForKey(""));
    byId("view").addEventListener("change", () => (this.arrange(), void this.rank()));
    this.key.addEventListener("change", () => this.useKey());
    listenToKeys({ query: this.input.query, key: this.key, running: () => this.running !== null, rank: () => this.rankTyped(), useKey: () => this.useKey(), cancel: () => this.cancel() });
    document.querySelector(".skip")?.addEventListener("click", (event) => (event.preventDefault(), byId("results").focus())); // the fragment has the state
    window.addEventListener("hashchange", () => this.fromLink());
    lightTogether(byId("columns"));
    byId("key-field").hidden = !this.key.value;
    const linked = fromFragment(location.hash);
    this.load(linked ?? this.example.first(), false);
    if (linked) this.example.forget();
    noticeLink(!linked && location.hash.length > 1);
    void this.begin();
  }

  /** Rank, and list the models. With a key, list them first: they are those that the key may use. */
  async begin() {
    const models = this.loadModels();
    if (this.key.value) await models;
    await this.rank();
  }

  /** What a new example leaves as it is. */
  kept() {
    return { view: /** @type {import("./state.js").View} */ (this.view.get()) };
  }

  /**
   * Show a state, and rank it.
   * @param {import("./state.js").State} state
   * @param {boolean} [ranked] false: only show it
   */
  load(state, ranked = true) {
    this.input.write(state);
    this.view.set(state.view);
    this.columns = state.columns.map((settings, at) => new Column("AB"[at], settings, () => void this.rank()));
    this.columns.forEach((column) => column.form.offer(this.models));
    this.arrange();
    if (ranked) void this.rank();
  }

  fromLink() {
    const state = fromFragment(location.hash);
    noticeLink(!state && location.hash.length > 1);
    if (!state || location.hash.slice(1) === toFragment(this.state())) return;
    this.load(state);
    this.example.forget();
  }

  arrange() {
    const two = this.view.get() === "two";
    byId("columns").replaceChildren(...this.shown.map(({ element }) => element));
    byId("columns").toggleAttribute("data-two", two);
    this.columns.forEach((column) => {
      column.heading.textContent = two ? column.name : "";
      column.heading.hidden = !two;
    });
  }

  /** @returns {import("./state.js").State} */
  state() {
    const [first, second] = this.columns.map(({ form }) => form.settings);
    const { query, documents, format, field } = this.input;
    return {
      query: query.value,
      text: documents.value,
      format: /** @type {import("./documents/parse.js").Format} */ (format.get()),
      field,
      view: /** @type {import("./state.js").View} */ (this.view.get()),
      columns: [first ?? defaultSettings(), second ?? defaultSettings()],
    };
  }

  /** Keep the state in the fragment. A text that is too long for a link leaves it empty. */
  remember() {
    const fragment = toFragment(this.state());
    history.replaceState(null, "", fragment === null ? location.pathname + location.search : `#${fragment}`);
    return fragment !== null;
  }

  edited() {
    this.edits += 1;
    const fresh = this.shown.some((column) => column.answer && !column.element.hasAttribute("data-stale"));
    this.columns.forEach((column) => column.stale(true));
    if (fresh) this.say("The input changed. Press Rank.");
    noticeLink(false);
    this.example.forget();
    this.code.renderSoon();
  }

  /** Rank by a key. A setting that is being edited has reported no change yet. */
  rankTyped() {
    this.columns.forEach(({ form }) => form.commit());
    void this.rank();
  }

  async rank() {
    this.cancel("");
    const input = this.input.checked();
    this.remember();
    this.code.render();
    if (!input) return this.columns.forEach((column) => column.reset()), this.say("Not ranked.");
    const running = new AbortController();
    this.running = running;
    this.show(true);
    this.say("Ranking…");
    showFieldError(this.key, "");
    const columns = this.shown;
    const outcomes = await Promise.all(columns.map((column) => this.rankColumn(column, input, running.signal)));
    if (this.running !== running) return; // a later call replaced this one
    this.running = null;
    this.show(false);
    this.code.render();
    this.say(outcomes.filter(Boolean).join(" ") || "Not ranked.");
    if (columns.some(({ answer }) => answer) && !this.models.length) void this.loadModels(); // the server was not there before
  }

  /**
   * Rank for a column, and return a sentence about it; "" after an error that a banner announces.
   * @param {Column} column
   * @param {{query: string, documents: import("./documents/parse.js").Sent[]}} input
   * @param {AbortSignal} signal
   */
  async rankColumn(column, input, signal) {
    const { edits } = this;
    column.busy();
    try {
      const answer = await rank(requestBody({ ...input, settings: this.settingsOf(column) }), { key: this.key.value, signal });
      if (signal.aborted) return "";
      column.show(answer, input.documents, this.view.get() === "order");
      column.stale(this.edits !== edits);
      return sentence(column, answer, this.shown.length > 1);
    } catch (error) {
      if (signal.aborted) return "";
      if (!(error instanceof CallFailed)) throw error;
      const message = column.fail(error, (place, words) => this.failAtInput(place, words));
      return message && `Not ranked. ${message}`;
    } finally {
      if (!signal.aborted || this.running === null) column.idle();
    }
  }

  /**
   * Return the settings with the name of the model. The default needs no name at a server with one model. With a key,
   * the first listed model is the one that the key may use.
   * @param {Column} column
   */
  settingsOf({ form: { settings } }) {
    const named = this.models.length > 1 || this.key.value;
    return { ...settings, model: settings.model || (named ? (this.models[0]?.id ?? "") : "") };
  }

  /**
   * @param {string} place
   * @param {string} message
   */
  failAtInput(place, message) {
    if (place === KEY) return this.askForKey(message), true;
    const field = place === "query" ? this.input.query : place === "documents" ? this.input.documents : null;
    if (!field) return false;
    showFieldError(field, message);
    field.focus();
    return true;
  }

  /** @param {string} [words] */
  cancel(words = "Cancelled. Nothing was ranked.") {
    if (!this.running) return;
    this.running.abort();
    this.running = null;
    this.columns.forEach((column) => column.idle());
    this.show(false);
    this.say(words);
    if (!words) return;
    this.columns.forEach((column) => column.stale(true));
    byId("rank").focus();
  }

  /** @param {boolean} running */
  show(running) {
    if (!running && document.activeElement === byId("cancel")) byId("rank").focus();
    byId("cancel").hidden = !running;
    byId("rank").toggleAttribute("data-running", running);
  }

  /** @param {string} message */
  askForKey(message) {
    byId("key-field").hidden = false;
    showFieldError(this.key, message && !this.key.value ? "This server needs an API key. Type it here." : message);
    this.key.focus();
  }

  /** Rank with the key, if it is another one. */
  useKey() {
    if (this.key.value === this.usedKey) return;
    this.usedKey = this.key.value;
    storeKey(this.key.value);
    showFieldError(this.key, "");
    void this.begin();
  }

  async loadModels() {
    const key = this.usedKey;
    try {
      const models = await listModels(this.key.value);
      if (key !== this.usedKey) return; // of an earlier key
      this.models = models;
      this.columns.forEach((column) => column.form.offer(this.models));
      this.code.render();
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      if (key === this.usedKey && placeOf(error) === KEY) this.askForKey(error.message);
    }
  }

  async share() {
    const fits = this.remember();
    if (!fits) return this.say("Query and documents are too long for a link.");
    const copied = await copyText(serverUrl(location.search + location.hash));
    this.say(copied ? "The link is copied. It has query, documents and settings, and no key." : "The browser forbids copying. The link is in the address bar.");
  }

  /** @param {string} words */
  say(words) {
    byId("status").textContent = words;
  }

  /**
   * Return the call of a column as the code panel needs it.
   * @param {number} at
   */
  call(at) {
    const column = this.columns[at];
    const { parsed, query } = this.input;
    if (!column || !parsed || !query.value.trim()) return null;
    const body = requestBody({ query: query.value, documents: parsed.documents, settings: this.settingsOf(column) });
    const target = {
      base: serverUrl(".").replace(/\/$/, ""),
      grpc: "",
      tls: location.protocol === "https:",
      key: Boolean(this.key.value),
      model: this.models[0]?.id ?? "default",
    };
    return { body, response: column.answer?.response ?? null, target };
  }
}

new Page().start();
