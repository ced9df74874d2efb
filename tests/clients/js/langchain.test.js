import assert from "node:assert/strict";
import { test } from "node:test";

import { CohereRerank } from "@langchain/cohere";
import { Cohere, CohereClient, CohereError } from "cohere-ai-7";

import { checks, DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { on, way } from "./ground.js";

const CLASSES = {
  400: Cohere.BadRequestError,
  401: Cohere.UnauthorizedError,
  404: Cohere.NotFoundError,
  413: CohereError,
  429: Cohere.TooManyRequestsError,
  500: Cohere.InternalServerError,
  503: Cohere.ServiceUnavailableError,
};

const langchain = way(
  "@langchain/cohere",
  { dialect: "Cohere v1", note: "the URL can be set only on the inner client" },
  (H, k, M) => new CohereRerank({ model: M, client: new CohereClient({ token: k, environment: H }) }),
);

async function ask(reranker, { query = QUERY, topN = DOCUMENTS.length }) {
  const ranked = await reranker.rerank(DOCUMENTS, query, { topN });
  return ranked.map(({ index, relevanceScore }) => [index, relevanceScore]);
}

checks("@langchain/cohere", langchain, {
  ask,
  path: "/v1/rerank",
  raises: (status) => (error) => error instanceof CLASSES[status] && error.statusCode === status,
  hasty: ({ model, client }) =>
    new CohereRerank({ model, client: { rerank: (body) => client.rerank(body, { maxRetries: 0 }) } }),
});

test("@langchain/cohere compresses documents", on(async (open) => {
  const documents = DOCUMENTS.map((pageContent, page) => ({ pageContent, metadata: { page } }));
  const kept = await open(langchain).compressDocuments(documents, QUERY);
  expectOrder(kept.map(({ metadata }) => [metadata.page, metadata.relevanceScore]));
  assert.equal(kept[0].pageContent, DOCUMENTS[1]);
}));
