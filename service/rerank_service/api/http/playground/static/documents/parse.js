// Documents from text: lines, JSON, JSON lines or CSV.

import { CsvInvalid, parseCsv } from "./csv.js";

/** @typedef {"lines" | "json" | "csv"} Format */
/** @typedef {string | Record<string, unknown>} Sent a document as it is sent */
/**
 * @typedef {object} Parsed
 * @property {Sent[]} documents
 * @property {string[]} fields the fields of objects, or the columns of a CSV; empty for plain texts
 * @property {string} field the field that is ranked; "" means all of them
 * @property {boolean} [changed] true if JavaScript has changed an object: the order of its keys, or a number
 */

/** Documents that cannot be read. */
export class DocumentsInvalid extends Error {}

/** `field` value for all fields of an object. */
export const ALL = "*";
const MAX_DEPTH = 100;
const PREFERRED = ["text", "document", "passage", "content"];

/**
 * Return the documents in a text.
 * @param {string} text
 * @param {Format} format
 * @param {string} chosen name of the field to rank; ALL; or "" for the default
 * @returns {Parsed}
 * @throws {DocumentsInvalid}
 */
export function parseDocuments(text, format, chosen = "") {
  const parsed = format === "lines" ? plain(lines(text)) : format === "csv" ? fromCsv(text, chosen) : fromJson(text, chosen);
  if (!parsed.documents.length) throw new DocumentsInvalid("Give at least one document.");
  return parsed;
}

/**
 * Return the format of a file by its name.
 * @param {string} name
 * @returns {Format}
 */
export function formatOf(name) {
  if (/\.(csv|tsv)$/i.test(name)) return "csv";
  return /\.(json|jsonl|ndjson)$/i.test(name) ? "json" : "lines";
}

/** @param {string} text */
function lines(text) {
  return rowsOf(text).filter((line) => line.trim());
}

/** @param {string} text */
function rowsOf(text) {
  return text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/);
}

/**
 * @param {Sent[]} documents
 * @returns {Parsed}
 */
function plain(documents) {
  return { documents, fields: [], field: "" };
}

/**
 * @param {string} text
 * @param {string} chosen
 * @returns {Parsed}
 */
function fromCsv(text, chosen) {
  const [header, ...rows] = csvRows(text);
  if (!header) return plain([]);
  if (!rows.length) throw new DocumentsInvalid("The first line of a CSV names its columns. Add a row below it.");
  const fields = named(header);
  const field = fieldToRank(fields, chosen) || (fields[0] ?? "");
  if (chosen === ALL) {
    const documents = rows.map((row) => Object.fromEntries(fields.map((name) => [name, row[header.indexOf(name)]])));
    return { documents, fields, field: ALL, changed: fields.length > 1 && fields.some(isIndex) };
  }
  const at = Math.max(0, header.indexOf(field));
  return { documents: rows.map((row) => row[at]), fields, field };
}

/**
 * Return the names of a header. Columns without a name, such as the index of a data frame, are left out.
 * @param {string[]} header
 */
function named(header) {
  const fields = header.filter((name) => name.trim());
  const known = new Set();
  for (const name of fields) {
    if (known.has(name)) throw new DocumentsInvalid(`There are several columns "${name}". Give them different names.`);
    known.add(name);
  }
  return fields;
}

/** @param {string} text */
function csvRows(text) {
  try {
    return parseCsv(text);
  } catch (error) {
    if (error instanceof CsvInvalid) throw new DocumentsInvalid(error.message);
    throw error;
  }
}

/**
 * @param {string} text
 * @param {string} chosen
 * @returns {Parsed}
 */
