import { shellJson, shellWord } from "./quote.js";
import { dataOption } from "./target.js";

/**
 * Return a call by curl.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function curl(body, target) {
  const { option, input } = dataOption("--data-binary", shellJson(body));
  const file = input ? `${option}-` : option;
  const key = target.key ? ` \\\n  -H "authorization: Bearer $RERANK_API_KEY"` : "";
  return `curl ${shellWord(`${target.base}/v1/rerank`)} -H 'content-type: application/json'${key} \\\n  ${file}${input}\n`;
}
