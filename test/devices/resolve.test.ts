import type { DeviceRow } from "@kith/gateway/devices/device";
import { type Candidate, resolve } from "@kith/gateway/devices/resolve";
import { describe, expect, test } from "vitest";

const row = (
  name: string,
  kind: DeviceRow["kind"] = "laptop",
  state: DeviceRow["state"] = "paired",
): DeviceRow => ({
  ...{
    id: `id-${name.toLowerCase().replaceAll(/\W/g, "")}`,
    name,
    kind,
    os: "linux",
    arch: "x64",
    agent: "",
    key: "",
  },
  ...{ state, ceiling: [], pairedAt: 1, seenAt: 1, epoch: 1, revocation: 0 },
});
interface Here extends Candidate {
  readonly row: DeviceRow;
}
const here = (device: DeviceRow, more: Partial<Candidate> = {}): Here => ({
  row: device,
  online: true,
  able: true,
  ...more,
});

/** A name, several names joined by `|`, or `none`. */
const meant = (words: string, candidates: readonly Here[]) => {
  const found = resolve(
    words,
    candidates.map(({ row: device }) => device),
    (device) => candidates.find(({ row: one }) => one === device) as Here,
  );
  return found.is === "one"
    ? found.row.name
    : found.is === "all"
      ? `all: ${found.rows.map(({ name }) => name).join("|")}`
      : found.is === "several"
        ? found.rows.map(({ name }) => name).join("|")
        : "none";
};

const home = [
  here(row("Anna's MacBook")),
  here(row("Pixel 8", "phone")),
  here(row("attic-server", "server")),
  here(row("Büro PC", "desktop")),
];

test.for([
  ["Anna's MacBook", "Anna's MacBook"],
  ["annas macbook", "Anna's MacBook"],
  ["ANNA’S MACBOOK", "Anna's MacBook"],
  ["my macbook", "Anna's MacBook"],
  ["the laptop", "Anna's MacBook"],
  ["annas laptop", "Anna's MacBook"],
  ["my phone", "Pixel 8"],
  ["pixel", "Pixel 8"],
  ["pixel phone", "Pixel 8"],
  ["attic", "attic-server"],
  ["the attic server", "attic-server"],
  ["attic_server", "attic-server"],
  ["buro pc", "Büro PC"],
  ["Bu\u0308ro PC", "Büro PC"],
  ["id-pixel8", "Pixel 8"],
  ["ID-PIXEL8", "Pixel 8"],
  ["Ｐｉｘｅｌ　８", "Pixel 8"],
] as const)("“%s” is %s", ([words, name]) => {
  expect(meant(words, home)).toBe(name);
});

test.for([
  "toaster",
  "bobs laptop",
  "work phone",
  "the",
  "my",
  "!!!",
  "'",
  "\u0301",
  "constructor",
  "__proto__",
  "toString",
  "Аnna's MacBook",
  "pixel 9",
  "id-",
  ".",
])("“%s” is nobody", (words) => {
  expect(meant(words, home)).toBe("none");
});

describe("several that fit", () => {
  const [old, fresh] = [row("old phone", "phone"), row("new phone", "phone")];

  test("are fewer by what they can do, then by who is there", () => {
    expect(meant("phone", [here(old), here(fresh)])).toBe("old phone|new phone");
    expect(meant("phone", [here(old), here(fresh, { able: false })])).toBe("old phone");
    expect(meant("phone", [here(old, { online: false }), here(fresh)])).toBe("new phone");
    expect(meant("phone", [here(old, { online: false }), here(fresh, { able: false })])).toBe(
      "old phone",
    );
    expect(meant("phone", [here(old, { able: false }), here(fresh, { able: false })])).toBe(
      "old phone|new phone",
    );
  });

  test("a whole name wins over a part of one, and a name over a kind", () => {
    const phone = row("phone", "server");
    expect(meant("phone", [here(old), here(phone)])).toBe("phone");
    expect(meant("laptop", [here(row("laptop stand", "browser")), here(row("thinkpad"))])).toBe(
      "laptop stand",
    );
  });

  test("two of the same name are several", () => {
    expect(meant("mac", [here(row("Mac")), here(row("mac"))])).toBe("Mac|mac");
  });
});

test("no words mean whichever can do it, and ask when that is several", () => {
  expect(meant("", home.slice(0, 1))).toBe("Anna's MacBook");
  expect(meant("  ", [home[0]!, here(row("b"), { able: false })])).toBe("Anna's MacBook");
  expect(meant("", home)).toBe("Anna's MacBook|Pixel 8|attic-server|Büro PC");
  expect(meant("", [])).toBe("none");
});

test("all are all that can do it, those that sleep among them", () => {
  const some = [here(row("b"), { online: false }), here(row("a")), here(row("c"), { able: false })];
  for (const words of ["all", "All", "all my devices", "all the cameras", "every device"])
    expect(meant(words, some)).toBe("all: a|b");
  expect(meant("all", some.slice(1, 2))).toBe("a");
  expect(meant("all", [])).toBe("none");
  expect(meant("all", [here(row("c"), { able: false }), here(row("d"), { able: false })])).toBe(
    "all: c|d",
  );
  // A device of that name comes first.
  expect(meant("all", [...some, here(row("All"))])).toBe("All");
});

test("a computer is a desktop or a laptop", () => {
  expect(meant("my computer", [here(row("a", "phone")), here(row("b", "laptop"))])).toBe("b");
  expect(meant("my desktop", [here(row("b", "laptop"))])).toBe("none");
});

test("a device may be called like an article or a letter of another alphabet", () => {
  expect(meant("A", [here(row("A")), here(row("b"))])).toBe("A");
  expect(meant("кухня", [here(row("Кухня"))])).toBe("Кухня");
  expect(meant("台所", [here(row("台所"))])).toBe("台所");
});

describe("a revoked device", () => {
  const gone = here(row("tablet", "phone", "revoked"));

  test("is found by its own name or id, so that a person hears why", () => {
    expect([meant("tablet", [gone]), meant("id-tablet", [gone])]).toEqual(["tablet", "tablet"]);
  });

  test("gives way to a paired one of the same name, and is never meant by its kind or by nothing", () => {
    const fresh = here(row("Tablet", "phone"));
    expect(meant("tablet", [gone, fresh])).toBe("Tablet");
    expect([meant("phone", [gone]), meant("", [gone])]).toEqual(["none", "none"]);
  });
});

test("the same words and devices give the same answer, in no time", () => {
  const long = "a ".repeat(2_000) + "'".repeat(2_000) + "\u0301".repeat(2_000) + "laptop";
  const begun = performance.now();
  expect(meant(long, home)).toBe(meant(long, home));
  expect(performance.now() - begun).toBeLessThan(200);
});