function fromJson(text, chosen) {
  const documents = listed(parsedJson(text));
  documents.forEach((document, at) => {
    const isObject = typeof document === "object" && document !== null && !Array.isArray(document);
    if (typeof document !== "string" && !isObject) {
      throw new DocumentsInvalid(`Document ${at + 1} is ${kindOf(document)}. Each document is a string or an object.`);
    }
  });
  const objects = documents.filter((document) => typeof document === "object");
  const fields = [...new Set(objects.flatMap((document) => Object.keys(document)))];
  if (!fields.length) return plain(documents);
  const field = fieldToRank(fields, chosen) || ALL;
  if (field === ALL) objects.forEach(checkDepth);
  if (field === ALL) return { documents, fields, field, changed: objects.some(isChanged) };
  return { documents: documents.map((document, at) => textOf(document, field, at)), fields, field };
}

/**
 * Return whether a key comes first in an object of JavaScript, wherever it was in the text.
 * @param {string} key
 */
function isIndex(key) {
  return /^(0|[1-9]\d{0,9})$/.test(key);
}

/**
 * Return whether JavaScript may have changed a value while it was read.
 * @param {unknown} value
 * @returns {boolean}
 */
function isChanged(value) {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return false;
  const keys = Array.isArray(value) ? [] : Object.keys(value);
  return (keys.length > 1 && keys.some(isIndex)) || Object.values(value).some(isChanged);
}

/**
 * Reject an object that is nested so deeply that it cannot be sent. The limit of the server is lower.
 * @param {object} document
 */
function checkDepth(document) {
  let level = [document];
  for (let depth = 0; level.length; depth += 1) {
    if (depth === MAX_DEPTH) throw new DocumentsInvalid(`A document is nested more than ${MAX_DEPTH} levels deep. Give a flatter object.`);
    level = level.flatMap((each) => Object.values(each)).filter((value) => typeof value === "object" && value !== null);
  }
}

/**
 * @param {string[]} fields
 * @param {string} chosen
 */
function fieldToRank(fields, chosen) {
  if (chosen === ALL || (chosen && fields.includes(chosen))) return chosen;
  const known = (/** @type {string} */ name) => fields.find((field) => field.trim().toLowerCase() === name);
  return PREFERRED.map(known).find(Boolean) ?? "";
}

/**
 * @param {Sent} document
 * @param {string} field
 * @param {number} at
 */
function textOf(document, field, at) {
  if (typeof document === "string") return document;
  const value = document[field];
  if (typeof value === "string") return value;
  throw new DocumentsInvalid(`Document ${at + 1} has no text in "${field}". Choose another field.`);
}

/** @param {string} text */
function parsedJson(text) {
  if (!text.trim()) return [];
  try {
    return JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    const rows = lines(text);
    if (rows.length > 1 && isJson(rows[0])) return jsonLines(text);
    throw new DocumentsInvalid(`This is not JSON${place(text, /** @type {Error} */ (error))}. Give an array of strings or of objects, or one of them per line.`);
  }
}

/**
 * Return the values of JSON lines. Blank lines count as lines, since editors count them.
 * @param {string} text
 */
function jsonLines(text) {
  return rowsOf(text).flatMap((row, at) => {
    if (!row.trim()) return [];
    if (!isJson(row)) throw new DocumentsInvalid(`Line ${at + 1} is not JSON. Give one string or object per line.`);
    return [JSON.parse(row)];
  });
}

/** @param {string} row */
function isJson(row) {
  try {
    JSON.parse(row);
    return true;
  } catch {
    return false;
  }
}

/**
 * Return where a text stops being JSON, if the browser says so.
 * @param {string} text
 * @param {Error} error
 */
function place(text, error) {
  const position = /position (\d+)/.exec(error.message);
  if (!position) return "";
  return ` from line ${text.slice(0, Number(position[1])).split("\n").length} on`;
}

/**
 * Return the list in a parsed text: an array, or the documents of a request.
 * @param {any} value
 * @returns {any[]}
 */
function listed(value) {
  if (Array.isArray(value)) return value;
  const list = value?.documents ?? value?.texts ?? value?.passages;
  if (Array.isArray(list)) return list;
  if (PREFERRED.some((name) => typeof value?.[name] === "string")) return [value]; // JSON lines with one line
  throw new DocumentsInvalid(`This is ${kindOf(value)}. Give an array of strings or of objects, or one of them per line.`);
}

/** @param {unknown} value */
function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
