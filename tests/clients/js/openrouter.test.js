import assert from "node:assert/strict";
import { test } from "node:test";

import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

import { checks, DOCUMENTS, QUERY } from "./cases.js";
import { front, MODEL, on, way } from "./ground.js";

const CLASSES = {
  400: errors.BadRequestResponseError,
  401: errors.UnauthorizedResponseError,
  404: errors.NotFoundResponseError,
  408: errors.OpenRouterDefaultError,
  413: errors.PayloadTooLargeResponseError,
  424: errors.OpenRouterDefaultError,
  429: errors.TooManyRequestsResponseError,
  503: errors.ServiceUnavailableResponseError,
};

const openrouter = way(
  "@openrouter/sdk",
  { dialect: "OpenRouter", note: "repeats each 5xx for an hour" },
  (H, k, M) => new OpenRouter({ apiKey: k, serverURL: H + "/api/v1" }),
);

async function ask(client, { query = QUERY, model = MODEL, topN }, options = {}) {
  const { results, usage } = await client.rerank.rerank(
    { requestBody: { query, model, topN, documents: DOCUMENTS } },
    options,
  );
  assert.equal(usage.searchUnits, 1);
  assert.ok(usage.totalTokens > 0);
  for (const { index, document } of results) assert.equal(document.text, DOCUMENTS[index]);
  return results.map(({ index, relevanceScore }) => [index, relevanceScore]);
}

const raises = (status) => (error) => error.constructor === CLASSES[status] && error.statusCode === status;

checks("@openrouter/sdk", openrouter, {
  ask,
  path: "/api/v1/rerank",
  repeats: [503],
  failed: 424,
  raises,
  hasty: (client) => ({
    rerank: { rerank: (asked) => client.rerank.rerank(asked, { retries: { strategy: "none" } }) },
  }),
});

test("@openrouter/sdk: an exceeded deadline is not tried again", on(async (open) => {
  const options = { headers: { "X-Request-Timeout": "0.000001" } };
  await assert.rejects(async () => ask(open(openrouter), {}, options), raises(408));
  assert.deepEqual(front.calls.map(({ status }) => status), [408]);
}));
