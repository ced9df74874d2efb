// The settings of one column.

import { el } from "./dom.js";
import { showFieldError } from "./field_errors.js";

const SCORE_TYPES = /** @type {[string, string][]} */ ([
  ["", "probability"],
  ["sigmoid", "sigmoid"],
  ["calibrated", "calibrated"],
  ["raw", "logit"],
]);

/** The form. It shows settings and reports changes of them. */
export class SettingsForm {
  /**
   * @param {string} name letter of the column, for ids and labels
   * @param {import("./state.js").Settings} settings
   * @param {() => void} onChange called after each change
   */
  constructor(name, settings, onChange) {
    this.settings = settings;
    this.name = name;
    /** @type {import("./api.js").Model[]} */
    this.models = [];
    this.model = /** @type {HTMLSelectElement} */ (this.control("select", "model"));
    this.topN = this.number("top_n", { min: 0, placeholder: "all" });
    this.scoreType = /** @type {HTMLSelectElement} */ (this.control("select", "score_type"));
    this.minOn = /** @type {HTMLInputElement} */ (el("input", { type: "checkbox", id: this.id("min_on"), "aria-label": "Use a minimum score" }));
    this.minScore = /** @type {HTMLInputElement} */ (this.control("input", "min_score", { type: "range" }));
    this.minShown = el("output", { for: this.minScore.id });
    this.instruction = /** @type {HTMLTextAreaElement} */ (this.control("textarea", "instruction", { rows: 2, placeholder: "the model's own instruction" }));
    this.maxTokens = this.number("max_tokens_per_doc", { min: 0, placeholder: "limit of the server" });
    this.highlights = this.number("highlights", { min: 0, max: 5, placeholder: "0" });
    this.scoreType.append(...SCORE_TYPES.map(([value, text]) => el("option", { value }, text)));
    this.instructionField = this.field("Instruction", this.instruction, "wide");
    this.element = this.build();
    this.element.addEventListener("change", () => (this.read(), onChange()));
    this.minScore.addEventListener("input", () => this.showMinimum());
    this.write();
  }

  build() {
    const minimum = el("label", { class: "inline", for: this.minOn.id }, this.minOn, " Minimum score");
    const slider = el("div", { class: "field" }, el("div", { class: "row" }, minimum, this.minShown), this.minScore, this.error(this.minScore));
    this.minScore.setAttribute("aria-label", "Minimum score");
    return el(
      "div",
      { class: "settings", role: "group", "aria-label": `Settings ${this.name}` },
      this.field("Model", this.model),
      this.field("Results", this.topN),
      this.field("Score type", this.scoreType),
      slider,
      this.instructionField,
      el("details", { class: "wide" }, el("summary", {}, "More"), el("div", { class: "settings" }, this.field("Tokens per document", this.maxTokens), this.field("Highlights per result", this.highlights))),
    );
  }

  /**
   * Offer the models of the server.
   * @param {import("./api.js").Model[]} models
   */
  offer(models) {
    this.commit();
    this.models = models;
    const [first] = models;
    const names = [["", first ? `${first.id} (default)` : "default"], ...models.slice(1).map(({ id, ready }) => [id, ready ? id : `${id} (not loaded)`])];
    if (this.settings.model === first?.id) this.settings.model = "";
    if (this.settings.model && !names.some(([id]) => id === this.settings.model)) names.push([this.settings.model, `${this.settings.model} (not listed)`]);
    this.model.replaceChildren(...names.map(([value, text]) => el("option", { value }, text)));
    this.write();
  }

  /** The chosen model; undefined until the models are known. */
  get chosen() {
    return this.models.find(({ id }) => id === this.settings.model) ?? this.models[0];
  }

