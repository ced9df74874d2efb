// What every client is asked, and what is expected of all of them.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { front, on } from "./ground.js";

export const QUERY = "capital of France";
export const DOCUMENTS = [
  "Rome is the capital of Italy.",
  "Paris is the capital of France.",
  "Bread is made of flour and water.",
];
const ORDER = [1, 0, 2];

/** The order of the documents, cut at topN; scores descend within [0, 1]. `ranked` are pairs of index and score. */
export function expectOrder(ranked, topN = ORDER.length) {
  const scores = ranked.map(([, score]) => score);
  assert.deepEqual(ranked.map(([index]) => index), ORDER.slice(0, topN));
  assert.deepEqual(scores, [...scores].sort((one, other) => other - one));
  assert.ok(scores.every((score) => score >= 0 && score <= 1));
}

const statuses = () => front.calls.map(({ status }) => status);

/**
 * Tests of a client that a way makes.
 * `ask(client, {query, model, topN})` gives pairs of index and score as the client tells them; `path` is where it goes;
 * `raises` tells by each status whether what is thrown is right; `repeats` are the statuses after which it tries again;
 * `hasty(client)` makes one that does not. `failed` is the status of a failed model.
 */
export function checks(title, way, { ask, path, raises, hasty, repeats = [429, 500, 503], failed = 500 }) {
  describe(title, () => {
    test("ranks", on(async (open) => {
      const client = open(way);
      expectOrder(await ask(client, {}));
      expectOrder(await ask(client, { topN: 2 }), 2);
      assert.equal(front.calls.at(-1).path, path);
    }));

    for (const [status, asked] of [
      [400, { query: "" }],
      [401, { k: "wrong" }],
      [404, { model: "no-such-model" }],
    ]) {
      test(`${status} is not tried again`, on(async (open) => {
        await assert.rejects(async () => ask(open(way, { k: asked.k, M: asked.model }), asked), raises(status));
        assert.deepEqual(statuses(), [status]);
      }));
    }

    for (const [status, server] of [
      [413, "small"],
      [429, "overloaded"],
      [failed, "failing"],
      [503, "draining"],
    ]) {
      const repeated = repeats.includes(status);
      if (repeated) {
        test(`${status} is tried again`, on(async (open) => {
          front.next(server);
          expectOrder(await ask(open(way), {}));
          assert.deepEqual(statuses(), [status, 200]);
          if (status !== 500) assert.ok(Number(front.calls[0].headers["retry-after"]) > 0);
        }));
      }

      test(repeated ? `${status} without another try` : `${status} is not tried again`, on(async (open) => {
        front.next(server);
        const client = repeated ? hasty(open(way)) : open(way);
        await assert.rejects(async () => ask(client, {}), raises(status));
        assert.deepEqual(statuses(), [status]);
      }));
    }
  });
}
