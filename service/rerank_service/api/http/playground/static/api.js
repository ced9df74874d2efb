// Calls of the server.

import { serverUrl } from "./address.js";
import { parseServerTiming } from "./timing.js";

/** A call failed. `message` is for people. */
export class CallFailed extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, field?: string, retryAfter?: number | null, title?: string}} [facts]
   */
  constructor(message, { status = 0, code = "", field = "", retryAfter = null, title = "" } = {}) {
    super(message);
    /** HTTP status; 0: no response. */
    this.status = status;
    /** The code of an error of a rerank server, such as `model_not_found`; "": the error is of another program. */
    this.code = code;
    /** The invalid field, as the server names it, such as `documents[3]`. */
    this.field = field;
    /** Seconds until a retry makes sense. */
    this.retryAfter = retryAfter;
    /** What happened, in a few words. */
    this.title = title || (status ? `Status ${status}` : "No answer");
  }
}

/**
 * @typedef {object} Answer
 * @property {any} request the body that was sent
 * @property {any} response the body that was received
 * @property {string} scoreType "raw", "sigmoid" or "calibrated"
 * @property {import("./timing.js").Timing | null} timing null: a proxy removed the header
 * @property {number} elapsed milliseconds in the browser
 */

/**
 * Rank documents.
 * @param {Record<string, any>} request
 * @param {{key: string, signal: AbortSignal}} call
 * @returns {Promise<Answer>}
 * @throws {CallFailed} the server or the network rejected the call
 */
export async function rank(request, { key, signal }) {
  const began = performance.now();
  const response = await send("v1/rerank", { method: "POST", body: JSON.stringify(request), signal }, key);
  const body = await json(response);
  if (!isRanking(body, request.documents.length)) throw new CallFailed("The response is not a ranking. Is a rerank server behind this address?", { title: "No ranking" });
  return {
    request,
    response: body,
    scoreType: response.headers.get("x-rerank-score-type") ?? body.meta?.score_type ?? "",
    timing: parseServerTiming(response.headers.get("server-timing") ?? ""),
    elapsed: performance.now() - began,
  };
}

/**
 * Return whether a body is a ranking: a document and a finite score in each result.
 * @param {any} body
 * @param {number} documents number of documents in the request
 */
function isRanking(body, documents) {
  const known = (/** @type {any} */ index) => Number.isInteger(index) && index >= 0 && index < documents;
  return Array.isArray(body?.results) && body.results.every((/** @type {any} */ each) => known(each?.index) && Number.isFinite(each.relevance_score));
}

/**
 * @typedef {object} Model
 * @property {string} id
 * @property {string} calibration
 * @property {boolean | null} takes_instruction
 * @property {boolean} ready
 */

/**
 * Return the models of the server, the default one first.
 * @param {string} key
 * @returns {Promise<Model[]>}
 * @throws {CallFailed}
 */
export async function listModels(key) {
  const body = await json(await send("v1/models", { method: "GET" }, key));
  return Array.isArray(body?.data) ? body.data : [];
}

/**
 * @param {string} path
 * @param {RequestInit} options
 * @param {string} key
 * @returns {Promise<Response>}
 */
async function send(path, options, key) {
  const headers = { "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(serverUrl(path), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (key && !/^[\x20-\x7e]*$/.test(key)) throw new CallFailed("The key has characters that no header can carry.", { status: 401, code: "invalid_api_key" });
    throw new CallFailed("The server cannot be reached. Check that it runs, then try again.");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

/** @param {Response} response */
async function failure(response) {
  const body = await response.json().catch(() => null);
  const message = body?.message ?? `The server answered with status ${`${response.status} ${response.statusText}`.trim()}.`;
  const retry = Number.parseFloat(response.headers.get("retry-after") ?? "");
  return new CallFailed(String(message), {
    status: response.status,
    code: String(body?.error?.code ?? ""),
    field: String(body?.error?.param ?? ""),
    retryAfter: Number.isFinite(retry) ? retry : null,
    title: response.status === 429 ? "The server is busy, or the key is over its limits." : "",
  });
}

/** @param {Response} response */
async function json(response) {
  try {
    return await response.json();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    if (!(error instanceof SyntaxError)) throw new CallFailed("The connection ended before the whole response had arrived. Try again.", { title: "No complete answer" });
    throw new CallFailed("The response is not JSON. Is a rerank server behind this address?", { status: response.status, title: "No ranking" });
  }
}
