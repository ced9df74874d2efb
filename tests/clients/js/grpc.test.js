import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { credentials, loadPackageDefinition, Metadata, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import { DOCUMENTS, expectOrder, QUERY } from "./cases.js";
import { GRPC, KEY, MODEL, on, way } from "./ground.js";

// without `defaults` a field that holds its default is missing, such as an index that is 0
const OPTIONS = { keepCase: true, longs: Number, enums: String, oneofs: true, defaults: true };
const NOTE = "send the key as metadata `authorization: Bearer k`; load the proto with `defaults: true`, otherwise an index of 0 is missing";

function loaded(folder, file) {
  const includeDirs = [fileURLToPath(new URL(`../../../proto/${folder}`, import.meta.url))];
  return loadPackageDefinition(loadSync(file, { ...OPTIONS, includeDirs }));
}

const { rerank } = loaded("", "rerank/v1/rerank.proto");
const { tei } = loaded("rerank/tei", "tei.proto");

const ours = way(
  "@grpc/grpc-js",
  { dialect: "rerank.v1", note: NOTE },
  (address) => new rerank.v1.Rerank(address, credentials.createInsecure()),
);
const theirs = way(
  "@grpc/grpc-js",
  { dialect: "tei.v1", note: NOTE },
  (address) => new tei.v1.Rerank(address, credentials.createInsecure()),
);
const info = way(
  "@grpc/grpc-js",
  { dialect: "tei.v1", note: NOTE },
  (address) => new tei.v1.Info(address, credentials.createInsecure()),
);

/** A test's body that calls methods, unary and streams of requests alike; connections are closed at its end. */
const calling = (body) =>
  on(async (open) => {
    const clients = [];
    const call = (made, method, sent, { k = KEY, deadline = Infinity } = {}) => {
      const client = open(made, { H: GRPC });
      clients.push(client);
      const metadata = new Metadata();
      metadata.set("authorization", `Bearer ${k}`);
      const options = { deadline: deadline === Infinity ? Infinity : Date.now() + deadline };
      if (!Array.isArray(sent)) return promisify(client[method].bind(client))(sent, metadata, options);
      return streamed(client[method].bind(client), sent, metadata, options);
    };
    await body(call);
    clients.forEach((client) => client.close());
  });

/** What a stream of requests is answered: a response, or as many as the method sends. */
function streamed(method, sent, metadata, options) {
  return new Promise((answered, failed) => {
    const responses = [];
    const stream = method(metadata, options, (error, response) => (error ? failed(error) : answered(response)));
    stream.on("data", (response) => responses.push(response)).on("end", () => answered(responses)).on("error", failed);
    sent.forEach((message) => stream.write(message));
    stream.end();
  });
}

const documents = DOCUMENTS.map((text) => ({ text }));
const ranked = ({ results }) => results.map(({ index, relevance_score }) => [index, relevance_score]);
const ranks = (answer) => answer.ranks.map(({ index, score }) => [index, score]);

test("rerank.v1 ranks", calling(async (call) => {
  const answer = await call(ours, "Rerank", { query: QUERY, documents, return_documents: true });
  expectOrder(ranked(answer));
  assert.equal(answer.model, MODEL);
  assert.ok(answer.usage.prompt_tokens > 0);
  for (const { index, document } of answer.results) assert.equal(document.text, DOCUMENTS[index]);
  expectOrder(ranked(await call(ours, "Rerank", { query: QUERY, documents, top_n: 2 })), 2);
}));

test("rerank.v1 ranks a stream", calling(async (call) => {
  const header = { request: { query: QUERY, top_n: 2 } };
  const sent = [{ header }, ...documents.map((document) => ({ documents: { documents: [document] } }))];
  const [{ ranking, last }] = await call(ours, "RerankStream", sent);
  expectOrder(ranked(ranking), 2);
  assert.ok(last);
}));

test("rerank.v1 reports errors", calling(async (call) => {
  const asked = { query: QUERY, documents };
  await assert.rejects(call(ours, "Rerank", { ...asked, query: "" }), { code: status.INVALID_ARGUMENT });
  await assert.rejects(call(ours, "Rerank", asked, { k: "wrong" }), { code: status.UNAUTHENTICATED });
  await assert.rejects(call(ours, "Rerank", { ...asked, model: "no-such-model" }), { code: status.NOT_FOUND });
  await assert.rejects(call(ours, "Rerank", asked, { deadline: 0 }), { code: status.DEADLINE_EXCEEDED });
}));

test("tei.v1 ranks", calling(async (call) => {
  const answer = await call(theirs, "Rerank", { query: QUERY, texts: DOCUMENTS, return_text: true });
  expectOrder(ranks(answer));
  assert.ok(answer.metadata.compute_tokens > 0);
  assert.ok(answer.metadata.total_time_ns > 0);
  for (const { index, text } of answer.ranks) assert.equal(text, DOCUMENTS[index]);
}));

test("tei.v1 ranks a stream", calling(async (call) => {
  const sent = DOCUMENTS.map((text) => ({ query: QUERY, text }));
  expectOrder(ranks(await call(theirs, "RerankStream", sent)));
}));

test("tei.v1 reports errors", calling(async (call) => {
  const asked = { query: QUERY, texts: DOCUMENTS };
  await assert.rejects(call(theirs, "Rerank", { query: QUERY }), { code: status.INVALID_ARGUMENT });
  await assert.rejects(call(theirs, "Rerank", asked, { k: "wrong" }), { code: status.UNAUTHENTICATED });
  await assert.rejects(call(theirs, "RerankStream", []), { code: status.INVALID_ARGUMENT });
}));

test("tei.v1 tells what is served", calling(async (call) => {
  const answer = await call(info, "Info", {});
  assert.equal(answer.model_type, "MODEL_TYPE_RERANKER");
  assert.equal(answer.max_input_length, 512);
}));

// a server with gRPC's default policy closes the connection at the fifth ping
const LONG = 55_000;
const KEEPALIVE = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
};

test("a long call survives pings every 10 s", { timeout: 2 * LONG }, async () => {
  const client = new rerank.v1.Rerank(GRPC, credentials.createInsecure(), KEEPALIVE);
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${KEY}`);
  const answered = new Promise((resolve, failed) => {
    const stream = client.RerankStream(metadata, { deadline: Date.now() + 2 * LONG }).on("data", resolve).on("error", failed);
    stream.write({ header: { request: { query: QUERY } } });
    setTimeout(() => {
      stream.write({ documents: { documents } });
      stream.end();
    }, LONG);
  });
  expectOrder(ranked((await answered).ranking));
  client.close();
});
