import assert from "node:assert/strict";

import { APICallError, rerank } from "ai-6";
import { createVoyage } from "voyage-ai-provider";

import { checks, DOCUMENTS, QUERY } from "./cases.js";
import { way } from "./ground.js";

const voyage = way(
  "voyage-ai-provider",
  { dialect: "Voyage", note: "with `ai` 6; an error has the status, and not the server's message" },
  (H, k, M) => createVoyage({ baseURL: H + "/v1", apiKey: k }).reranking(M),
);

async function ask(client, { query = QUERY, topN }) {
  const { reranking, maxRetries } = "reranking" in client ? client : { reranking: client };
  const { ranking } = await rerank({ model: reranking, query, topN, documents: DOCUMENTS, maxRetries });
  for (const { originalIndex, document } of ranking) assert.equal(document, DOCUMENTS[originalIndex]);
  return ranking.map(({ originalIndex, score }) => [originalIndex, score]);
}

checks("voyage-ai-provider", voyage, {
  ask,
  path: "/v1/rerank",
  raises: (status) => (error) => APICallError.isInstance(error) && error.statusCode === status,
  hasty: (reranking) => ({ reranking, maxRetries: 0 }),
});
