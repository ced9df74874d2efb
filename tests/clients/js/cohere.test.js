import assert from "node:assert/strict";
import { test } from "node:test";

import * as eight from "cohere-ai";
import * as seven from "cohere-ai-7";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { MODEL, on, way } from "./ground.js";

const NAMES = {
  400: "BadRequestError",
  401: "UnauthorizedError",
  404: "NotFoundError",
  429: "TooManyRequestsError",
  500: "InternalServerError",
  503: "ServiceUnavailableError",
};

async function ask(client, { query = QUERY, model = MODEL, topN, ...options }) {
  const answer = await client.rerank({ query, model, topN, documents: DOCUMENTS }, options);
  assert.ok(answer.id);
  assert.equal(answer.meta.billedUnits.searchUnits, 1);
  assert.ok(answer.meta.tokens.inputTokens > 0);
  return answer.results.map(({ index, relevanceScore }) => [index, relevanceScore]);
}

/** The options of a call in the place of a client's: there are none for the client that both releases have. */
const hasty = (client) => ({ rerank: (body) => client.rerank(body, { maxRetries: 0 }) });

for (const [sdk, name] of [[eight, "cohere-ai"], [seven, "cohere-ai-7"]]) {
  const { CohereClient, CohereClientV2, CohereError, Cohere } = sdk;
  const told = { name: "cohere-ai" };
  const raises = (status) => (error) => error instanceof (Cohere[NAMES[status]] ?? CohereError) && error.statusCode === status;
  const first = way(name, { ...told, dialect: "Cohere v1" }, (H, k, M) => new CohereClient({ token: k, environment: H }));
  const second = way(name, { ...told, dialect: "Cohere v2" }, (H, k, M) => new CohereClientV2({ token: k, environment: H }));
  const below = way(name, { ...told, dialect: "Cohere v1" }, (H, k, M) => new CohereClient({ token: k, environment: H + "/v1" }));
  const based = way(
    name,
    { ...told, dialect: "Cohere v1", note: "requests go to `/v1/v1/rerank`" },
    (H, k, M) => new CohereClient({ token: k, baseUrl: H + "/v1" }),
  );

  checks(`${name} v1`, first, { ask, path: "/v1/rerank", raises, hasty });
  checks(`${name} v2`, second, { ask, path: "/v2/rerank", raises, hasty });

  test(`${name}: other ways`, on(async (open) => {
    expectOrder(await ask(open(below), {}));
    expectOrder(await ask(open(based), {}));
  }));

  test(`${name}: objects come back`, on(async (open) => {
    const documents = DOCUMENTS.map((text, page) => ({ title: text, text: `page ${page}` }));
    const answer = await open(first).rerank({ query: QUERY, documents, rankFields: ["title"], returnDocuments: true });
    expectOrder(answer.results.map(({ index, relevanceScore }) => [index, relevanceScore]));
    assert.equal(answer.results[0].document.text, "page 1");
    assert.equal(answer.results[0].document.title, DOCUMENTS[1]);
  }));
}
