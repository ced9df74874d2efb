import { grpcKeywords } from "./grpc_fields.js";
import { keywords, python } from "./quote.js";

/**
 * Return a call by RerankClient.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function pythonClient(body, target) {
  const documents = body.documents.map((/** @type {any} */ document) => (typeof document === "string" ? python(document) : `pb.Document(json=${python(JSON.stringify(document))})`));
  const options = grpcKeywords(body, python);
  const fields = keywords([["query", python(body.query)], ["documents", `[\n${documents.map((/** @type {string} */ each) => `            ${each},\n`).join("")}        ]`], ...options], "        ");
  const needsStubs = options.some(([name]) => name === "score_type") || body.documents.some((/** @type {any} */ document) => typeof document !== "string");
  const address = python(target.tls ? `grpcs://${target.grpc}` : target.grpc);
  const key = target.key ? `, api_key=os.environ["RERANK_API_KEY"]` : "";
  return `${target.key ? "import os\n\n" : ""}from rerank.client import RerankClient
${needsStubs ? "from rerank.v1 import rerank_pb2 as pb\n" : ""}
with RerankClient(${address}${key}) as client:
    response = client.rerank(
${fields}    )
    for result in response.results:
        print(result.index, result.relevance_score)
`;
}
