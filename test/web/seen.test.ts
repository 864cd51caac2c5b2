import type { StoredItem } from "@kith/gateway/model/model";
import { isSeen } from "@kith/gateway/web/seen";
import { expect, test } from "vitest";

const url = "https://a.example/x?q=1";
const owner = (text: string): StoredItem => ({ role: "user", text });
const other = (text: string): StoredItem => ({ role: "user", text, labels: ["untrusted"] });
const result = (text: string, name = "web_fetch"): StoredItem => ({
  ...{ role: "tool", call: "c", name, text, pictures: [], labels: ["untrusted"] },
});
const model = (text: string, args: object = {}): StoredItem => ({
  ...{ role: "assistant", text, calls: [{ id: "c", name: "web_fetch", args: { ...args } }] },
});

test.for<[string, StoredItem[]]>([
  ["in the owner's words", [owner(`look at ${url}`)]],
  ["at the end of a sentence", [owner(`look at ${url}.`)]],
  ["in brackets", [owner(`(see ${url}), please`)]],
  ["as a link of a page", [result(`[link](${url}) and more`)]],
  ["in a result of JSON", [result(`{"url":"${url}"}`, "files_read")]],
  [
    "in a result of a search, and in the call that follows",
    [result(url, "web_search"), model("", { url })],
  ],
  ["in the owner's words after the model's", [model("", { url }), owner(`yes, ${url}`)]],
])("an address is seen %s", ([, items]) => expect(isSeen(items, url)).toBe(true));

test.for<[string, StoredItem[]]>([
  ["nowhere", [owner("look"), result("nothing")]],
  ["as a part of a longer one", [owner(`${url}23`), result(`${url}/more`), owner(`${url}&r=2`)]],
  ["in the words of others", [other(url)]],
  ["in the model's own words", [model(url)]],
  ["in the model's summary", [{ ...owner(`they wanted ${url}`), source: "a summary" }]],
  [
    "in a call of the model, and in what came of it",
    [model("", { url }), result(`From ${url}, read`)],
  ],
  [
    "in what comes back of the model's own words",
    [result(url, "memory_read"), result(url, "task")],
  ],
])("an address is not seen %s", ([, items]) => expect(isSeen(items, url)).toBe(false));
