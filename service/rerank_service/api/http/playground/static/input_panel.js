// Query and documents: typed, dropped, or from a file.

import { ALL, DocumentsInvalid, formatOf, parseDocuments } from "./documents/parse.js";
import { byId, el, radios } from "./dom.js";
import { showFieldError } from "./field_errors.js";

const MAX_FILE_BYTES = 32 * 1024 * 1024;
const CHANGED = "A browser puts keys that are whole numbers first, and rounds whole numbers above 2^53: these documents are sent so. rerank rank --file sends them unchanged.";
/** Fields that can be chosen. More of them would make each key press slow. */
const MAX_FIELDS = 200;
const HINTS = {
  lines: "One document per line. You can also drop a file: text, JSON, JSON lines or CSV.",
  json: "An array of strings or of objects, one of them per line, or the body of a request.",
  csv: "The first line names the columns. The column named text, document, passage or content is ranked, else the first.",
};

/** The panel. */
export class InputPanel {
  /** @param {{onEdit: () => void, onFile: () => void}} listeners */
  constructor({ onEdit, onFile }) {
    this.onEdit = onEdit;
    this.onFile = onFile;
    this.query = /** @type {HTMLTextAreaElement} */ (byId("query"));
    this.documents = /** @type {HTMLTextAreaElement} */ (byId("documents"));
    this.column = /** @type {HTMLSelectElement} */ (byId("column"));
    this.format = radios(byId("format"));
    this.field = "";
    /** @type {import("./documents/parse.js").Parsed | null} */
    this.parsed = null;
    this.listen();
  }

  listen() {
    const edited = () => (this.refresh(), this.onEdit());
    this.query.addEventListener("input", () => (showFieldError(this.query, ""), this.onEdit()));
    this.documents.addEventListener("input", edited);
    byId("format").addEventListener("change", () => ((this.field = ""), edited()));
    this.column.addEventListener("change", () => ((this.field = this.column.value), edited()));
    const file = /** @type {HTMLInputElement} */ (byId("file"));
    file.addEventListener("change", () => {
      const [chosen] = file.files ?? [];
      file.value = ""; // so that the same file can be chosen again
      if (chosen) void this.open(chosen);
    });
    this.listenToDrops(byId("drop"));
    for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => keepPage(/** @type {DragEvent} */ (event)));
  }

  /** @param {HTMLElement} place */
  listenToDrops(place) {
    const over = (/** @type {boolean} */ on) => place.classList.toggle("over", on);
    place.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      over(true);
    });
    place.addEventListener("dragleave", () => over(false));
    place.addEventListener("drop", (event) => {
      over(false);
      const [file] = event.dataTransfer?.files ?? [];
      if (!file) return;
      event.preventDefault();
      void this.open(file);
    });
  }

  /**
   * Take the documents of a file.
   * @param {File} file
   */
  async open(file) {
    if (file.size > MAX_FILE_BYTES) {
      showFieldError(this.documents, `${file.name} has ${Math.round(file.size / 1024 / 1024)} MiB. The limit is 32 MiB.`);
      return;
    }
    const text = await readText(file).catch((error) => {
      const cause = error instanceof TypeError ? "is not UTF-8 text. Save it as UTF-8, then open it again." : "cannot be read. Is it a folder?";
      showFieldError(this.documents, `${file.name} ${cause}`);
      return null;
    });
    if (text === null) return;
    this.field = "";
    this.documents.value = text;
    this.format.set(formatOf(file.name));
    this.refresh();
    this.onFile();
  }

  /**
   * Show the input of a state.
   * @param {import("./state.js").State} state
   */
  write(state) {
    this.query.value = state.query;
    this.documents.value = state.text;
    this.format.set(state.format);
    this.field = state.field;
    this.refresh();
  }

  /** Read the documents, and show their number or what is wrong with them. */
  refresh() {
    const format = /** @type {import("./documents/parse.js").Format} */ (this.format.get() || "lines");
    byId("format-hint").textContent = HINTS[format];
    try {
      this.parsed = parseDocuments(this.documents.value, format, this.field);
      if (this.parsed.changed) byId("format-hint").textContent = CHANGED;
      showFieldError(this.documents, "");
      byId("count").textContent = counted(this.parsed.documents.length);
    } catch (error) {
      if (!(error instanceof DocumentsInvalid)) throw error;
      this.parsed = null;
      byId("count").textContent = "";
      showFieldError(this.documents, error.message);
    }
    this.offerFields(format);
  }

  /** @param {import("./documents/parse.js").Format} format */
  offerFields(format) {
    const { fields, field } = this.parsed ?? { fields: [], field: "" };
    byId("column-choice").hidden = fields.length < 2;
    const all = format === "csv" ? "all columns" : "all fields";
    const offered = fields.slice(0, MAX_FIELDS);
    if (field && field !== ALL && !offered.includes(field)) offered.push(field);
    this.column.replaceChildren(...offered.map((name) => el("option", { value: name }, name)), el("option", { value: ALL }, all));
    this.column.value = field;
  }

  /**
   * Return the documents; null, with a message at the field, if something is missing or wrong.
   * @returns {{query: string, documents: import("./documents/parse.js").Sent[]} | null}
   */
  checked() {
    const query = this.query.value;
    if (this.parsed) showFieldError(this.documents, "");
    showFieldError(this.query, query.trim() ? "" : "Write a query.");
    if (!query.trim()) this.query.focus();
    else if (!this.parsed) this.documents.focus();
    return query.trim() && this.parsed ? { query, documents: this.parsed.documents } : null;
  }
}

/**
 * A file that is dropped beside the field opens in place of the page, and the input is lost: do nothing instead.
 * @param {DragEvent} event
 */
function keepPage(event) {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
}

/**
 * @param {File} file
 * @throws {TypeError} it is not UTF-8
 * @throws {DOMException} it cannot be read
 */
async function readText(file) {
  return new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
}

/** @param {number} documents */
function counted(documents) {
  return documents === 1 ? "1 document" : `${documents.toLocaleString("en")} documents`;
}
