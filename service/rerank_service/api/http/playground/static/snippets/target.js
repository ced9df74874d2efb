// Where a copied call goes.

/**
 * @typedef {object} Target
 * @property {string} base base URL of REST, without a slash at the end
 * @property {string} grpc address of gRPC, as host:port
 * @property {boolean} tls
 * @property {boolean} key true if the call needs an API key. Code reads it from RERANK_API_KEY: a copied text must not have it.
 * @property {string} model name of the default model
 */

/** Bytes from which a command takes its input from a file: Linux accepts 128 KiB in one argument. */
const LONG = 100_000;

/**
 * Return an option of a command with its data, which is JSON for single quotes.
 * @param {string} option
 * @param {string} json
 * @returns {{option: string, input: string}} `input` follows the command
 */
export function dataOption(option, json) {
  if (new TextEncoder().encode(json).length < LONG) return { option: `${option} '${json}'`, input: "" };
  return { option: `${option} @`, input: ` <<'JSON'\n${json}\nJSON` };
}
