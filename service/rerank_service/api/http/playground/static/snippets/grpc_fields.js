// The fields of rerank.proto, from a JSON body.

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
 * Return the fields as Python code.
 * @param {Record<string, any>} body
 * @param {(value: any) => string} python
 * @returns {[string, string][]}
 */
export function grpcKeywords(body, python) {
  return Object.entries(grpcFields(body)).map(([name, value]) => [name, name === "score_type" ? `pb.${value}` : python(value)]);
}

/**
 * Return a document as the message Document in JSON.
 * @param {import("../documents/parse.js").Sent} document
 */
export function grpcDocument(document) {
  return typeof document === "string" ? { text: document } : { json: JSON.stringify(document) };
}