  /** Show the settings. */
  write() {
    const { settings } = this;
    this.model.value = settings.model;
    this.topN.value = String(settings.topN ?? "");
    this.scoreType.value = settings.scoreType;
    this.instruction.value = settings.instruction;
    this.maxTokens.value = String(settings.maxTokens ?? "");
    this.highlights.value = String(settings.highlights || "");
    this.scaleMinimum();
    this.adapt();
  }

  /** Read a setting that is being edited: its change event comes later. */
  commit() {
    if (this.element.contains(document.activeElement)) this.read();
  }

  read() {
    const { settings } = this;
    const wasRaw = settings.scoreType === "raw";
    settings.model = this.model.value;
    settings.topN = integer(this.topN.value);
    settings.scoreType = this.scoreType.value;
    settings.instruction = this.instruction.value.trim();
    settings.maxTokens = integer(this.maxTokens.value);
    settings.highlights = integer(this.highlights.value) ?? 0;
    settings.minScore = this.minOn.checked ? Number(this.minScore.value) : null;
    if (wasRaw !== (settings.scoreType === "raw")) settings.minScore = null;
    this.scaleMinimum();
    this.adapt();
  }

  /** Hide what the model does not have. */
  adapt() {
    const model = this.chosen;
    this.instructionField.hidden = !this.settings.instruction && (!model || model.takes_instruction === false);
    const calibrated = this.scoreType.querySelector("option[value=calibrated]");
    calibrated?.toggleAttribute("disabled", Boolean(model) && !model?.calibration);
  }

  scaleMinimum() {
    const { minScore, scoreType } = this.settings;
    const [low, high, step] = scoreType === "raw" ? [-12, 12, 0.1] : [0, 1, 0.01];
    Object.assign(this.minScore, { min: low, max: high, step });
    this.minOn.checked = minScore !== null;
    this.minScore.disabled = minScore === null;
    this.minScore.value = String(minScore ?? (low + high) / 2);
    this.showMinimum();
  }

  showMinimum() {
    this.minShown.textContent = this.minOn.checked ? Number(this.minScore.value).toFixed(2) : "off";
  }

  /**
   * Show an error beside a setting.
   * @param {string} name name of the setting in requests
   * @param {string} message
   * @returns {boolean} false if there is no such setting
   */
  fail(name, message) {
    const controls = /** @type {HTMLElement[]} */ ([...this.element.querySelectorAll("[data-name]")]);
    const control = controls.find((each) => each.dataset.name === name);
    if (!control) return false;
    control.closest(".field")?.removeAttribute("hidden");
    control.closest("details")?.setAttribute("open", "");
    showFieldError(control, message);
    return true;
  }

  /** Remove all errors. */
  clear() {
    for (const input of this.element.querySelectorAll("[data-error]")) showFieldError(/** @type {HTMLElement} */ (input), "");
  }

  /** @param {string} name */
  id(name) {
    return `${name}-${this.name}`;
  }

  /**
   * @param {string} tag
   * @param {string} name name of the setting in requests
   * @param {Record<string, unknown>} [properties]
   */
  control(tag, name, properties = {}) {
    return el(tag, { id: this.id(name), "data-name": name, "data-error": `${this.id(name)}-error`, ...properties });
  }

  /**
   * @param {string} name
   * @param {Record<string, unknown>} properties
   */
  number(name, properties) {
    return /** @type {HTMLInputElement} */ (this.control("input", name, { type: "number", step: 1, inputmode: "numeric", ...properties }));
  }

  /**
   * @param {string} label
   * @param {HTMLElement} control
   * @param {string} [kind]
   */
  field(label, control, kind = "") {
    return el("div", { class: `field ${kind}` }, el("label", { for: control.id }, label), control, this.error(control));
  }

  /** @param {HTMLElement} control */
  error(control) {
    return el("p", { class: "error", id: control.dataset.error, hidden: true });
  }
}

/**
 * Return a number that should be whole: the server says so if it is not.
 * @param {string} value
 */
function integer(value) {
  const number = Number(value);
  return value.trim() && Number.isFinite(number) ? number : null;
}
