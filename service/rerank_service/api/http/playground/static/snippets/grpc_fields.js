// The fields of rerank.proto, from a JSON body.

import { keywords, python } from "./quote.js";

const SCORE_TYPES = /** @type {Record<string, string>} */ ({
  raw: "SCORE_TYPE_RAW",
  sigmoid: "SCORE_TYPE_SIGMOID",
  calibrated: "SCORE_TYPE_CALIBRATED",
});

/**
 * Return the fields besides query and documents, with enums by name.
 * @param {Record<string, any>} body
 * @returns {Record<string, any>}
 */
export function grpcFields(body) {
  const { query: _query, documents: _documents, ...fields } = body;
  return fields.score_type ? { ...fields, score_type: SCORE_TYPES[fields.score_type] } : fields;
}

/**
 * Return all fields as keyword arguments of Python, one on each line.
 * @param {Record<string, any>} body
 * @param {(text: string) => string} textDocument returns the code of a document that is a text
 * @param {string} [indent]
 */
export function grpcKeywords(body, textDocument, indent = "    ") {
  const documents = body.documents.map((/** @type {import("../documents/parse.js").Sent} */ document) =>
    typeof document === "string" ? textDocument(document) : `pb.Document(json=${python(JSON.stringify(document))})`,
  );
  const list = `[\n${documents.map((/** @type {string} */ each) => `${indent}    ${each},\n`).join("")}${indent}]`;
  const others = Object.entries(grpcFields(body)).map(([name, value]) => /** @type {[string, string]} */ ([name, name === "score_type" ? `pb.${value}` : python(value)]));
  return keywords([["query", python(body.query)], ["documents", list], ...others], indent);
}

/**
 * Return a document as the message Document in JSON.
 * @param {import("../documents/parse.js").Sent} document
 */
export function grpcDocument(document) {
  return typeof document === "string" ? { text: document } : { json: JSON.stringify(document) };
}
