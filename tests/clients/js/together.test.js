import assert from "node:assert/strict";
import { test } from "node:test";

import Together from "together-ai";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

const CLASSES = {
  400: Together.BadRequestError,
  401: Together.AuthenticationError,
  404: Together.NotFoundError,
  413: Together.APIError,
  429: Together.RateLimitError,
  500: Together.InternalServerError,
  503: Together.InternalServerError,
};

const together = way("together-ai", { dialect: "Together" }, (H, k, M) => new Together({ apiKey: k, baseURL: H + "/v1" }));

async function ask(client, { query = QUERY, model = MODEL, topN }) {
  const answer = await client.rerank.create({ query, model, top_n: topN, documents: DOCUMENTS });
  assert.equal(answer.object, "rerank");
  assert.equal(answer.model, MODEL);
  assert.ok(answer.usage.prompt_tokens > 0);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens);
  return answer.results.map(({ index, relevance_score }) => [index, relevance_score]);
}

checks("together-ai", together, {
  ask,
  path: "/v1/rerank",
  repeats: [429, 503],
  raises: (status) => (error) => error instanceof CLASSES[status] && error.status === status,
  hasty: (client) => client.withOptions({ maxRetries: 0 }),
});

test("together-ai: objects come back as JSON", on(async (open) => {
  const documents = DOCUMENTS.map((title, page) => ({ title, page }));
  const asked = { query: QUERY, model: MODEL, documents, rank_fields: ["title"], return_documents: true };
  const answer = await open(together).rerank.create(asked);
  expectOrder(answer.results.map(({ index, relevance_score }) => [index, relevance_score]));
  assert.equal(answer.results[0].document.text, JSON.stringify(documents[1]));
}));
