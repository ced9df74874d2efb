import assert from "node:assert/strict";
import { test } from "node:test";

import { VoyageAIClient, VoyageAIError } from "voyageai";

import { checks, DOCUMENTS, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

const voyage = way("voyageai", { dialect: "Voyage" }, (H, k, M) => new VoyageAIClient({ apiKey: k, baseUrl: H + "/v1" }));

async function ask(client, { query = QUERY, model = MODEL, topN }) {
  const answer = await client.rerank({ query, model, topK: topN, documents: DOCUMENTS });
  assert.equal(answer.model, MODEL);
  assert.ok(answer.usage.totalTokens > 0);
  return answer.data.map(({ index, relevanceScore }) => [index, relevanceScore]);
}

checks("voyageai", voyage, {
  ask,
  path: "/v1/rerank",
  raises: (status) => (error) => error instanceof VoyageAIError && error.statusCode === status,
  hasty: (client) => ({ rerank: (body) => client.rerank(body, { maxRetries: 0 }) }),
});

test("voyageai: documents come back as strings", on(async (open) => {
  const asked = { query: QUERY, model: MODEL, documents: DOCUMENTS, returnDocuments: true };
  const { data } = await open(voyage).rerank(asked);
  for (const { index, document } of data) assert.equal(document, DOCUMENTS[index]);
}));
