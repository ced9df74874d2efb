import { grpcKeywords } from "./grpc_fields.js";
import { python } from "./quote.js";

/**
 * Return a call by the generated stub.
 * @param {Record<string, any>} body
 * @param {import("./target.js").Target} target
 */
export function pythonStub(body, target) {
  const fields = grpcKeywords(body, (text) => `pb.Document(text=${python(text)})`);
  const channel = target.tls ? `grpc.secure_channel(${python(target.grpc)}, grpc.ssl_channel_credentials())` : `grpc.insecure_channel(${python(target.grpc)})`;
  const key = target.key ? `, metadata=[("authorization", f"Bearer {os.environ['RERANK_API_KEY']}")]` : "";
  return `${target.key ? "import os\n\n" : ""}import grpc

from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc

request = pb.RerankRequest(
${fields})
with ${channel} as channel:
    response = pb_grpc.RerankStub(channel).Rerank(request${key})
for result in response.results:
    print(result.index, result.relevance_score)
`;
}
