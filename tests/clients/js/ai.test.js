import assert from "node:assert/strict";
import { test } from "node:test";

import * as cohere4 from "@ai-sdk/cohere";
import * as togetherai3 from "@ai-sdk/togetherai";
import * as ai7 from "ai";
import * as ai6 from "ai-6";
import * as cohere3 from "ai-sdk-cohere-3";
import * as togetherai2 from "ai-sdk-togetherai-2";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

globalThis.AI_SDK_LOG_WARNINGS = false; // one says that object documents become strings

const ofCohere = (name, { createCohere }, told) => ({
  v2: way(
    name,
    { name: "@ai-sdk/cohere", dialect: "Cohere v2", ...told },
    (H, k, M) => createCohere({ baseURL: H + "/v2", apiKey: k }).reranking(M),
  ),
  v1: way(
    name,
    { name: "@ai-sdk/cohere", dialect: "Cohere v1", ...told },
    (H, k, M) => createCohere({ baseURL: H + "/v1", apiKey: k }).reranking(M),
  ),
});
const ofTogether = (name, { createTogetherAI }, told) =>
  way(
    name,
    { name: "@ai-sdk/togetherai", dialect: "Together", ...told },
    (H, k, M) => createTogetherAI({ baseURL: H + "/v1", apiKey: k }).reranking(M),
  );

for (const [ai, { v1, v2 }, together] of [
  [
    ai7,
    ofCohere("@ai-sdk/cohere", cohere4, { note: "with `ai` 7" }),
    ofTogether("@ai-sdk/togetherai", togetherai3, { note: "with `ai` 7" }),
  ],
  [
    ai6,
    ofCohere("ai-sdk-cohere-3", cohere3, { note: "with `ai` 6" }),
    ofTogether("ai-sdk-togetherai-2", togetherai2, { note: "with `ai` 6" }),
  ],
]) {
  const { APICallError, rerank } = ai;

  const ask = async (client, { query = QUERY, topN }) => {
    const { reranking, maxRetries } = "reranking" in client ? client : { reranking: client };
    const { ranking, response } = await rerank({ model: reranking, query, topN, documents: DOCUMENTS, maxRetries });
    assert.equal(response.modelId, MODEL);
    assert.ok(response.id);
    for (const { originalIndex, document } of ranking) assert.equal(document, DOCUMENTS[originalIndex]);
    return ranking.map(({ originalIndex, score }) => [originalIndex, score]);
  };
  const raises = (status) => (error) => APICallError.isInstance(error) && error.statusCode === status;
  const hasty = (reranking) => ({ reranking, maxRetries: 0 });

  for (const [made, path] of [[v2, "/v2/rerank"], [v1, "/v1/rerank"], [together, "/v1/rerank"]]) {
    const title = `${made.client} ${made.version}, ${made.dialect}`;
    checks(title, made, { ask, path, raises, hasty });

    test(`${title}: objects are ranked`, on(async (open) => {
      const documents = DOCUMENTS.map((text, page) => ({ text, page }));
      const { ranking } = await rerank({ model: open(made), query: QUERY, documents });
      expectOrder(ranking.map(({ originalIndex, score }) => [originalIndex, score]));
      assert.deepEqual(ranking[0].document, documents[1]);
    }));

    test(`${title}: errors say what the server says`, on(async (open) => {
      const model = open(made, { M: "no-such-model" });
      await assert.rejects(rerank({ model, query: QUERY, documents: DOCUMENTS }), { message: /served: starter/ });
    }));
  }
}
