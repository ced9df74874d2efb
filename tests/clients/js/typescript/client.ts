// A typed client of rerank.v1: what a program in TypeScript writes beside the code that `buf generate` made.

import { create } from "@bufbuild/protobuf";
import { type Client, type Interceptor } from "@connectrpc/connect";

import { DocumentSchema, Rerank, RerankStreamRequestSchema, type Result } from "./generated/rerank/v1/rerank_pb.js";

export { Rerank };

/** An interceptor that sends a key with each call. */
export function withKey(key: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${key}`);
    return next(request);
  };
}

/** Documents of plain text. */
export function documents(texts: string[]) {
  return texts.map((text) => create(DocumentSchema, { content: { case: "text", value: text } }));
}

/** Rank any number of documents. The final ranking comes in one message or in several. */
export async function rankStream(client: Client<typeof Rerank>, query: string, texts: string[]): Promise<Result[]> {
  async function* parts() {
    yield create(RerankStreamRequestSchema, { part: { case: "header", value: { request: { query } } } });
    for (const document of documents(texts))
      yield create(RerankStreamRequestSchema, { part: { case: "documents", value: { documents: [document] } } });
  }
  const results: Result[] = [];
  for await (const { part } of client.rerankStream(parts(), { timeoutMs: 30_000 }))
    if (part.case === "ranking") results.push(...part.value.results);
  return results;
}
