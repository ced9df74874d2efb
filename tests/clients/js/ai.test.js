import assert from "node:assert/strict";
import { test } from "node:test";

import { createCohere } from "@ai-sdk/cohere";
import { createTogetherAI } from "@ai-sdk/togetherai";
import { APICallError, rerank } from "ai";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

const cohere = way(
  "@ai-sdk/cohere",
  { dialect: "Cohere v2" },
  (H, k, M) => createCohere({ baseURL: H + "/v2", apiKey: k }).reranking(M),
);
const cohereV1 = way(
  "@ai-sdk/cohere",
  { dialect: "Cohere v1" },
  (H, k, M) => createCohere({ baseURL: H + "/v1", apiKey: k }).reranking(M),
);
const together = way(
  "@ai-sdk/togetherai",
  { dialect: "Together" },
  (H, k, M) => createTogetherAI({ baseURL: H + "/v1", apiKey: k }).reranking(M),
);

async function ask(model, { query = QUERY, topN }) {
  const { maxRetries, reranking = model } = model;
  const { ranking, response } = await rerank({ model: reranking, query, topN, documents: DOCUMENTS, maxRetries });
  assert.equal(response.modelId, MODEL);
  assert.ok(response.id);
  for (const { originalIndex, document } of ranking) assert.equal(document, DOCUMENTS[originalIndex]);
  return ranking.map(({ originalIndex, score }) => [originalIndex, score]);
}

const raises = (status) => (error) => APICallError.isInstance(error) && error.statusCode === status;
const hasty = (reranking) => ({ reranking, maxRetries: 0 });

checks("@ai-sdk/cohere", cohere, { ask, path: "/v2/rerank", raises, hasty });
checks("@ai-sdk/cohere at v1", cohereV1, { ask, path: "/v1/rerank", raises, hasty });
checks("@ai-sdk/togetherai", together, { ask, path: "/v1/rerank", raises, hasty });

for (const [title, made] of [["@ai-sdk/cohere", cohere], ["@ai-sdk/togetherai", together]]) {
  test(`${title}: objects are ranked`, on(async (open) => {
    const documents = DOCUMENTS.map((text, page) => ({ text, page }));
    const { ranking } = await rerank({ model: open(made), query: QUERY, documents });
    expectOrder(ranking.map(({ originalIndex, score }) => [originalIndex, score]));
    assert.deepEqual(ranking[0].document, documents[1]);
  }));
}

test("errors say what the server says", on(async (open) => {
  const message = /served: starter/;
  await assert.rejects(rerank({ model: open(cohere, { M: "no-such-model" }), query: QUERY, documents: DOCUMENTS }), { message });
  await assert.rejects(rerank({ model: open(together, { M: "no-such-model" }), query: QUERY, documents: DOCUMENTS }), { message });
}));
