import { grpcKeywords } from "./grpc_fields.js";
import { python } from "./quote.js";

/**
 * Return a call by RerankClient.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function pythonClient(body, target) {
  const needsStubs = body.score_type || body.documents.some((/** @type {any} */ document) => typeof document !== "string");
  const address = python(target.tls ? `grpcs://${target.grpc}` : target.grpc);
  const key = target.key ? `, api_key=os.environ["RERANK_API_KEY"]` : "";
  return `${target.key ? "import os\n\n" : ""}from rerank.client import RerankClient
${needsStubs ? "from rerank.v1 import rerank_pb2 as pb\n" : ""}
with RerankClient(${address}${key}) as client:
    response = client.rerank(
${grpcKeywords(body, python, "        ")}    )
    for result in response.results:
        print(result.index, result.relevance_score)
`;
}
