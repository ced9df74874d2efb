import { grpcDocument, grpcFields } from "./grpc_fields.js";
import { shellJson, shellWord } from "./quote.js";
import { dataOption } from "./target.js";

/**
 * Return a call by grpcurl. It needs no proto file: the server supports reflection.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function grpcurl(body, target) {
  const message = { query: body.query, documents: body.documents.map(grpcDocument), ...grpcFields(body) };
  const { option, input } = dataOption("-d", shellJson(message));
  const key = target.key ? ` -H "authorization: Bearer $RERANK_API_KEY"` : "";
  const tls = target.tls ? "" : " -plaintext";
  return `grpcurl${tls}${key} \\\n  ${option} \\\n  ${shellWord(target.grpc)} rerank.v1.Rerank/Rerank${input}\n`;
}
