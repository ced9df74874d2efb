import { keywords, python } from "./quote.js";

const OWN = new Set(["model", "query", "documents", "top_n", "max_tokens_per_doc"]);
/** Characters above which a document may have more than 4,096 tokens, where Cohere's path cuts by default. */
const MAY_BE_CUT = 4096;
const SERVER_TOKENS = 8192;

/**
 * Return a call by Cohere's SDK. Fields that the SDK does not have travel as additional ones.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function cohere(body, target) {
  const long = body.documents.some((/** @type {any} */ document) => (typeof document === "string" ? document : JSON.stringify(document)).length > MAY_BE_CUT);
  const sent = { model: target.model, ...(long ? { max_tokens_per_doc: SERVER_TOKENS } : {}), ...body };
  const additional = Object.fromEntries(Object.entries(sent).filter(([name]) => !OWN.has(name)));
  const pairs = /** @type {[string, string][]} */ (Object.entries(sent).filter(([name]) => OWN.has(name)).map(([name, value]) => [name, python(value, "    ")]));
  if (Object.keys(additional).length) pairs.push(["request_options", python({ additional_body_parameters: additional }, "    ")]);
  const key = target.key ? `os.environ["RERANK_API_KEY"]` : `"any"`;
  return `${target.key ? "import os\n\n" : ""}import cohere

client = cohere.ClientV2(api_key=${key}, base_url=${python(target.base)})
response = client.rerank(
${keywords(pairs)})
for result in response.results:
    print(result.index, result.relevance_score)
`;
}
