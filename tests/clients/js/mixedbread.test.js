import assert from "node:assert/strict";
import { test } from "node:test";

import Mixedbread from "@mixedbread/sdk";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

const CLASSES = {
  400: Mixedbread.BadRequestError,
  401: Mixedbread.AuthenticationError,
  404: Mixedbread.NotFoundError,
  413: Mixedbread.APIError,
  429: Mixedbread.RateLimitError,
  500: Mixedbread.InternalServerError,
  503: Mixedbread.InternalServerError,
};

const mixedbread = way(
  "@mixedbread/sdk",
  { dialect: "mixedbread" },
  (H, k, M) => new Mixedbread({ apiKey: k, baseURL: H }),
);

async function ask(client, { query = QUERY, model = MODEL, topN }) {
  const answer = await client.rerank({ query, model, top_k: topN, input: DOCUMENTS });
  assert.equal(answer.model, MODEL);
  assert.ok(answer.usage.total_tokens > 0);
  return answer.data.map(({ index, score }) => [index, score]);
}

checks("@mixedbread/sdk", mixedbread, {
  ask,
  path: "/v1/reranking",
  repeats: [429, 503],
  raises: (status) => (error) => error instanceof CLASSES[status] && error.status === status,
  hasty: (client) => client.withOptions({ maxRetries: 0 }),
});

test("@mixedbread/sdk: objects come back", on(async (open) => {
  const input = DOCUMENTS.map((title, page) => ({ title, page }));
  const asked = { query: QUERY, model: MODEL, input, rank_fields: ["title"], return_input: true };
  const { data } = await open(mixedbread).rerank(asked);
  expectOrder(data.map(({ index, score }) => [index, score]));
  for (const one of data) assert.deepEqual(one.input, input[one.index]);
}));
